//! An index at one moment: parts, and which of their rows are gone.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::filter::{Allowed, Bits};
use super::ids::{Ids, Name};
use super::part::Part;
use super::{
    Attributes, Build, HitIds, IdKind, Kind, MOST_COLUMNS, Metric, Names, NewIds, Storage,
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
    /// What recall costs, by growing k.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) curves: Vec<Curve>,
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
        let (storage, encoder) = (build.storage, build.encoder.clone());
        let attributes = Attributes { metric, dim, ids: ids.kind(), storage, encoder };
        let header =
            Header { attributes, kind: build.kind, seed: build.seed, next: 0, curves: Vec::new() };
        let lists = build.kind.lists(vectors.rows(), true);
        Self::new(header, Vec::new()).with_part(vectors, ids, lists, threads, cancel)
    }

    pub(super) fn new(header: Header, parts: Vec<Live>) -> Self {
        Self { header, parts, order: Arc::default() }
    }

    pub(super) fn name_of(&self, place: Place) -> Result<Name<'_>> {
        self.parts[place.part].part().ids().name(place.row)
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
        let header = Header { attributes, kind, seed: 0, next: 0, curves: Vec::new() };
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

    pub(super) fn header_mut(&mut self) -> &mut Header {
        &mut self.header
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
