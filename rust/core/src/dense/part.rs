//! Rows that were built together: immutable, in the order of their ids.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::explain::Looked;
use super::filter::{Allowed, Filter};
use super::flat::Flat;
use super::ids::{IdKind, Ids};
use super::ivf::{self, Ivf};
use super::{Attributes, Cost, Found, Kind, LARGE, Lists, MOST_COLUMNS, MOST_ROWS, Metric, Search};
use crate::store::{self, Column, Sections, Segment};
use crate::{Cancel, Matrix, MatrixRef, Result, Threads};

/// What a segment says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    kind: SegmentKind,
    rows: usize,
    ids: IdKind,
    attributes: Attributes,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SegmentKind {
    Flat,
    Ivf(ivf::Shape),
}

/// Rows, their ids, and what finds them.
#[derive(Debug)]
pub(super) struct Part {
    metric: Metric,
    rows: usize,
    ids: Ids,
    body: Body,
    /// Where it lies, if it does.
    segment: Option<Arc<Segment>>,
}

#[derive(Debug)]
enum Body {
    Flat(Flat),
    Ivf(Box<Ivf>),
}

impl Part {
    /// `rows`, which are prepared and in the order of `ids`.
    pub(super) fn build(
        attributes: &Attributes,
        rows: Matrix,
        ids: Ids,
        lists: Option<Lists>,
        seed: u64,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        let count = rows.view().rows();
        let body = match lists {
            None => Body::Flat(Flat::build(rows, attributes.storage, threads, cancel)?),
            Some(lists) => {
                let (metric, storage) = (attributes.metric, attributes.storage);
                let ivf = Ivf::build(metric, &rows, storage, lists, seed, threads, cancel)?;
                Body::Ivf(ivf.into())
            }
        };
        Ok(Self { metric: attributes.metric, rows: count, ids, body, segment: None })
    }

    /// The part that lies in `segment`, and what all parts of its index share.
    pub(super) fn open(segment: &Arc<Segment>) -> Result<(Self, Attributes)> {
        let about = Column::<u8>::open_any(segment, "about")?;
        let about: About =
            serde_json::from_slice(about.all()?).map_err(|error| segment.refuse(error))?;
        let About { kind, rows, ids, attributes } = about;
        let dim = attributes.dim;
        if !(1..=MOST_COLUMNS).contains(&dim) || rows > MOST_ROWS {
            return Err(segment.refuse(format!("{rows} rows of {dim} numbers are out of range")));
        }
        if (ids == IdKind::Text) != (attributes.ids == IdKind::Text) {
            return Err(segment.refuse("its ids are not of the kind of the index"));
        }
        let (ids, storage) = (Ids::open(ids, segment, rows)?, attributes.storage);
        let body = match kind {
            SegmentKind::Flat => Body::Flat(Flat::open(segment, storage, rows, dim)?),
            SegmentKind::Ivf(shape) => {
                Body::Ivf(Ivf::open(attributes.metric, storage, shape, segment, rows, dim)?.into())
            }
        };
        let (metric, segment) = (attributes.metric, Some(Arc::clone(segment)));
        Ok((Self { metric, rows, ids, body, segment }, attributes))
    }

    /// Gives `write` the sections of a segment file that holds this part.
    pub(super) fn sections<T>(
        &self,
        attributes: &Attributes,
        write: impl FnOnce(&Sections<'_>) -> Result<T>,
    ) -> Result<T> {
        let kind = match &self.body {
            Body::Flat(_) => SegmentKind::Flat,
            Body::Ivf(ivf) => SegmentKind::Ivf(ivf.shape()),
        };
        let attributes = attributes.clone();
        let about = About { kind, rows: self.rows, ids: self.ids.kind(), attributes };
        let about = serde_json::to_vec(&about).expect("plain data");
        let mut sections = vec![("about", &about[..])];
        self.ids.sections(&mut sections)?;
        match &self.body {
            Body::Flat(flat) => flat.sections(&mut sections)?,
            Body::Ivf(ivf) => ivf.sections(&mut sections)?,
        }
        write(&sections)
    }

    /// The bytes of a segment file that holds this part.
    pub(super) fn to_bytes(&self, attributes: &Attributes) -> Result<Vec<u8>> {
        self.sections(attributes, |sections| Ok(store::segment_bytes(sections)))
    }

    /// The `k` best rows for each of `queries`, which are prepared.
    pub(super) fn search(
        &self,
        queries: MatrixRef<'_>,
        k: usize,
        filter: Filter<'_>,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Found>> {
        let k = k.min(self.rows);
        match &self.body {
            Body::Flat(flat) => flat.search(self.metric, queries, k, filter, threads, cancel),
            Body::Ivf(ivf) => ivf.search(queries, k, filter, search, threads, cancel),
        }
    }

    /// What a search of `query`, which is prepared, does here.
    pub(super) fn explain(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&Allowed>,
        search: &Search<'_>,
        cancel: &Cancel,
    ) -> Result<Looked> {
        let (rows, lists) = (self.rows, self.lists());
        Ok(match &self.body {
            Body::Flat(_) => {
                let scored = allowed.map_or(rows, Allowed::count) as u64;
                Looked { rows, lists, probed: Vec::new(), codes: 0, filtered: 0, scored }
            }
            Body::Ivf(ivf) => {
                let (probed, cost, filtered) =
                    ivf.probed(query, k.min(rows), allowed, search, cancel)?;
                let Cost { codes, rows: scored } = cost;
                Looked { rows, lists, probed, codes, filtered, scored }
            }
        })
    }

    /// About how many multiplications a search of rows of `dim` numbers takes for each query.
    pub(super) fn work(&self, dim: usize, search: &Search<'_>) -> usize {
        match &self.body {
            Body::Ivf(ivf) if search.looks_into_lists() => ivf.work(search),
            _ => self.rows * dim,
        }
    }

    /// Refuses ids that do not ascend, and what the body finds wrong with itself.
    pub(super) fn check(&self, metric: Metric, threads: Threads, cancel: &Cancel) -> Result<()> {
        self.ids.check(self.rows)?;
        match &self.body {
            Body::Flat(flat) => flat.check(metric, threads, cancel),
            Body::Ivf(ivf) => ivf.check(metric, threads, cancel),
        }
    }

    /// Writes the numbers of row `row`, as they are kept.
    pub(super) fn read(&self, row: usize, out: &mut [f32]) -> Result<()> {
        match &self.body {
            Body::Flat(flat) => flat.read(row, out),
            Body::Ivf(ivf) => ivf.read(row, out),
        }
    }

    /// What the scores mean.
    pub(super) fn metric(&self) -> Metric {
        self.metric
    }

    /// How many rows, dead ones included.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// How they are called.
    pub(super) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Its lists; `None` if every search looks at all rows.
    pub(super) fn lists(&self) -> Option<usize> {
        match &self.body {
            Body::Flat(_) => None,
            Body::Ivf(ivf) => Some(ivf.lists()),
        }
    }

    /// Where it lies, if it does.
    pub(super) fn segment(&self) -> Option<&Arc<Segment>> {
        self.segment.as_ref()
    }
}

impl Kind {
    /// Lists for `rows` rows that are added to an index of this kind; a build of its own is taken at
    /// its word, what is added or merged later gets lists when it is worth them.
    pub(super) fn lists(self, rows: usize, first: bool) -> Option<Lists> {
        match self {
            Self::Flat => None,
            Self::Ivf(lists) if first && rows > 0 => Some(lists),
            Self::Ivf(lists) if rows >= LARGE => Some(Lists { lists: None, ..lists }),
            Self::Auto if rows >= LARGE => Some(Lists::default()),
            Self::Auto | Self::Ivf(_) => None,
        }
    }
}
