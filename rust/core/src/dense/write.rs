//! From one snapshot to the next: add, upsert, delete, compact.
//!
//! Rows that are added become a part of their own, rows that are deleted stay where they are and are
//! remembered as dead. So that many small adds do not leave many small parts, parts of like size are
//! merged as soon as there are [`MERGED`] of them: a row is copied once for each power of [`MERGED`]
//! that its part grows through, and of the parts below [`LARGE`] rows there are never more than 35.
//! Larger parts are merged when the caller says so ([`Index::compact`]).

use super::filter::Bits;
use super::ids::{Ids, Name};
use super::index::{Header, Index, Live, Place};
use super::part::Part;
use super::{IdKind, Kind, LARGE, Lists, MOST_ROWS, Names, NewIds};
use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads};

/// So many small parts of like size become one.
const MERGED: usize = 8;
/// No k-means of codes with fewer rows.
const FEWEST_IN_LISTS: usize = 16;

impl Index {
    /// This index and the rows `vectors`, called `ids`; refuses an id that is already there. Without
    /// ids rows are called by the numbers after the highest that ever was.
    pub fn add(
        &self,
        vectors: MatrixRef<'_>,
        ids: NewIds<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        let lists = self.header().kind.lists(vectors.rows(), false);
        self.with_part(vectors, ids, lists, threads, cancel)?.tidy(threads, cancel)
    }

    /// This index and the rows `vectors`, called `ids`, in place of those that were called so.
    pub fn upsert(
        &self,
        vectors: MatrixRef<'_>,
        ids: Names<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        let new = match ids {
            Names::Numbers(numbers) => NewIds::Numbers(numbers),
            Names::Text(texts) => NewIds::Text(texts),
        };
        let rest = if self.parts().is_empty() { self.clone() } else { self.delete(ids)? };
        rest.add(vectors, new, threads, cancel)
    }

    /// This index without the rows called `ids`; what nothing is called is no row.
    pub fn delete(&self, ids: Names<'_>) -> Result<Self> {
        ids.expect_kind("ids", self.id_kind())?;
        let mut dead: Vec<Option<Bits>> = self.parts().iter().map(|_| None).collect();
        for name in ids.iter() {
            if let Some(Place { part, row }) = self.find(name)? {
                let none = || Bits::none(self.parts()[part].part().rows());
                dead[part].get_or_insert_with(none).insert(row);
            }
        }
        let parts = self.parts().iter().zip(dead);
        let parts = parts.filter_map(|(live, dead)| match dead {
            Some(dead) => live.without(&dead),
            None => Some(live.clone()),
        });
        let mut rest = Self::new(self.header().clone(), parts.collect());
        let gone = self.len() - rest.len();
        rest.header_mut().age(gone);
        Ok(rest)
    }

    /// The same rows, built together: what [`Index::build`] would make of them.
    pub fn compact(&self, threads: Threads, cancel: &Cancel) -> Result<Self> {
        let lists = match self.header().kind {
            Kind::Ivf(lists) if self.len() >= FEWEST_IN_LISTS => {
                Some(Lists { lists: lists.lists.map(|lists| lists.min(self.len())), ..lists })
            }
            Kind::Ivf(_) => None,
            kind => kind.lists(self.len(), true),
        };
        match self.parts() {
            [] => return Ok(self.clone()),
            [one] if self.dead() == 0 && one.part().lists().is_some() == lists.is_some() => {
                return Ok(self.clone());
            }
            _ => {}
        }
        let all: Vec<usize> = (0..self.parts().len()).collect();
        self.merge(&all, lists, threads, cancel)
    }

    /// This index with one part more.
    pub(super) fn with_part(
        &self,
        vectors: MatrixRef<'_>,
        ids: NewIds<'_>,
        lists: Option<Lists>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut header = self.header().clone();
        let vectors = vectors.expect_dim("vectors", self.dim())?;
        if vectors.rows() > MOST_ROWS {
            return Err(Error::range(
                "vectors",
                format!("at most {MOST_ROWS} rows"),
                vectors.rows(),
            ));
        }
        let (ids, order) = header.take(ids, vectors.rows(), self.parts().is_empty())?;
        for row in 0..vectors.rows() {
            if row % LARGE == 0 {
                cancel.check()?;
            }
            let name = ids.name(row)?;
            if self.find(name)?.is_some() {
                let want = "new to the index (upsert replaces)";
                return Err(Error::range("ids", want, format!("{name}, which is there")));
            }
        }
        let metric = self.metric();
        let rows = metric.prepare("vectors", vectors, Some(&order), threads, cancel)?;
        self.storage().expect(rows.view(), &order, threads, cancel)?;
        header.age(vectors.rows());
        if vectors.rows() == 0 && lists.is_none() {
            return Ok(Self::new(header, self.parts().to_vec()));
        }
        let seed = header.seed;
        let part = Part::build(&header.attributes, rows, ids, lists, seed, threads, cancel)?;
        let mut parts = self.parts().to_vec();
        parts.push(Live::new(part));
        Ok(Self::new(header, parts))
    }

    /// Merges small parts until there are fewer than [`MERGED`] of like size.
    fn tidy(self, threads: Threads, cancel: &Cancel) -> Result<Self> {
        let mut index = self;
        loop {
            let mut levels: Vec<Vec<usize>> = Vec::new();
            for (at, live) in index.parts().iter().enumerate() {
                if live.part().lists().is_none() && live.len() < LARGE {
                    // A segment that holds nothing is as small as one row.
                    let level = live.len().max(1).ilog(MERGED) as usize;
                    levels.resize_with(levels.len().max(level + 1), Vec::new);
                    levels[level].push(at);
                }
            }
            let Some(full) = levels.into_iter().find(|level| level.len() >= MERGED) else {
                return Ok(index);
            };
            let rows = full.iter().map(|&at| index.parts()[at].len()).sum();
            let lists = index.header().kind.lists(rows, false);
            index = index.merge(&full, lists, threads, cancel)?;
        }
    }

    /// This index with the live rows of the parts `picks` as one part, the last.
    fn merge(
        &self,
        picks: &[usize],
        lists: Option<Lists>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut named: Vec<(Name<'_>, Place)> = Vec::new();
        for &part in picks {
            let live = &self.parts()[part];
            for row in live.rows() {
                named.push((live.part().ids().name(row)?, Place { part, row }));
            }
        }
        if named.len() > MOST_ROWS {
            return Err(Error::range(
                "a segment",
                format!("at most {MOST_ROWS} rows"),
                named.len(),
            ));
        }
        named.sort_by_key(|(name, _)| *name);
        let mut rows = Matrix::zeros(named.len(), self.dim());
        threads.chunks_mut(rows.data_mut(), self.dim(), LARGE, cancel, |first, chunk| {
            for (out, (_, place)) in chunk.chunks_exact_mut(self.dim()).zip(&named[first..]) {
                self.parts()[place.part].part().read(place.row, out)?;
            }
            Ok(())
        })?;
        let ids = Ids::sorted(self.id_kind(), named.iter().map(|(name, _)| *name));
        let header = self.header().clone();
        let seed = header.seed;
        let part = Part::build(&header.attributes, rows, ids, lists, seed, threads, cancel)?;
        let mut parts = self.parts().to_vec();
        let mut at = 0..;
        parts.retain(|_| !picks.contains(&at.next().expect("numbers do not end")));
        parts.push(Live::new(part));
        Ok(Self::new(header, parts))
    }
}

impl Header {
    /// The ids of `rows` new rows, ascending, and the row that each belongs to.
    fn take(&mut self, ids: NewIds<'_>, rows: usize, first: bool) -> Result<(Ids, Vec<usize>)> {
        let (kind, nothing) = (ids.kind(), rows == 0 && ids.len() == Some(0));
        if first && !nothing {
            // An index without rows takes the kind of the first that come.
            self.attributes.ids = kind;
        } else if kind != self.attributes.ids && !nothing {
            let name = |kind| if kind == IdKind::Text { "text" } else { "numbers" };
            let want = format!("{}, as this index has", name(self.attributes.ids));
            return Err(Error::range("ids", want, name(kind)));
        }
        let full = || Error::range("ids", "given (the numbers are used up)", "none");
        let numbers: Vec<i64>;
        let ids = match ids {
            NewIds::Rows if self.next > 0 => {
                let end = i64::try_from(rows).ok().and_then(|rows| self.next.checked_add(rows));
                numbers = (self.next..end.ok_or_else(full)?).collect();
                NewIds::Numbers(&numbers)
            }
            ids => ids,
        };
        let (ids, order) = Ids::build(ids, rows)?;
        if rows > 0 && kind == IdKind::Numbers {
            self.next = self.next.max(ids.number(rows - 1)?.saturating_add(1));
        }
        Ok((ids, order))
    }
}
