//! From a query to the best of the rows that a filter lets through.
//!
//! How many lists and candidates a query needs depends on how densely scores lie below that of its k-th
//! best row, and with a filter that row is another. So on its way through the first lists a search
//! notes how deep below the k-th best of all rows it would have looked without the filter, and then
//! looks as deep below the k-th best that is allowed. Where the filter has nothing to do with the query
//! that takes little more than a search without; where it forbids just what is near, nearly all of
//! the rest.
//!
//! Codes err, and of many rows of like score those rise to the top whose codes say too much. The k-th
//! best code then lies above the k-th best score, which is seen once rows are scored; if that is so by
//! more than it is without the filter, the search is done again, as deep below that score. Rows that are
//! merely deleted mostly forbid nothing because of the query: they need no second look, and less depth.

use super::Ivf;
use super::search::{Effort, Query, Scratch};
use crate::dense::filter::Allowed;
use crate::dense::{Cost, Found};
use crate::{Cancel, Result};

/// Rows scored exactly for each result, of those that would be found without the filter, to learn what
/// codes say beyond scores.
const COMPARED: usize = 4;
/// The part of the depth by which the k-th best code may mislead.
const TOLERATED: f32 = 0.1;
/// Part of the depth that is looked to where rows are merely deleted: then recall stays what it was, for
/// which the whole depth compares up to half as many codes again.
const DELETED: f32 = 0.8;

/// How deep below what the code of its k-th best row says a search looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Depth {
    /// What that code says.
    pub(super) kth: f32,
    /// From there to what the last list may reach.
    pub(super) lists: f32,
    /// From there to the last code whose row is scored exactly, in whole scores.
    pub(super) codes: i32,
}

/// When a way through the lists ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// As the effort says; under a filter, then as deep as it would have ended without.
    Effort,
    /// So deep below the code of the k-th best row so far.
    Below(Depth),
    /// So deep below this score.
    From(f32, Depth),
}

/// A way through the lists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned {
    /// Codes compared.
    pub(super) codes: usize,
    /// What the code of the k-th best row says; −∞ if there are fewer.
    pub(super) kth: f32,
    /// Under a filter, how deep it went.
    pub(super) depth: Option<Depth>,
    /// Whether rows within that depth may have been turned away, before it was known.
    pub(super) missed: bool,
}

impl Ivf {
    /// The best rows found among those that are `allowed`.
    pub(super) fn search_filtered(
        &self,
        query: Query<'_>,
        allowed: &Allowed,
        effort: Effort,
        scratch: &mut Scratch,
        cancel: &Cancel,
    ) -> Result<Found> {
        let part = if allowed.is_chosen() { 1.0 } else { DELETED };
        let effort = Effort { part, ..effort };
        self.begin(query, effort, scratch)?;
        let places = Some(allowed.places(self.rows.all()?));
        let scan = |end, scratch: &mut Scratch| {
            self.scan_lists(query, places, effort, end, scratch, cancel)
        };
        let mut scanned = scan(End::Effort, scratch)?;
        let mut codes = scanned.codes as u64;
        if let (true, Some(depth)) = (scanned.missed, scanned.depth) {
            scanned = scan(End::Below(depth), scratch)?;
            codes += scanned.codes as u64;
        }
        let candidates = scratch.best.finish();
        let mut rows = candidates.len() as u64;
        let best = self.rescore(query.numbers, effort.k, candidates, 0, &[])?;
        let found = |best, codes, rows| Ok(Found { best, cost: Cost { codes, rows } });
        let last = best.get(effort.k - 1).filter(|_| allowed.is_chosen());
        let (Some(depth), Some(last)) = (scanned.depth, last) else {
            return found(best, codes, rows);
        };
        let (beyond, compared) = self.beyond(query, effort, depth, scratch)?;
        rows += compared;
        let deep = depth.codes as f32 * scratch.tables.step() - beyond;
        if scanned.kth - last.score - beyond <= TOLERATED * deep {
            return found(best, codes, rows);
        }
        if 2 * rows >= allowed.count() as u64 {
            let Found { best, cost } = self.search_allowed(query.numbers, effort.k, allowed)?;
            return found(best, codes, rows + cost.rows);
        }
        codes += scan(End::From(last.score + beyond, depth), scratch)?.codes as u64;
        let candidates = scratch.best.finish();
        rows += candidates.len() as u64;
        found(self.rescore(query.numbers, effort.k, candidates, 0, &[])?, codes, rows)
    }

    /// By how much the code of the k-th best of all rows says more than its score, and how many rows were
    /// scored to learn it.
    fn beyond(
        &self,
        query: Query<'_>,
        effort: Effort,
        depth: Depth,
        scratch: &mut Scratch,
    ) -> Result<(f32, u64)> {
        let compared = scratch.all.best(COMPARED * effort.k);
        let plain = self.rescore(query.numbers, effort.k, compared, 0, &[])?;
        let score = plain.last().map_or(depth.kth, |last| last.score);
        Ok((depth.kth - score, compared.len() as u64))
    }
}
