//! An index at one moment: parts, and which of their rows are gone.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::filter::{Allowed, Bits};
use super::ids::{Ids, Name};
use super::part::Part;
use super::select::{Group, Selected};
use super::{
    Attributes, Build, Cost, Found, HitIds, Hits, IdKind, Kind, MOST_COLUMNS, MOST_RESULTS, Metric,
    Names, NewIds, Search, Storage,
};
use crate::store::Segment;
use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads};

/// What the manifest says of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) attributes: Attributes,
    /// How rows that are added or compacted are built.
    pub(super) kind: Kind,
    pub(super) seed: u64,
    /// The number that the next row without an id is called; above all that ever were.
    pub(super) next: i64,
}

/// A part and its live rows.
#[derive(Debug, Clone)]
pub(super) struct Live {
    part: Arc<Part>,
    gone: Option<Arc<Gone>>,
}

/// Which rows of a part are dead.
#[derive(Debug)]
struct Gone {
    live: Allowed,
    /// Where that is written, if it is.
    segment: Option<Arc<Segment>>,
}

impl Live {
    pub(super) fn new(part: Part) -> Self {
        Self { part: Arc::new(part), gone: None }
    }

    /// The same part, with `live` for its live rows, as `segment` says if it is written.
    pub(super) fn with(&self, live: Allowed, segment: Option<Arc<Segment>>) -> Self {
        Self { part: Arc::clone(&self.part), gone: Some(Arc::new(Gone { live, segment })) }
    }

    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    /// The live rows; `None` is all.
    pub(super) fn allowed(&self) -> Option<&Allowed> {
        self.gone.as_deref().map(|gone| &gone.live)
    }

    /// Where it is written which rows are dead.
    pub(super) fn gone_segment(&self) -> Option<&Arc<Segment>> {
        self.gone.as_deref()?.segment.as_ref()
    }

    /// How many rows are live.
    pub(super) fn len(&self) -> usize {
        self.allowed().map_or(self.part.rows(), Allowed::count)
    }

    /// The live row that is called `name`.
    pub(super) fn find(&self, name: Name<'_>) -> Result<Option<usize>> {
        let row = self.part.ids().find(name, self.part.rows())?;
        Ok(row.filter(|&row| self.allowed().is_none_or(|live| live.contains(row))))
    }

    /// The live rows, ascending.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        let all = self.part.rows();
        let some = self.allowed().map(|live| live.iter(0..all));
        let every = some.is_none().then_some(0..all);
        some.into_iter().flatten().chain(every.into_iter().flatten())
    }

    /// The dead rows, ascending.
    pub(super) fn dead(&self) -> impl Iterator<Item = usize> + '_ {
        let live = self.allowed();
        (0..self.part.rows()).filter(move |&row| live.is_some_and(|live| !live.contains(row)))
    }
}

/// Where a row is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Number of the part.
    pub(super) part: usize,
    /// Row in the part.
    pub(super) row: usize,
}

/// A result: a row and its score.
#[derive(Debug, Clone, Copy)]
struct Hit {
    place: Place,
    score: f32,
}

/// An index over rows of one length, as it is at one moment.
///
/// It never changes: [`Index::add`] and its kin return another one, which shares what is the same.
#[derive(Debug, Clone)]
pub struct Index {
    header: Header,
    parts: Vec<Live>,
    order: Arc<OnceLock<Vec<Place>>>,
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
        let (metric, dim) = (build.metric, vectors.dim());
        if dim > MOST_COLUMNS {
            return Err(Error::range("vectors", format!("at most {MOST_COLUMNS} columns"), dim));
        }
        let ids_kind = if matches!(ids, NewIds::Text(_)) { IdKind::Text } else { IdKind::Numbers };
        let (storage, encoder) = (build.storage, build.encoder.clone());
        let attributes = Attributes { metric, dim, ids: ids_kind, storage, encoder };
        let header = Header { attributes, kind: build.kind, seed: build.seed, next: 0 };
        let lists = build.kind.lists(vectors.rows(), true);
        Self::new(header, Vec::new()).with_part(vectors, ids, lists, threads, cancel)
    }

    pub(super) fn new(header: Header, parts: Vec<Live>) -> Self {
        Self { header, parts, order: Arc::default() }
    }

    /// The best rows for each query.
    ///
    /// Refuses queries of another length, what [`Index::build`] refuses in vectors, and filters that
    /// fit neither the index nor the queries.
    pub fn search(
        &self,
        queries: MatrixRef<'_>,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Hits<'_>> {
        let queries = self.expect_search(queries, search)?;
        let queries = self.metric().prepare("queries", queries, None, threads, cancel)?;
        let count = queries.view().rows();
        let mut found: Vec<(Vec<Hit>, Cost)> = Vec::new();
        found.resize_with(count, Default::default);
        for (group, members) in search.groups(count) {
            let gathered = (members.len() < count).then(|| queries.view().gather(&members));
            let queries = gathered.as_ref().map_or(queries.view(), Matrix::view);
            for share in search.shares(group, members.len(), self.len()) {
                let members = &members[share.clone()];
                let results = self.search_alike(
                    queries.slice(share),
                    members,
                    group,
                    search,
                    threads,
                    cancel,
                )?;
                for (&i, result) in members.iter().zip(results) {
                    found[i] = result;
                }
            }
        }
        self.name(found, search)
    }

    fn expect_search<'a>(
        &self,
        queries: MatrixRef<'a>,
        search: &Search<'_>,
    ) -> Result<MatrixRef<'a>> {
        if !(1..=MOST_RESULTS).contains(&search.k) {
            return Err(Error::range("k", format!("1 to {MOST_RESULTS}"), search.k));
        }
        if search.probes == Some(0) {
            return Err(Error::range("probes", "at least 1", 0));
        }
        if search.min_score.is_nan() {
            return Err(Error::range("min_score", "a number", "NaN"));
        }
        let dim = search.dim.unwrap_or(self.dim());
        if !(1..=self.dim()).contains(&dim) {
            return Err(Error::range("dim", format!("1 to {}", self.dim()), dim));
        }
        search.expect_filters(self, queries.rows())?;
        queries.expect_dim("queries", dim)
    }

    /// Results of `queries`, which are prepared, of one group, and are `members` of all.
    fn search_alike(
        &self,
        queries: MatrixRef<'_>,
        members: &[usize],
        group: Group,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<(Vec<Hit>, Cost)>> {
        let k = search.k + group.spare;
        let mut results: Vec<(Vec<Hit>, Cost)> = vec![Default::default(); queries.rows()];
        for (at, live) in self.parts.iter().enumerate() {
            let selected = Selected::new(self, at, group, members, search)?;
            let part = live.part();
            let found = match search.dim {
                Some(_) => {
                    let k = k.min(part.rows());
                    part.search_prefix(queries, k, selected.filter(), threads, cancel)?
                }
                None => {
                    let filter = selected.filter();
                    part.search(queries, k, filter, search, threads, cancel)?
                }
            };
            for ((hits, cost), Found { best, cost: more }) in results.iter_mut().zip(found) {
                let place = |row: u64| Place { part: at, row: row as usize };
                hits.extend(best.iter().map(|b| Hit { place: place(b.id), score: b.score }));
                cost.codes += more.codes;
                cost.rows += more.rows;
            }
        }
        for ((hits, _), &i) in results.iter_mut().zip(members) {
            if self.parts.len() > 1 {
                self.rank(hits)?;
            }
            hits.truncate(k);
            if let Some(dropped) = search.dropped(i) {
                self.drop_named(hits, dropped)?;
            }
            hits.truncate(search.k);
            hits.retain(|hit| hit.score >= search.min_score);
        }
        Ok(results)
    }

    /// Sorts by score, then by id.
    fn rank(&self, hits: &mut Vec<Hit>) -> Result<()> {
        let named = hits.iter().map(|&hit| Ok((self.name_of(hit.place)?, hit)));
        let mut named = named.collect::<Result<Vec<_>>>()?;
        // -0.0 and 0.0 are one score, as in `topk`.
        let score = |hit: &Hit| hit.score + 0.0;
        named.sort_by(|(a, x), (b, y)| score(y).total_cmp(&score(x)).then_with(|| a.cmp(b)));
        hits.clear();
        hits.extend(named.into_iter().map(|(_, hit)| hit));
        Ok(())
    }

    fn drop_named(&self, hits: &mut Vec<Hit>, dropped: Names<'_>) -> Result<()> {
        let mut kept = Vec::with_capacity(hits.len());
        for &hit in &*hits {
            let name = self.name_of(hit.place)?;
            if dropped.iter().all(|dropped| dropped != name) {
                kept.push(hit);
            }
        }
        *hits = kept;
        Ok(())
    }

    fn name_of(&self, place: Place) -> Result<Name<'_>> {
        self.parts[place.part].part().ids().name(place.row)
    }

    /// Rows found, called by their ids.
    fn name(&self, found: Vec<(Vec<Hit>, Cost)>, search: &Search<'_>) -> Result<Hits<'_>> {
        let k = search.k;
        let places = found.len() * k;
        let mut scores = vec![f32::NEG_INFINITY; places];
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        match self.id_kind() {
            IdKind::Text => texts.resize(places, None),
            _ => numbers.resize(places, -1),
        }
        for (query, (hits, _)) in found.iter().enumerate() {
            for (place, hit) in (query * k..).zip(hits) {
                scores[place] = hit.score;
                match self.name_of(hit.place)? {
                    Name::Text(text) => texts[place] = Some(text),
                    Name::Number(number) => numbers[place] = number,
                }
            }
        }
        let ids = match self.id_kind() {
            IdKind::Text => HitIds::Text(texts),
            _ => HitIds::Numbers(numbers),
        };
        let counts = found.iter().map(|(hits, _)| hits.len() as i64).collect();
        let costs = found.iter().map(|(_, cost)| *cost).collect();
        Ok(Hits { k, ids, scores, counts, costs })
    }

    /// The vectors of the rows called `ids`, as they are kept: under cosine of length 1. Refuses an id
    /// that nothing is called.
    pub fn get(&self, ids: Names<'_>) -> Result<Matrix> {
        ids.expect_kind("ids", self.id_kind())?;
        let mut vectors = Matrix::zeros(ids.len(), self.dim());
        for (i, name) in ids.iter().enumerate() {
            let place = self.find(name)?.ok_or_else(|| Error::missing(name))?;
            self.parts[place.part].part().read(place.row, vectors.row_mut(i))?;
        }
        Ok(vectors)
    }

    /// For each of `ids`, whether a row is called so.
    pub fn contains(&self, ids: Names<'_>) -> Result<Vec<bool>> {
        ids.expect_kind("ids", self.id_kind())?;
        ids.iter().map(|name| Ok(self.find(name)?.is_some())).collect()
    }

    /// The id of every row, ascending.
    pub fn ids(&self) -> Result<HitIds<'_>> {
        let names = self.order()?.iter().map(|&place| self.name_of(place));
        match self.id_kind() {
            IdKind::Text => {
                names.map(|name| Ok(name?.text())).collect::<Result<_>>().map(HitIds::Text)
            }
            _ => names.map(|name| Ok(name?.number())).collect::<Result<_>>().map(HitIds::Numbers),
        }
    }

    /// Where the live row called `name` is.
    pub(super) fn find(&self, name: Name<'_>) -> Result<Option<Place>> {
        for (part, live) in self.parts.iter().enumerate() {
            if let Some(row) = live.find(name)? {
                return Ok(Some(Place { part, row }));
            }
        }
        Ok(None)
    }

    /// Every live row, by its id ascending; found at the first call.
    pub(super) fn order(&self) -> Result<&[Place]> {
        if self.order.get().is_none() {
            let mut order = Vec::with_capacity(self.len());
            for (part, live) in self.parts.iter().enumerate() {
                for row in live.rows() {
                    let place = Place { part, row };
                    order.push((self.name_of(place)?, place));
                }
            }
            if self.parts.len() > 1 {
                order.sort_by_key(|(name, _)| *name);
            }
            let _ = self.order.set(order.into_iter().map(|(_, place)| place).collect());
        }
        Ok(self.order.get().expect("set above, or by another thread"))
    }

    /// The index that lies in one segment, as [`Index::to_segment`] wrote it.
    pub fn from_segment(segment: &Arc<Segment>) -> Result<Self> {
        let (part, attributes) = Part::open(segment)?;
        let kind = part.lists().map_or(Kind::Flat, |_| Kind::Ivf(super::Lists::default()));
        let header = Header { attributes, kind, seed: 0, next: 0 };
        Ok(Self::new(header, vec![Live::new(part)]))
    }

    /// The bytes of a segment file that holds this index: its rows if they were built together, of
    /// which none is gone.
    pub fn to_segment(&self) -> Result<Vec<u8>> {
        match &self.parts[..] {
            [] => {
                let rows = Matrix::zeros(0, self.dim());
                let (threads, cancel) = (Threads::ONE, Cancel::new());
                let (attributes, ids) = (&self.header.attributes, Ids::none(self.id_kind()));
                Part::build(attributes, rows, ids, None, 0, threads, &cancel)?.to_bytes(attributes)
            }
            [one] if one.allowed().is_none() => one.part().to_bytes(&self.header.attributes),
            parts => Err(Error::range("index", "one segment (compact it first)", parts.len())),
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Live::len).sum()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `other` is the same snapshot, by what lies in the files.
    pub fn same_rows(&self, other: &Self) -> bool {
        let files = |index: &Self| -> Vec<_> {
            let parts = index.parts.iter();
            let both = |live: &Live| [live.part().segment().cloned(), live.gone_segment().cloned()];
            parts.flat_map(both).map(|segment| segment.map(|s| s.path().to_owned())).collect()
        };
        self.header == other.header && files(self) == files(other)
    }

    /// Lists that the rows are in; `None` if every search looks at all rows.
    pub fn lists(&self) -> Option<usize> {
        self.parts.iter().filter_map(|live| live.part().lists()).reduce(|a, b| a + b)
    }

    /// Segments that the rows are in.
    pub fn segments(&self) -> usize {
        self.parts.len()
    }

    /// Rows that are deleted but still lie in a segment.
    pub fn dead(&self) -> usize {
        self.parts.iter().map(|live| live.part().rows() - live.len()).sum()
    }

    /// Numbers in a row.
    pub fn dim(&self) -> usize {
        self.header.attributes.dim
    }

    /// What the scores mean.
    pub fn metric(&self) -> Metric {
        self.header.attributes.metric
    }

    /// How the rows are kept.
    pub fn storage(&self) -> Storage {
        self.header.attributes.storage
    }

    /// How rows are called: by numbers or by text.
    pub fn id_kind(&self) -> IdKind {
        self.header.attributes.ids
    }

    /// The fingerprint of the encoder that made the vectors, if it was told.
    pub fn encoder(&self) -> Option<&str> {
        self.header.attributes.encoder.as_deref()
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn parts(&self) -> &[Live] {
        &self.parts
    }
}

impl Live {
    /// The same part without the rows `dead`; `None` if none is left.
    pub(super) fn without(&self, dead: &Bits) -> Option<Self> {
        let live = match self.allowed() {
            Some(live) => live.without(dead),
            None => Allowed::new(self.part.rows(), Bits::all(self.part.rows())).without(dead),
        };
        (live.count() > 0).then(|| self.with(live, None))
    }
}
