//! From what a caller may find to bits.
//!
//! A few excluded rows cost no bits: so many results more are asked for, and the excluded ones dropped.
//! That serves the mining of negatives, where every query excludes a handful of rows of its own.

use std::collections::BTreeMap;
use std::ops::Range;

use super::filter::{Allowed, Bits, Filter};
use super::index::{Index, Live};
use super::{Names, Search};
use crate::{Error, Result};

/// Bytes of filters that lie in memory at a time when each query has its own.
const FILTERS: usize = 64 << 20;
/// Up to so many excluded ids are dropped from a longer list of results.
const DROPPED: usize = 256;

/// Rows of an index, as a caller names them.
#[derive(Debug, Clone, Copy)]
pub enum Pick<'a> {
    /// Those called so; what nothing is called is no row.
    Ids(Names<'a>),
    /// Those at which it is true: place `i` is the row with the `i`-th id, ascending.
    Mask(&'a [bool]),
}

impl<'a> Pick<'a> {
    /// The pick of query `i`.
    pub(super) fn of(picks: &[Pick<'a>], i: usize) -> Option<Pick<'a>> {
        match picks {
            [] => None,
            [all] => Some(*all),
            each => Some(each[i]),
        }
    }

    /// Those rows of part `at` of `index`.
    fn bits(self, index: &Index, at: usize) -> Result<Bits> {
        let part = index.parts()[at].part();
        let mut bits = Bits::none(part.rows());
        match self {
            Self::Ids(names) => {
                for name in names.iter() {
                    if let Some(row) = part.ids().find(name, part.rows())? {
                        bits.insert(row);
                    }
                }
            }
            Self::Mask(mask) => {
                let order = index.order()?;
                let own = order.iter().zip(mask).filter(|(place, may)| **may && place.part == at);
                own.for_each(|(place, _)| bits.insert(place.row));
            }
        }
        Ok(bits)
    }
}

impl Search<'_> {
    /// The excluded ids of query `i`, if they are few.
    pub(super) fn dropped(&self, i: usize) -> Option<Names<'_>> {
        match Pick::of(self.except, i) {
            Some(Pick::Ids(names)) if names.len() <= DROPPED => Some(names),
            _ => None,
        }
    }

    /// Whether no filter or prefix may make this a search of all rows.
    pub(super) fn looks_into_lists(&self) -> bool {
        self.only.is_empty() && self.except.is_empty() && self.dim.is_none()
    }

    /// Refuses filters that do not fit `index` or the number of queries.
    pub(crate) fn expect_filters(&self, index: &Index, queries: usize) -> Result<()> {
        for (what, picks) in [("filter", self.only), ("exclude", self.except)] {
            if picks.len() > 1 && picks.len() != queries {
                return Err(Error::Length { what, want: queries, got: picks.len() });
            }
            for pick in picks {
                match pick {
                    Pick::Ids(names) => names.expect_kind(what, index.id_kind())?,
                    Pick::Mask(mask) if mask.len() == index.len() => {}
                    Pick::Mask(mask) => {
                        return Err(Error::Length { what, want: index.len(), got: mask.len() });
                    }
                }
            }
        }
        Ok(())
    }

    /// Queries that are searched alike: by whether bits say what they may find, and by how many
    /// results more they ask for, so that excluded ones can be dropped. Both follow from the query's
    /// own filters, so a query alone and among others is searched in the same way.
    pub(super) fn groups(&self, queries: usize) -> BTreeMap<Group, Vec<usize>> {
        let mut groups = BTreeMap::<Group, Vec<usize>>::new();
        for i in 0..queries {
            let count = self.dropped(i).map_or(0, Names::len);
            let spare = if count == 0 { 0 } else { count.next_power_of_two() };
            let bits =
                !self.only.is_empty() || (!self.except.is_empty() && self.dropped(i).is_none());
            groups.entry(Group { bits, spare }).or_default().push(i);
        }
        groups
    }

    /// Whether the bits of queries may differ.
    fn own(&self) -> bool {
        self.only.len() > 1
            || (self.except.len() > 1 && (0..self.except.len()).any(|i| self.dropped(i).is_none()))
    }

    /// Runs of `queries` whose bits lie in memory together.
    pub(super) fn shares(&self, group: Group, queries: usize, rows: usize) -> Vec<Range<usize>> {
        let share = if group.bits && self.own() {
            (FILTERS / (rows / 8 + 1)).max(1)
        } else {
            queries.max(1)
        };
        (0..queries).step_by(share).map(|i| i..(i + share).min(queries)).collect()
    }
}

/// What queries that are searched alike have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    /// Whether bits say what each may find.
    bits: bool,
    /// Results that each asks for beyond those that are wanted.
    pub(super) spare: usize,
}

/// What queries may find in one part.
pub(super) enum Selected<'a> {
    /// Its live rows.
    Live(&'a Live),
    /// These; one for all queries, or one for each.
    These(Vec<Allowed>),
}

impl<'a> Selected<'a> {
    /// What `queries` of `search` may find in part `at` of `index`.
    pub(super) fn new(
        index: &'a Index,
        at: usize,
        group: Group,
        queries: &[usize],
        search: &Search<'_>,
    ) -> Result<Self> {
        let live = &index.parts()[at];
        if !group.bits {
            return Ok(Self::Live(live));
        }
        let one = |&i: &usize| {
            let mut bits = match Pick::of(search.only, i) {
                Some(only) => only.bits(index, at)?,
                None => Bits::all(live.part().rows()),
            };
            if let Some(allowed) = live.allowed() {
                bits.intersect(allowed.bits());
            }
            if let (Some(except), None) = (Pick::of(search.except, i), search.dropped(i)) {
                bits.subtract(&except.bits(index, at)?);
            }
            Ok(Allowed::chosen(live.part().rows(), bits))
        };
        let several = if search.own() { queries } else { &queries[..1] };
        several.iter().map(one).collect::<Result<_>>().map(Self::These)
    }

    pub(super) fn filter(&self) -> Filter<'_> {
        match self {
            Self::Live(live) => live.allowed().map_or(Filter::All, Filter::Shared),
            Self::These(these) if these.len() == 1 => Filter::Shared(&these[0]),
            Self::These(these) => Filter::Each(these),
        }
    }
}
