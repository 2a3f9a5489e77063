//! What recall costs in a snapshot: kept with it, aged by a change, looked up by a search, which takes
//! the first effort whose lower bound reaches its target.
//!
//! Of the efforts that reach a target the one of least work is kept, in codes and rows, among those that
//! compare hardly more codes than the best of those that look into a fixed number of lists. So rows are
//! not saved at any price in codes.

use serde::{Deserialize, Serialize};

use super::Search;
use super::index::{Header, Index};
use crate::{Error, Result};

/// A row is read as up to 32 bits a number, its code as one: what a row costs, in codes.
const CODES_PER_ROW: u64 = 32;
/// Codes that may be compared, in hundredths of the fewest by which a fixed number of lists does.
const MOST_CODES: u64 = 110;
/// Points of a curve lie at least so far apart, in what is sure; in millionths.
const APART: u32 = 1_000;
/// 1, as a curve states it.
pub(super) const WHOLE: u32 = 1_000_000;

/// How far one search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effort {
    /// As in [`Search`].
    pub probes: usize,
    /// As in [`Search`].
    pub rescore: usize,
    /// As in [`Search`], in millionths.
    pub slack: Option<i64>,
}

impl Effort {
    /// A search for `k` results that goes this far.
    pub fn search(self, k: usize) -> Search<'static> {
        Search {
            k,
            probes: Some(self.probes),
            rescore: Some(self.rescore),
            slack: self.slack.map(|slack| slack as f32 / WHOLE as f32),
            ..Search::default()
        }
    }
}

/// What one effort reaches, on average over the queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// How far.
    pub effort: Effort,
    /// Recall, in millionths.
    pub recall: u32,
    /// What recall is at least for queries like these, with 95 % confidence; in millionths.
    pub sure: u32,
    /// Codes compared with a query.
    pub codes: u64,
    /// Rows scored exactly.
    pub rows: u64,
}

impl Point {
    /// In codes. A list that is ranked counts as one.
    fn cost(&self) -> u64 {
        self.codes + CODES_PER_ROW * self.rows + self.effort.probes as u64
    }
}

/// What recall costs in one index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Results of a search; it holds for fewer too.
    pub k: usize,
    /// Queries that it was measured on.
    pub queries: usize,
    /// Whether these were stored vectors, for want of queries.
    pub stand_in: bool,
    /// Rows then.
    pub rows: usize,
    /// Rows that came or went since.
    pub changed: usize,
    /// By growing `sure`.
    pub points: Vec<Point>,
}

impl Curve {
    /// The first point that is sure to reach `target`, a part of 1.
    pub fn reaching(&self, target: f64) -> Result<&Point> {
        if !(target > 0.0 && target <= 1.0) {
            return Err(Error::range("target_recall", "above 0 and at most 1", target));
        }
        let least = (target * f64::from(WHOLE)).round() as u32;
        self.points.iter().find(|point| point.sure >= least).ok_or_else(|| {
            let best = self.points.last().map_or(0.0, |point| point.sure as f64 / WHOLE as f64);
            let sample = if self.stand_in { "stored vectors" } else { "queries" };
            let remedy = "tune with more queries, or build with more parts";
            let want = format!("at most {best:.4}, sure after {} {sample}", self.queries);
            Error::range("target_recall", format!("{want} ({remedy})"), target)
        })
    }

    /// Whether a fifth of the rows came or went since.
    pub fn is_stale(&self) -> bool {
        5 * self.changed > self.rows
    }
}

impl Header {
    /// Notes that `rows` came or went.
    pub(super) fn age(&mut self, rows: usize) {
        self.curves.iter_mut().for_each(|curve| curve.changed += rows);
    }
}

impl Index {
    /// This index with `curve` in place of what it knew of so many results.
    pub fn with_curve(&self, curve: Curve) -> Self {
        let mut index = self.clone();
        let curves = &mut index.header_mut().curves;
        curves.retain(|other| other.k != curve.k);
        curves.push(curve);
        curves.sort_by_key(|curve| curve.k);
        index
    }

    /// What recall costs for `k` results: the curve of the next larger number that was measured.
    pub fn curve(&self, k: usize) -> Option<&Curve> {
        self.header().curves.iter().find(|curve| curve.k >= k)
    }

    /// `search` with the effort that its target asks for. Refuses a target that was not measured or
    /// is not reached, and one beside what it would decide.
    pub(super) fn aimed<'a>(&self, search: &Search<'a>) -> Result<Search<'a>> {
        let Some(target) = search.target_recall else { return Ok(*search) };
        if search.probes.is_some() || search.rescore.is_some() || search.slack.is_some() {
            let want = "the only one of target_recall, probes, rescore and slack";
            return Err(Error::range("target_recall", want, target));
        }
        let curve = self.curve(search.k).ok_or_else(|| {
            let want = format!("measured for {} results (tune with this k)", search.k);
            Error::range("target_recall", want, target)
        })?;
        let Search { probes, rescore, slack, .. } = curve.reaching(target)?.effort.search(search.k);
        Ok(Search { probes, rescore, slack, target_recall: None, ..*search })
    }
}

/// What targets choose among points.
pub(super) struct Choice {
    /// Of least work among those with hardly more codes than…
    pub(super) point: Point,
    /// …the fewest that a fixed number of lists needs.
    pub(super) fewest: Option<Point>,
}

/// What each target that `points` reach chooses, by growing `sure`.
pub(super) fn choices(mut points: Vec<Point>) -> Vec<Choice> {
    points.sort_by_key(|point| std::cmp::Reverse(point.sure));
    let mut choices: Vec<Choice> = Vec::new();
    let mut fewest: Option<Point> = None;
    for (at, one) in points.iter().enumerate() {
        let codes = |point: &Point| (point.codes, point.rows);
        if one.effort.slack.is_none() && fewest.is_none_or(|fewest| codes(one) < codes(&fewest)) {
            fewest = Some(*one);
        }
        let most = fewest.map_or(u64::MAX, |fewest| fewest.codes * MOST_CODES / 100);
        let able = points[..=at].iter().filter(|point| point.codes <= most);
        let Some(&point) = able.min_by_key(|point| (point.cost(), point.codes)) else { continue };
        // A lower target may choose fewer codes and more rows, and then serves the higher one too.
        while choices.last().is_some_and(|last| last.point.sure <= point.sure) {
            choices.pop();
        }
        if choices.last().is_none_or(|last| last.point.sure - point.sure >= APART) {
            choices.push(Choice { point, fewest });
        }
    }
    choices.reverse();
    choices
}
