//! Dense vectors: the k most similar rows of each query.
//!
//! `flat` scores every row. `ivf` scores codes of the rows in the nearest lists and then the best of
//! them exactly. Either way the score that is returned, and the order it decides, come from the
//! canonical kernel on the stored numbers: one query alone and among a thousand return the same bits.

mod filter;
mod flat;
mod ids;
mod ivf;
mod rows;
mod score;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use filter::Pick;
pub use ids::{IdKind, Names, NewIds};
pub use ivf::Lists;
pub use rows::Storage;
pub use score::Metric;

use crate::store::{self, Column, Sections, Segment, Verify};
use crate::topk::Scored;
use crate::{Cancel, Error, MatrixRef, Result, Threads};
use filter::{Allowed, Bits, Filter};
use flat::Flat;
use ids::Ids;
use ivf::Ivf;

/// What the manifest calls this index.
const KIND: &str = "dense";
/// More results than this for one query is a mistake, not a search.
const MOST_RESULTS: usize = 1 << 20;
/// Rows are numbered by 32 bits inside an index.
const MOST_ROWS: usize = u32::MAX as usize;
/// From here on lists are worth their build: a flat search takes milliseconds.
const LARGE: usize = 1 << 15;
/// Bytes of filters that lie in memory at a time when each query has its own.
const FILTERS: usize = 64 << 20;
/// Up to here the bounds of rounding stay below 1 %.
const MOST_COLUMNS: usize = 1 << 16;

/// How to build an index.
#[derive(Debug, Clone, Default)]
pub struct Build {
    /// What the scores mean.
    pub metric: Metric,
    /// The fingerprint of the encoder that made the vectors.
    pub encoder: Option<String>,
    /// Which rows a search looks at.
    pub kind: Kind,
    /// How the rows are kept; scores are exact for what is kept.
    pub storage: Storage,
    /// The same seed gives the same bytes.
    pub seed: u64,
}

/// Which rows a search looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// All of them in a small index, those of the nearest lists in a large one.
    #[default]
    Auto,
    /// All of them: exact.
    Flat,
    /// Those of the nearest lists.
    Ivf(Lists),
}

/// How to search.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Results wanted for each query.
    pub k: usize,
    /// Lists to look into; the index's own choice if `None`. A flat index has none. Under a filter a
    /// search goes on until it has seen as many allowed rows as so many lists hold on average.
    pub probes: Option<usize>,
    /// Rows to score exactly, at least `k`; the index's own choice if `None`. A flat index scores all.
    pub rescore: Option<usize>,
    /// Rows that may be found: all if empty, one pick for all queries, or one for each.
    pub only: &'a [Pick<'a>],
    /// Rows that may not, in the same way.
    pub except: &'a [Pick<'a>],
}

impl Default for Search<'_> {
    fn default() -> Self {
        Self { k: 10, probes: None, rescore: None, only: &[], except: &[] }
    }
}

/// Results of a search, query after query, `k` places each.
#[derive(Debug, Clone, PartialEq)]
pub struct Hits<'a> {
    /// Results asked for, for each query.
    pub k: usize,
    /// Best first; `-1` or `None` where there is no result.
    pub ids: HitIds<'a>,
    /// Best first; −∞ where there is no result.
    pub scores: Vec<f32>,
    /// Results of each query.
    pub counts: Vec<i64>,
    /// What each query cost.
    pub costs: Vec<Cost>,
}

/// Ids of results.
#[derive(Debug, Clone, PartialEq)]
pub enum HitIds<'a> {
    /// Of an index whose rows are called by numbers.
    Numbers(Vec<i64>),
    /// Of an index whose rows are called by text.
    Text(Vec<Option<&'a str>>),
}

/// What a query cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Codes compared with the query.
    pub codes: u64,
    /// Rows scored exactly.
    pub rows: u64,
}

/// The best rows of one query, and what finding them cost.
#[derive(Debug)]
struct Found {
    best: Vec<Scored>,
    cost: Cost,
}

/// What the manifest says of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attributes {
    metric: Metric,
    dim: usize,
    ids: IdKind,
    storage: Storage,
    encoder: Option<String>,
}

/// What a segment says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    kind: SegmentKind,
    rows: usize,
    attributes: Attributes,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SegmentKind {
    Flat,
    Ivf(ivf::Shape),
}

/// An immutable index over rows of one length.
#[derive(Debug)]
pub struct Index {
    attributes: Attributes,
    rows: usize,
    ids: Ids,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Flat(Flat),
    Ivf(Box<Ivf>),
}

impl Index {
    /// An index of `vectors`, whose row `i` is called `ids[i]`.
    ///
    /// Refuses numbers that are not finite or so large that a score could overflow, rows of zeros
    /// under cosine, and ids that are negative or come twice. Same input, same seed, same bytes for
    /// any number of threads and any order of the rows.
    pub fn build(
        vectors: MatrixRef<'_>,
        ids: NewIds<'_>,
        build: &Build,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        if vectors.dim() > MOST_COLUMNS || vectors.rows() > MOST_ROWS {
            let want = format!("at most {MOST_ROWS} rows of {MOST_COLUMNS} numbers");
            let got = format!("{} rows of {}", vectors.rows(), vectors.dim());
            return Err(Error::range("vectors", want, got));
        }
        let (ids, order) = Ids::build(ids, vectors.rows())?;
        let (metric, storage) = (build.metric, build.storage);
        let rows = metric.prepare("vectors", vectors, Some(&order), threads, cancel)?;
        storage.expect(rows.view(), &order, threads, cancel)?;
        let attributes = Attributes {
            metric,
            dim: vectors.dim(),
            ids: ids.kind(),
            storage,
            encoder: build.encoder.clone(),
        };
        let lists = match build.kind {
            Kind::Auto => (vectors.rows() >= LARGE).then(Lists::default),
            Kind::Flat => None,
            Kind::Ivf(lists) => Some(lists),
        };
        let body = match lists {
            None => Body::Flat(Flat::build(rows, storage, threads, cancel)?),
            Some(lists) => {
                let ivf = Ivf::build(metric, &rows, storage, lists, build.seed, threads, cancel)?;
                Body::Ivf(ivf.into())
            }
        };
        Ok(Self { attributes, rows: vectors.rows(), ids, body })
    }

    /// The best rows for each query.
    ///
    /// Refuses queries of another length, and what [`Index::build`] refuses in vectors.
    pub fn search(
        &self,
        queries: MatrixRef<'_>,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Hits<'_>> {
        let k = search.k;
        if !(1..=MOST_RESULTS).contains(&k) {
            return Err(Error::range("k", format!("1 to {MOST_RESULTS}"), k));
        }
        if search.probes == Some(0) {
            return Err(Error::range("probes", "at least 1", 0));
        }
        let queries = queries.expect_dim("queries", self.dim())?;
        let queries = self.metric().prepare("queries", queries, None, threads, cancel)?;
        let mut found = Vec::with_capacity(queries.view().rows());
        for some in self.shares(queries.view().rows(), search)? {
            let allowed = self.allowed(some.clone(), search)?;
            let filter = match &allowed[..] {
                [] => Filter::All,
                [shared] => Filter::Shared(shared),
                each => Filter::Each(each),
            };
            let queries = queries.view().slice(some);
            found.extend(self.search_body(queries, search, filter, threads, cancel)?);
        }
        self.name(found, k)
    }

    fn search_body(
        &self,
        queries: MatrixRef<'_>,
        search: &Search<'_>,
        filter: Filter<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Found>> {
        let k = search.k.min(self.rows);
        match &self.body {
            Body::Flat(flat) => flat.search(self.metric(), queries, k, filter, threads, cancel),
            Body::Ivf(ivf) => ivf.search(queries, k, filter, search, threads, cancel),
        }
    }

    /// Runs of queries whose filters lie in memory together: all, unless each query has its own.
    fn shares(&self, queries: usize, search: &Search<'_>) -> Result<Vec<Range<usize>>> {
        for (what, picks) in [("filter", search.only), ("exclude", search.except)] {
            if picks.len() > 1 && picks.len() != queries {
                return Err(Error::Length { what, want: queries, got: picks.len() });
            }
        }
        let own = search.only.len().max(search.except.len()) > 1;
        let share = if own { (FILTERS / (self.rows / 8 + 1)).max(1) } else { queries.max(1) };
        Ok((0..queries).step_by(share).map(|i| i..(i + share).min(queries)).collect())
    }

    /// What `queries` may find: nothing for no filter, one set for all of them, or one for each.
    fn allowed(&self, queries: Range<usize>, search: &Search<'_>) -> Result<Vec<Allowed>> {
        let own = search.only.len().max(search.except.len()) > 1;
        let several = match search {
            Search { only: [], except: [], .. } => 0..0,
            _ if own => queries,
            _ => 0..1,
        };
        let one = |i| {
            let only =
                Pick::of(search.only, i).map(|pick| pick.rows("filter", &self.ids, self.rows));
            let except =
                Pick::of(search.except, i).map(|pick| pick.rows("exclude", &self.ids, self.rows));
            let mut bits = only.unwrap_or_else(|| Ok(Bits::all(self.rows)))?;
            if let Some(except) = except {
                bits.subtract(&except?);
            }
            Ok(Allowed::new(self.rows, bits))
        };
        several.map(one).collect()
    }

    /// Rows found, called by their ids.
    fn name(&self, found: Vec<Found>, k: usize) -> Result<Hits<'_>> {
        let places = found.len() * k;
        let mut scores = vec![f32::NEG_INFINITY; places];
        let mut numbers = Vec::new();
        let mut texts = Vec::new();
        match self.ids {
            Ids::Text { .. } => texts.resize(places, None),
            _ => numbers.resize(places, -1),
        }
        for (query, found) in found.iter().enumerate() {
            for (place, item) in (query * k..).zip(&found.best) {
                scores[place] = item.score;
                match self.ids {
                    Ids::Text { .. } => texts[place] = self.ids.text(item.id as usize)?,
                    _ => numbers[place] = self.ids.number(item.id as usize)?,
                }
            }
        }
        let ids = match self.ids {
            Ids::Text { .. } => HitIds::Text(texts),
            _ => HitIds::Numbers(numbers),
        };
        let counts = found.iter().map(|found| found.best.len() as i64).collect();
        let costs = found.iter().map(|found| found.cost).collect();
        Ok(Hits { k, ids, scores, counts, costs })
    }

    /// Makes `directory` hold this index, in one step that happens or does not.
    pub fn save(&self, directory: &Path, cancel: &Cancel) -> Result<()> {
        let about = self.about();
        let sections = self.sections(&about)?;
        store::save(directory, KIND, self.attributes.clone(), &[sections], cancel)
    }

    /// The index that [`Index::save`] left in `directory`, mapped rather than read.
    pub fn open(directory: &Path, verify: Verify, cancel: &Cancel) -> Result<Self> {
        let (attributes, segments) = store::open::<Attributes>(directory, KIND, verify, cancel)?;
        match &segments[..] {
            [segment] => {
                let index = Self::from_segment(segment)?;
                if index.attributes != attributes {
                    return Err(segment.refuse("the manifest describes another index"));
                }
                Ok(index)
            }
            // TODO(segments): adds append segments; search then merges them.
            _ => {
                let problem = format!("{} segments; this magnetite reads one", segments.len());
                Err(Error::format(directory, format!("{problem}; upgrade magnetite")))
            }
        }
    }

    /// The index that lies in one segment, as [`Index::to_segment`] or [`Index::save`] wrote it.
    pub fn from_segment(segment: &Arc<Segment>) -> Result<Self> {
        let about = Column::<u8>::open_any(segment, "about")?;
        let about: About =
            serde_json::from_slice(about.all()?).map_err(|error| segment.refuse(error))?;
        let About { kind, rows, attributes } = about;
        let dim = attributes.dim;
        if !(1..=MOST_COLUMNS).contains(&dim) || rows > MOST_ROWS {
            return Err(segment.refuse(format!("{rows} rows of {dim} numbers are out of range")));
        }
        let ids = Ids::open(attributes.ids, segment, rows)?;
        let storage = attributes.storage;
        let body = match kind {
            SegmentKind::Flat => Body::Flat(Flat::open(segment, storage, rows, dim)?),
            SegmentKind::Ivf(shape) => {
                Body::Ivf(Ivf::open(attributes.metric, storage, shape, segment, rows, dim)?.into())
            }
        };
        Ok(Self { attributes, rows, ids, body })
    }

    /// The bytes of a segment file that holds this index.
    pub fn to_segment(&self) -> Result<Vec<u8>> {
        let about = self.about();
        Ok(store::segment_bytes(&self.sections(&about)?))
    }

    fn about(&self) -> Vec<u8> {
        let kind = match &self.body {
            Body::Flat(_) => SegmentKind::Flat,
            Body::Ivf(ivf) => SegmentKind::Ivf(ivf.shape()),
        };
        let about = About { kind, rows: self.rows, attributes: self.attributes.clone() };
        serde_json::to_vec(&about).expect("plain data")
    }

    fn sections<'a>(&'a self, about: &'a [u8]) -> Result<Sections<'a>> {
        let mut sections = vec![("about", about)];
        self.ids.sections(&mut sections)?;
        match &self.body {
            Body::Flat(flat) => flat.sections(&mut sections)?,
            Body::Ivf(ivf) => ivf.sections(&mut sections)?,
        }
        Ok(sections)
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Lists that the rows are in; `None` if every search looks at all rows.
    pub fn lists(&self) -> Option<usize> {
        match &self.body {
            Body::Flat(_) => None,
            Body::Ivf(ivf) => Some(ivf.lists()),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Numbers in a row.
    pub fn dim(&self) -> usize {
        self.attributes.dim
    }

    /// What the scores mean.
    pub fn metric(&self) -> Metric {
        self.attributes.metric
    }

    /// How the rows are kept.
    pub fn storage(&self) -> Storage {
        self.attributes.storage
    }

    /// The fingerprint of the encoder that made the vectors, if it was told.
    pub fn encoder(&self) -> Option<&str> {
        self.attributes.encoder.as_deref()
    }
}
