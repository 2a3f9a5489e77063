//! From a query to its best rows.

use std::cell::Cell;
use std::ops::Range;

use super::coarse::{self, Products, Ranking};
use super::filtered::{End, Scanned};
use super::scan::Scan;
use super::select::Best;
use super::together::Together;
use super::{Ivf, axes};
use crate::dense::filter::{Allowed, Bits, Filter};
use crate::dense::rows::Rows;
use crate::dense::{Cost, Found, Metric, Search};
use crate::kernels::{Kernels, Passing};
use crate::quantize::ByteTables;
use crate::topk::{self, Scored};
use crate::{Cancel, MatrixRef, Result, Threads};

/// Part of the lists that are looked into unless the caller says otherwise. With the next number it
/// finds 99 % of the true ten among 111,067 text vectors, in less than a quarter of the codes.
const PROBED: f64 = 0.24;
/// Rows scored exactly unless the caller says otherwise, and for each result wanted.
const RESCORED: usize = 300;
const RESCORED_PER_RESULT: usize = 10;
/// Queries that are aimed together; between rounds `cancel` is polled.
pub(super) const ROUND: usize = 8;
/// In how many goes a thread would do its share of the queries that are left, if it took them evenly…
const GOES: usize = 2;
/// …of at most so many queries, or else at least so many.
const MOST: usize = 8 * ROUND;
const FEWEST: usize = 2;
/// Lists whose codes are asked for before they are needed.
const AHEAD: usize = 2;
/// Rows whose numbers are asked for before they are needed.
const ROWS_AHEAD: usize = 4;
/// Rows of the query before that are asked for with each list: no more than memory yields meanwhile.
const ROWS_A_LIST: usize = 3;

/// Buffers of one query, used again by the next.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) aim: Aim,
    coarse: coarse::Scratch,
    /// The query in the order of the quantizer's columns.
    columns: Vec<f32>,
    pub(super) ranking: Ranking,
    pub(super) together: Together,
    /// Lists looked into, in that order; again if looked into again.
    probed: Vec<u32>,
    entries: Vec<f32>,
    pub(super) tables: ByteTables,
    pub(super) passing: Passing,
    pub(super) best: Best,
    /// What would be kept without a filter.
    pub(super) all: Best,
    waiting: Waiting,
}

thread_local!(static KEPT: Cell<Option<Box<Scratch>>> = const { Cell::new(None) });

impl Scratch {
    /// This thread's buffers, as the last search left them, of whatever index.
    pub(super) fn take() -> Box<Self> {
        let mut scratch = KEPT.take().unwrap_or_default();
        scratch.waiting.candidates.clear();
        scratch
    }

    /// Keeps them for the thread's next search; after an error they are let go.
    pub(super) fn keep(self: Box<Self>) {
        KEPT.set(Some(self));
    }
}

/// The candidates of the query before, to be scored exactly when their rows have come: they are asked
/// for while the codes of the next query keep the CPU busy.
#[derive(Default)]
struct Waiting {
    candidates: Vec<(i32, u32)>,
    /// How many of them have been asked for.
    asked: usize,
}

impl Waiting {
    /// Asks for some more rows.
    #[inline]
    fn ask(&mut self, kernels: Kernels, rows: &Rows) {
        for &(_, position) in self.candidates.iter().skip(self.asked).take(ROWS_A_LIST) {
            rows.prefetch(kernels, position as usize);
        }
        self.asked += ROWS_A_LIST;
    }
}

/// What some queries have in common with the axes and the centroids.
#[derive(Default)]
pub(super) struct Aim {
    turning: axes::Scratch<i8>,
    turned: Vec<f32>,
    products: Products,
}

/// One query, and its place among those that were aimed together.
#[derive(Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) place: usize,
    length: f32,
}

impl<'a> Query<'a> {
    pub(super) fn new(numbers: &'a [f32], place: usize) -> Self {
        Self { numbers, place, length: Kernels::best().dot(numbers, numbers).sqrt() }
    }
}

/// Lists ranked before slack has had its first chances.
const FIRST: usize = 64;
/// Part of the slack by which rows may lie deeper than codes are unsure.
const BEYOND: f32 = 0.4;
/// Lists between two looks at whether the next may still hold something.
const STRIDE: usize = 4;

/// How far one search goes.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    pub(super) k: usize,
    pub(super) probes: usize,
    pub(super) rescore: usize,
    pub(super) slack: f32,
    /// Among fewer rows than there are: part of the depth below the k-th best of all that is looked to
    /// below the k-th best of these.
    pub(super) part: f32,
}

impl Effort {
    /// Lists ranked at first.
    fn first(self) -> usize {
        if self.slack.is_finite() { self.probes.min(FIRST) } else { self.probes }
    }
}

/// Blocks of so many queries for some threads: ever smaller ones, lest one thread wait for the other in
/// the end.
fn blocks(queries: usize, threads: Threads) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < queries {
        let some = match threads {
            Threads::ONE => MOST,
            _ => (queries - at) / (GOES * threads.get()),
        };
        let whole = if some < ROUND { some } else { some - some % ROUND };
        let end = queries.min(at + whole.clamp(FEWEST, MOST));
        blocks.push(at..end);
        at = end;
    }
    blocks
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
        let effort = self.effort(k, search);
        let together = match filter {
            Filter::All => self.together(queries.rows(), threads.get(), effort),
            _ => None,
        };
        if let Some(together) = together {
            let found = threads.blocks(queries.rows(), together, cancel, |block| {
                self.search_together(queries.slice(block), effort, cancel)
            })?;
            return Ok(found.into_iter().flatten().collect());
        }
        let blocks = blocks(queries.rows(), threads);
        threads.streams(&blocks, cancel, |taken| {
            self.search_blocks(queries, taken, filter, effort, cancel)
        })
    }

    /// The best rows of each query of the blocks that are `taken`, and its number.
    pub(super) fn search_blocks(
        &self,
        queries: MatrixRef<'_>,
        taken: &mut dyn Iterator<Item = Range<usize>>,
        filter: Filter<'_>,
        effort: Effort,
        cancel: &Cancel,
    ) -> Result<Vec<(usize, Found)>> {
        let (k, mut scratch) = (effort.k, Scratch::take());
        let mut found: Vec<(usize, Found)> = Vec::new();
        // The query whose candidates wait, its number, and how many codes were compared for them.
        let mut waiting = None;
        for block in taken {
            for i in block.clone() {
                let place = (i - block.start) % ROUND;
                if place == 0 {
                    cancel.check()?;
                    let round = i..(i + ROUND).min(block.end);
                    self.aim(queries.slice(round), &mut scratch.aim)?;
                }
                let query = Query::new(queries.row(i), place);
                let Some(allowed) = filter.of(i) else {
                    let codes = self.scan_one(query, effort, &mut scratch, cancel)?;
                    found.extend(self.score_waiting(waiting.take(), k, &mut scratch.waiting)?);
                    scratch.best.finish_into(&mut scratch.waiting.candidates);
                    waiting = Some((i, query, codes));
                    continue;
                };
                found.extend(self.score_waiting(waiting.take(), k, &mut scratch.waiting)?);
                let own = match self.exact_is_cheaper(allowed, effort) {
                    true => self.search_allowed(query.numbers, k, allowed)?,
                    false => self.search_filtered(query, allowed, effort, &mut scratch, cancel)?,
                };
                found.push((i, own));
            }
        }
        found.extend(self.score_waiting(waiting, k, &mut scratch.waiting)?);
        scratch.keep();
        Ok(found)
    }

    /// Turns `queries` to the axes and multiplies them with the centroids.
    pub(super) fn aim(&self, queries: MatrixRef<'_>, aim: &mut Aim) -> Result<()> {
        let Aim { turning, turned, products } = aim;
        let columns = self.axes.len();
        turned.resize(queries.rows() * columns, 0.0);
        // Under dot and cosine the mean's share of a score is the same for all rows.
        let centred = self.metric == Metric::L2;
        self.axes.turn_queries(queries, centred, turning, turned)?;
        self.coarse.multiply(turned.chunks_exact(columns), products);
        Ok(())
    }

    /// About how many multiplications a search without filters takes for each query.
    pub(in crate::dense) fn work(&self, search: &Search<'_>) -> usize {
        let Effort { probes, rescore, .. } = self.effort(search.k, search);
        let codes = probes.saturating_mul(self.rows.len()) / self.lists();
        let ranking = self.axes.len() * self.dim + self.lists() * self.coarse.columns();
        ranking + codes * self.quantizer.parts() + rescore.min(codes) * self.dim
    }

    fn effort(&self, k: usize, search: &Search<'_>) -> Effort {
        let probed = || (PROBED * self.lists() as f64).ceil() as usize;
        Effort {
            k,
            probes: search.probes.unwrap_or_else(probed).min(self.lists()),
            rescore: search.rescore.unwrap_or(RESCORED.max(RESCORED_PER_RESULT * k)).max(k),
            // What a list reaches under l2 leaves |q|² out, so it says nothing of a score.
            slack: search.slack.filter(|_| self.metric != Metric::L2).unwrap_or(f32::INFINITY),
            part: 1.0,
        }
    }

    /// Whether scoring all allowed rows touches fewer bytes than the codes among which to look for
    /// them, and the rows scored after that. A filter that has nothing to do with the lists leaves
    /// one code in `rows / count` to look at.
    fn exact_is_cheaper(&self, allowed: &Allowed, effort: Effort) -> bool {
        let (rows, count) = (self.rows.len() as f64, allowed.count() as f64);
        let probed = rows * effort.probes as f64 / self.lists() as f64;
        let scanned = (probed.max(effort.k as f64) * rows / count.max(1.0)).min(rows);
        // A byte of a code costs about twice a byte of a row: its nibbles are looked up one by one.
        let (row, code) = (4.0 * self.dim as f64, self.quantizer.parts() as f64);
        count * row <= scanned * code + (effort.rescore as f64).min(count) * row
    }

    /// All allowed rows, scored exactly.
    pub(super) fn search_allowed(
        &self,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
    ) -> Result<Found> {
        let positions = self.positions_of_rows()?;
        let kernels = Kernels::best();
        let score =
            |row: usize| self.vectors.score(self.metric, kernels, query, positions[row] as usize);
        let cost = Cost { codes: 0, rows: allowed.count() as u64 };
        Ok(Found { best: allowed.best(k, score)?, cost })
    }

    /// Leaves the candidates of `query` in `scratch.best`; returns how many codes were compared.
    fn scan_one(
        &self,
        query: Query<'_>,
        effort: Effort,
        scratch: &mut Scratch,
        cancel: &Cancel,
    ) -> Result<usize> {
        self.begin(query, effort, scratch)?;
        Ok(self.scan_lists(query, None, effort, End::Effort, scratch, cancel)?.codes)
    }

    /// Ranks the lists nearest to `query`, and makes the tables in which codes are looked up while the
    /// codes of the first lists come.
    pub(super) fn begin(
        &self,
        query: Query<'_>,
        effort: Effort,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let kernels = Kernels::best();
        let Scratch { aim, coarse, ranking, .. } = scratch;
        let Query { place, length, .. } = query;
        ranking.clear();
        self.coarse.rank(&aim.products, place, length, effort.first(), coarse, ranking)?;
        for near in (0..AHEAD).map_while(|at| ranking.get(at)) {
            kernels.prefetch(self.codes.peek(self.code_range(near.list as usize)));
        }
        self.make_tables(query, scratch);
        Ok(())
    }

    fn make_tables(&self, query: Query<'_>, scratch: &mut Scratch) {
        let Scratch { aim, columns, entries, tables, .. } = scratch;
        let turned = &aim.turned[query.place * self.columns.len()..][..self.columns.len()];
        columns.clear();
        columns.extend(self.columns.iter().map(|&column| turned[column as usize]));
        match self.metric {
            Metric::L2 => self.quantizer.l2_bytes(columns, entries, tables),
            _ => self.quantizer.dot_bytes(columns, entries, tables),
        }
    }

    /// Scores the candidates that wait exactly, if there are any: those of a query with this number,
    /// found by so many codes.
    fn score_waiting(
        &self,
        query: Option<(usize, Query<'_>, usize)>,
        k: usize,
        waiting: &mut Waiting,
    ) -> Result<Option<(usize, Found)>> {
        let Some((i, query, codes)) = query else { return Ok(None) };
        let candidates = &waiting.candidates;
        let cost = Cost { codes: codes as u64, rows: candidates.len() as u64 };
        let best = self.rescore(query.numbers, k, candidates, waiting.asked, &[])?;
        waiting.candidates.clear();
        waiting.asked = 0;
        Ok(Some((i, Found { best, cost })))
    }

    /// The lists that a search of `query` looks into, in that order, what it costs, and how many of the
    /// codes there are of rows that are not `allowed`; none if it scores the allowed rows one by one.
    pub(in crate::dense) fn probed(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&Allowed>,
        search: &Search<'_>,
        cancel: &Cancel,
    ) -> Result<(Vec<u32>, Cost, u64)> {
        let (effort, mut scratch) = (self.effort(k, search), Scratch::default());
        if let Some(allowed) = allowed.filter(|some| self.exact_is_cheaper(some, effort)) {
            return Ok((Vec::new(), Cost { codes: 0, rows: allowed.count() as u64 }, 0));
        }
        self.aim(MatrixRef::new(query, self.dim)?, &mut scratch.aim)?;
        let query = Query::new(query, 0);
        let cost = match allowed {
            Some(allowed) => {
                self.search_filtered(query, allowed, effort, &mut scratch, cancel)?.cost
            }
            None => {
                let codes = self.scan_one(query, effort, &mut scratch, cancel)? as u64;
                Cost { codes, rows: scratch.best.finish().len() as u64 }
            }
        };
        let places = allowed.map(|allowed| Ok(allowed.places(self.rows.all()?))).transpose()?;
        let mut filtered = 0;
        for &list in &scratch.probed {
            let positions = self.positions(list as usize);
            let passing = |places: &Bits| places.count(positions.clone());
            filtered += (positions.len() - places.map_or(positions.len(), passing)) as u64;
        }
        let mut seen = vec![false; self.lists()];
        let mut probed = scratch.probed;
        probed.retain(|&list| !std::mem::replace(&mut seen[list as usize], true));
        Ok((probed, cost, filtered))
    }

    /// Offers the codes of the nearest lists at `places` to `scratch.best`. [`Self::begin`] came before.
    ///
    /// By its effort a search looks into `effort.probes` lists, and into more while those hold fewer than
    /// `k` rows; into fewer where slack ends it. As slack mostly does so early, lists are then ranked a
    /// few at first, and more when those are done.
    pub(super) fn scan_lists(
        &self,
        query: Query<'_>,
        places: Option<&Bits>,
        effort: Effort,
        mut end: End,
        scratch: &mut Scratch,
        cancel: &Cancel,
    ) -> Result<Scanned> {
        let Scratch { aim, coarse, ranking, probed, tables, passing, best, all, waiting, .. } =
            scratch;
        let kernels = Kernels::best();
        let Query { place, length, .. } = query;
        let ends_early = effort.slack.is_finite();
        let slack = if ends_early { effort.slack * length } else { f32::INFINITY };
        let all = (places.is_some() && matches!(end, End::Effort)).then_some(all);
        let mut scan = Scan::new(self, places, ranking.all(), tables, passing, best, all);
        let hopeless = length * self.coarse.unsure(self.columns.len()) + BEYOND * slack;
        scan.start(effort, hopeless, end);
        if matches!(end, End::Effort) {
            probed.clear();
        }
        let (mut at, mut ranked) = (0, ranking.all().len().max(1));
        loop {
            while let Some(near) = ranking.get(at) {
                at += 1;
                if let Some(next) = ranking.get(at + AHEAD - 1) {
                    kernels.prefetch(self.codes.peek(self.code_range(next.list as usize)));
                }
                waiting.ask(kernels, &self.vectors);
                scan.list(near)?;
                probed.push(near.list);
                let next = ranking.get(at).map_or(f32::INFINITY, |next| next.reach);
                let late = |kth: f32| {
                    let ends = ends_early && at.is_multiple_of(STRIDE) && next + slack < kth;
                    ends || at >= effort.probes
                };
                if scan.is_over(near, &mut end, late) {
                    return Ok(scan.done(end));
                }
            }
            cancel.check()?;
            if ranked >= self.lists() {
                return Ok(scan.done(end));
            }
            ranked *= 4;
            self.coarse.rank(&aim.products, place, length, ranked, coarse, ranking)?;
        }
    }

    /// The `k` best of `candidates` (positions) by their exact scores, as rows. The first `asked` of them
    /// have been asked for; those of `next` will be scored next.
    pub(super) fn rescore(
        &self,
        query: &[f32],
        k: usize,
        candidates: &[(i32, u32)],
        asked: usize,
        next: &[(i32, u32)],
    ) -> Result<Vec<Scored>> {
        let kernels = Kernels::best();
        let mut keys = Vec::with_capacity(candidates.len());
        for (i, &(_, position)) in candidates.iter().enumerate() {
            let ahead = i + ROWS_AHEAD;
            let later = || next.get(ahead - candidates.len());
            if let Some(&(_, row)) = candidates.get(ahead).or_else(later).filter(|_| ahead >= asked)
            {
                self.vectors.prefetch(kernels, row as usize);
            }
            let score = self.vectors.score(self.metric, kernels, query, position as usize)?;
            if !score.is_nan() {
                keys.push(topk::key(score, position));
            }
        }
        // What cannot win needs no name: looking that up would be one more wait for memory.
        topk::best_of(&mut keys, k, |position| {
            let place = position as usize;
            Ok(self.rows.get(place..place + 1)?[0].into())
        })
    }
}
