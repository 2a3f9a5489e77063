//! Rows by their position among the ids, ascending: how what is kept beside an index numbers them.
//! The lower position is the lower id, as masks have it.

use super::index::{Index, Place};
use super::select::Pick;
use super::{HitIds, IdKind, Names, Search};
use crate::rng::Rng;
use crate::topk::Scored;
use crate::{Cancel, MatrixRef, Result, Threads};

/// Which positions one query may find.
#[derive(Debug)]
pub(crate) struct May {
    rows: usize,
    /// Ascending; `None` is all.
    only: Option<Vec<usize>>,
    /// Ascending.
    except: Vec<usize>,
}

impl May {
    /// Whether the row at `position` may be found.
    pub(crate) fn contains(&self, position: usize) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| only.binary_search(&position).is_ok())
            && self.except.binary_search(&position).is_err()
    }

    /// `count` of those that may, ascending, or all if there are fewer; each set is as likely.
    pub(crate) fn sample(&self, rng: &mut Rng, count: usize) -> Vec<usize> {
        if self.only.is_none() && self.except.is_empty() {
            return rng.sample(self.rows, count.min(self.rows));
        }
        let all = 0..self.only.as_ref().map_or(self.rows, Vec::len);
        let at = |i: usize| self.only.as_ref().map_or(i, |only| only[i]);
        let left: Vec<usize> = all.map(at).filter(|&position| self.contains(position)).collect();
        let picks = rng.sample(left.len(), count.min(left.len()));
        picks.into_iter().map(|pick| left[pick]).collect()
    }
}

impl Index {
    /// What the rows at `positions` are called; panics on a position that is not there.
    pub fn names_at(&self, positions: &[usize]) -> Result<HitIds<'_>> {
        let names = positions.iter().map(|&position| self.name_of(self.place(position)?));
        match self.id_kind() {
            IdKind::Text => {
                names.map(|name| Ok(name?.text())).collect::<Result<_>>().map(HitIds::Text)
            }
            _ => names.map(|name| Ok(name?.number())).collect::<Result<_>>().map(HitIds::Numbers),
        }
    }

    /// Where the rows called so are; `None` for what nothing is called.
    pub fn positions(&self, names: Names<'_>) -> Result<Vec<Option<usize>>> {
        names.expect_kind("ids", self.id_kind())?;
        let position = |name| self.find(name)?.map(|place| self.position(place)).transpose();
        names.iter().map(position).collect()
    }

    /// Writes the numbers of the row at `position`, as they are kept; panics if there is none.
    pub(crate) fn read_at(&self, position: usize, out: &mut [f32]) -> Result<()> {
        let Place { part, row } = self.place(position)?;
        self.parts()[part].part().read(row, out)
    }

    /// The best rows for each query: [`Index::search`], by position.
    pub(crate) fn nearest(
        &self,
        queries: MatrixRef<'_>,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<Scored>>> {
        let found = self.search_places(queries, search, threads, cancel)?;
        let positioned = |(place, score)| Ok(Scored { score, id: self.position(place)? as u64 });
        found.into_iter().map(|hits| hits.into_iter().map(positioned).collect()).collect()
    }

    /// What query `i` of `search`, whose filters fit this index, may find.
    pub(crate) fn may(&self, search: &Search<'_>, i: usize) -> Result<May> {
        let only = Pick::of(search.only, i).map(|only| self.positions_of(only)).transpose()?;
        let except = Pick::of(search.except, i).map(|except| self.positions_of(except));
        Ok(May { rows: self.len(), only, except: except.transpose()?.unwrap_or_default() })
    }

    fn positions_of(&self, pick: Pick<'_>) -> Result<Vec<usize>> {
        match pick {
            Pick::Mask(mask) => Ok((0..mask.len()).filter(|&i| mask[i]).collect()),
            Pick::Ids(names) => {
                let found = self.positions(names)?;
                let mut found: Vec<usize> = found.into_iter().flatten().collect();
                found.sort_unstable();
                found.dedup();
                Ok(found)
            }
        }
    }

    fn place(&self, position: usize) -> Result<Place> {
        Ok(if self.is_whole() { Place { part: 0, row: position } } else { self.order()?[position] })
    }

    fn position(&self, place: Place) -> Result<usize> {
        if self.is_whole() {
            return Ok(place.row);
        }
        let (order, name) = (self.order()?, self.name_of(place)?);
        let (mut low, mut high) = (0, order.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.name_of(order[middle])? < name { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// Whether rows lie in one part, in the order of their ids, none of them dead.
    fn is_whole(&self) -> bool {
        matches!(self.parts(), [one] if one.allowed().is_none())
    }
}
