//! From a query to its best rows.

use super::Ivf;
use crate::dense::filter::{Allowed, Bits, Filter};
use crate::dense::{Cost, Found, Metric, Search};
use crate::kernels::{BLOCK, Kernels};
use crate::quantize::ByteTables;
use crate::topk::{Scored, TopK};
use crate::{Cancel, MatrixRef, Result, Threads};

/// Part of the lists that are looked into unless the caller says otherwise. With the next number it
/// finds 99 % of the true ten among 111,067 text vectors, in less than a quarter of the codes.
const PROBED: f64 = 0.24;
/// Rows scored exactly unless the caller says otherwise, and for each result wanted.
const RESCORED: usize = 300;
const RESCORED_PER_RESULT: usize = 10;
/// How far beyond its centroid a list may reach towards the query, in spreads: best on real text
/// vectors among 0, 0.1, 0.2, 0.3, 0.5; a fifth fewer codes for the same recall as 0.
const REACH: f32 = 0.3;
/// Queries that share one round of buffers; between rounds `cancel` is polled.
const ROUND: usize = 8;

/// Buffers of one query, used again by the next.
#[derive(Default)]
struct Scratch {
    lists: Vec<f32>,
    sums: Vec<u16>,
}

impl Ivf {
    /// The `k` best rows that were found for each of `queries`, which are prepared, among those that
    /// `filter` lets through.
    pub(in crate::dense) fn search(
        &self,
        queries: MatrixRef<'_>,
        k: usize,
        filter: Filter<'_>,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Found>> {
        let probes =
            search.probes.unwrap_or_else(|| (PROBED * self.lists() as f64).ceil() as usize);
        let rescore = search.rescore.unwrap_or(RESCORED.max(RESCORED_PER_RESULT * k)).max(k);
        let found = threads.blocks(queries.rows(), ROUND, cancel, |round| {
            let mut scratch = Scratch::default();
            let one = |i: usize| {
                let (query, allowed) = (queries.row(i), filter.of(i));
                match allowed {
                    Some(allowed) if self.exact_is_cheaper(allowed, k, probes, rescore) => {
                        self.search_allowed(query, k, allowed)
                    }
                    _ => self.search_one(query, k, allowed, probes, rescore, &mut scratch, cancel),
                }
            };
            round.map(one).collect::<Result<Vec<_>>>()
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Allowed rows to look at before the search may end: as many as `probes` lists hold on average
    /// when all are allowed, so that a filter makes a search longer but not worse.
    fn wanted(&self, k: usize, probes: usize) -> usize {
        k.max((self.rows.len() as u64 * probes as u64 / self.lists() as u64) as usize)
    }

    /// Whether scoring all allowed rows touches fewer bytes than the codes among which to look for
    /// them, and the rows scored after that. A filter that has nothing to do with the lists leaves
    /// one code in `rows / count` to look at.
    fn exact_is_cheaper(&self, allowed: &Allowed, k: usize, probes: usize, rescore: usize) -> bool {
        let (rows, count) = (self.rows.len() as f64, allowed.count() as f64);
        let probes = probes.min(self.lists());
        let scanned = (self.wanted(k, probes) as f64 * rows / count.max(1.0)).min(rows);
        let (row, code) = (4.0 * self.dim as f64, 0.5 * self.quantizer.parts() as f64);
        count * row <= scanned * code + (rescore as f64).min(count) * row
    }

    /// All allowed rows, scored exactly.
    fn search_allowed(&self, query: &[f32], k: usize, allowed: &Allowed) -> Result<Found> {
        let positions = self.positions_of_rows()?;
        let kernels = Kernels::best();
        let score =
            |row: usize| self.vectors.score(self.metric, kernels, query, positions[row] as usize);
        let cost = Cost { codes: 0, rows: allowed.count() as u64 };
        Ok(Found { best: allowed.best(k, score)?, cost })
    }

    #[expect(clippy::too_many_arguments, reason = "the numbers of one search")]
    fn search_one(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&Allowed>,
        probes: usize,
        rescore: usize,
        scratch: &mut Scratch,
        cancel: &Cancel,
    ) -> Result<Found> {
        let places = match allowed {
            Some(allowed) => Some(allowed.places(self.rows.all()?)),
            None => None,
        };
        let lists = self.nearest_lists(query, k, places, probes, &mut scratch.lists)?;
        let tables = match self.metric {
            Metric::L2 => self.quantizer.l2_table(query),
            _ => self.quantizer.dot_table(query),
        };
        let tables = tables.to_bytes();
        let mut best = TopK::new(rescore);
        let mut codes = 0;
        for list in lists {
            cancel.check()?;
            let (list, added) = (list.id as usize, list.score);
            codes += self.scan(list, added, &tables, places, &mut scratch.sums, &mut best)?;
        }
        let candidates = best.into_sorted();
        let cost = Cost { codes: codes as u64, rows: candidates.len() as u64 };
        Ok(Found { best: self.rescore(query, k, &candidates)?, cost })
    }

    /// The lists in which a search of `query` scanned so many codes, in that order, and how many of
    /// these were of rows that are `allowed`: a search takes lists whole, nearest first.
    pub(in crate::dense) fn probed(
        &self,
        query: &[f32],
        allowed: Option<&Allowed>,
        codes: u64,
    ) -> Result<(Vec<u32>, u64)> {
        let places = allowed.map(|allowed| Ok(allowed.places(self.rows.all()?))).transpose()?;
        let (mut probed, mut scanned, mut found) = (Vec::new(), 0, 0);
        for list in self.nearest_lists(query, 1, None, self.lists(), &mut Vec::new())? {
            if scanned >= codes {
                break;
            }
            let positions = self.positions(list.id as usize)?;
            scanned += positions.len() as u64;
            found += places.map_or(positions.len(), |places| places.count(positions)) as u64;
            probed.push(list.id as u32);
        }
        Ok((probed, found))
    }

    /// The `probes` lists to look into, or more if those hold fewer than `k` rows, or under a filter
    /// fewer allowed rows than [`Self::wanted`]. Each with what its centroid adds to the score of its
    /// codes.
    fn nearest_lists(
        &self,
        query: &[f32],
        k: usize,
        places: Option<&Bits>,
        probes: usize,
        scores: &mut Vec<f32>,
    ) -> Result<Vec<Scored>> {
        let kernels = Kernels::best();
        scores.resize(self.lists(), 0.0);
        self.metric.scores(kernels, query, self.centroids()?, scores);
        let reach = match self.metric {
            Metric::L2 => 0.0,
            _ => REACH * kernels.dot(query, query).sqrt(),
        };
        let spreads = self.spreads.all()?;
        let least = probes.clamp(1, self.lists());
        let wanted = if places.is_some() { self.wanted(k, least) } else { k };
        let mut probes = least;
        loop {
            let mut best = TopK::new(probes);
            for (list, (score, spread)) in (0..).zip(scores.iter().zip(spreads)) {
                best.push(score + reach * spread, list);
            }
            let mut lists = best.into_sorted();
            let (mut rows, mut taken) = (0, 0);
            for list in &mut lists {
                if rows < wanted || taken < least {
                    let positions = self.positions(list.id as usize)?;
                    rows += places.map_or(positions.len(), |places| places.count(positions));
                    taken += 1;
                }
                // A code under l2 stands for the whole row; nothing is added.
                let own = scores[list.id as usize];
                list.score = if self.metric == Metric::L2 { 0.0 } else { own };
            }
            if rows >= wanted || probes == self.lists() {
                lists.truncate(taken);
                return Ok(lists);
            }
            probes = (2 * probes).min(self.lists());
        }
    }

    /// Offers the codes of `list` at `places` to `best` and returns how many there were in all.
    fn scan(
        &self,
        list: usize,
        added: f32,
        tables: &ByteTables,
        places: Option<&Bits>,
        sums: &mut Vec<u16>,
        best: &mut TopK,
    ) -> Result<usize> {
        let positions = self.positions(list)?;
        let codes = self.codes.get(self.code_starts[list]..self.code_starts[list + 1])?;
        sums.resize(positions.len().next_multiple_of(BLOCK), 0);
        Kernels::best().scan(tables.bytes(), codes, sums);
        let mut least = least_sum(best.threshold(), added, tables);
        let sums = &sums[..positions.len()];
        for (block, start) in sums.chunks(BLOCK).zip(positions.clone().step_by(BLOCK)) {
            if !block.iter().fold(false, |any, &sum| any | (sum >= least)) {
                continue;
            }
            let may = places.map_or(u32::MAX, |places| places.block(start));
            if may == 0 {
                continue;
            }
            for (i, (&sum, position)) in block.iter().zip(start as u64..).enumerate() {
                if sum >= least && may >> i & 1 == 1 {
                    best.push(added + tables.score(sum), position);
                }
            }
            least = least_sum(best.threshold(), added, tables);
        }
        Ok(positions.len())
    }

    /// The `k` best of `candidates` (positions) by their exact scores, as rows.
    fn rescore(&self, query: &[f32], k: usize, candidates: &[Scored]) -> Result<Vec<Scored>> {
        let kernels = Kernels::best();
        let mut best = TopK::new(k);
        for candidate in candidates {
            let position = candidate.id as usize;
            let score = self.vectors.score(self.metric, kernels, query, position)?;
            best.push(score, u64::from(self.rows.get(position..position + 1)?[0]));
        }
        Ok(best.into_sorted())
    }
}

/// Every sum below this one has a score below `threshold`.
///
/// The score `added + tables.score(sum)`, as rounded, never falls as the sum grows, so it is enough
/// that the next lower sum fails. The guess is off by a step or two; where roundings hide the steps
/// altogether, nothing is ruled out.
fn least_sum(threshold: f32, added: f32, tables: &ByteTables) -> u16 {
    if threshold == f32::NEG_INFINITY || tables.step() == 0.0 {
        return 0;
    }
    let reaches = |sum: u16| added + tables.score(sum) >= threshold;
    let guess = f64::from(threshold) - f64::from(added) - f64::from(tables.score(0));
    let guess = (guess / tables.step()).clamp(0.0, f64::from(u16::MAX)) as u16;
    let known = (guess.saturating_sub(64)..=guess).rev().find(|&sum| sum == 0 || !reaches(sum - 1));
    known.unwrap_or(0)
}
