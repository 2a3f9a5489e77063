//! Every row scored: exact.
//!
//! A few queries are scored by the canonical kernel at the speed of memory. Many are proposed by
//! matrix products, several times as fast; a row is scored canonically unless its proposal lies below
//! the k-th best canonical score so far by more than the bound of [`Bound`]. So both ways return what
//! the canonical kernel alone would.

use std::ops::Range;
use std::sync::Arc;

use super::filter::{Allowed, Filter};
use super::rows::{Rows, Storage};
use super::score::{BLOCK, Metric};
use super::{Cost, Found};
use crate::kernels::{self, Kernels};
use crate::store::{Column, Sections, Segment};
use crate::topk::{Scored, TopK};
use crate::{Cancel, Matrix, MatrixRef, Result, Threads};

/// Rows of one matrix product: with 384 numbers each, they stay in the second-level cache.
const ROWS: usize = 256;
/// Queries of one matrix product.
const QUERIES: usize = 64;
/// With fewer queries than this, proposing saves nothing: memory is the limit.
const FEW: usize = 4;
/// If less than one row in so many is allowed, each of those is scored alone.
const SPARSE: usize = 4;

/// All rows, as they are scored.
#[derive(Debug)]
pub(super) struct Flat {
    rows: Rows,
    /// Canonical x·x of each row.
    squares: Column<f32>,
}

impl Flat {
    pub(super) fn build(
        rows: Matrix,
        storage: Storage,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        let (kernels, dim) = (Kernels::best(), rows.view().dim());
        let rows = Rows::new(rows, storage, threads, cancel)?;
        let mut squares = vec![0.0; rows.len()];
        threads.chunks_mut(&mut squares, 1, BLOCK, cancel, |first, out| {
            let mut row = vec![0.0; dim];
            for (out, i) in out.iter_mut().zip(first..) {
                rows.decode(i..i + 1, &mut row)?;
                *out = kernels.dot(&row, &row);
            }
            Ok(())
        })?;
        Ok(Self { rows, squares: Column::Owned(squares) })
    }

    pub(super) fn open(
        segment: &Arc<Segment>,
        storage: Storage,
        rows: usize,
        dim: usize,
    ) -> Result<Self> {
        let squares = Column::open(segment, "squares", Some(rows))?;
        Ok(Self { rows: Rows::open(segment, storage, rows, dim)?, squares })
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        self.rows.sections(sections)?;
        sections.push(("squares", self.squares.bytes()?));
        Ok(())
    }

    /// Writes the first numbers of row `row`.
    pub(super) fn read(&self, row: usize, out: &mut [f32]) -> Result<()> {
        self.rows.read(row, out)
    }

    fn rows(&self) -> usize {
        self.squares.len()
    }

    /// The `k` best rows that `filter` lets through for each of `queries`, which are prepared.
    pub(super) fn search(
        &self,
        metric: Metric,
        queries: MatrixRef<'_>,
        k: usize,
        filter: Filter<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Found>> {
        let shared = match filter {
            Filter::All => None,
            Filter::Shared(allowed) if allowed.count() * SPARSE >= self.rows() => Some(allowed),
            _ => return self.search_each(metric, queries, k, filter, threads, cancel),
        };
        let cost = Cost { codes: 0, rows: shared.map_or(self.rows(), Allowed::count) as u64 };
        // Tiles of queries × parts of rows; more parts if there are too few tiles to go round.
        let tile = (QUERIES * BLOCK / k.max(1)).clamp(1, QUERIES);
        let tiles = queries.rows().div_ceil(tile);
        let part = if tiles >= 2 * threads.get() {
            self.rows().max(1)
        } else {
            self.rows().div_ceil(4 * threads.get()).next_multiple_of(ROWS).max(BLOCK)
        };
        let parts = self.rows().div_ceil(part);
        let found = threads.blocks(tiles * parts, 1, cancel, |task| {
            let first = task.start / parts * tile;
            let queries = queries.slice(first..(first + tile).min(queries.rows()));
            let start = task.start % parts * part;
            let rows = start..(start + part).min(self.rows());
            self.search_part(metric, queries, k, shared, rows, cancel)
        })?;
        let merged = (0..queries.rows()).map(|query| {
            let mut best = TopK::new(k);
            for part in found.iter().skip(query / tile * parts).take(parts) {
                part[query % tile].iter().for_each(|item| best.push(item.score, item.id));
            }
            Found { best: best.into_sorted(), cost }
        });
        Ok(merged.collect())
    }

    /// Queries that share no rows to score: one after the other.
    fn search_each(
        &self,
        metric: Metric,
        queries: MatrixRef<'_>,
        k: usize,
        filter: Filter<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Found>> {
        threads.blocks(queries.rows(), 1, cancel, |one| {
            let allowed = filter.of(one.start);
            let cost = allowed.map_or(self.rows(), Allowed::count) as u64;
            let best = match allowed {
                Some(allowed) if allowed.count() * SPARSE < self.rows() => {
                    let (kernels, query) = (Kernels::best(), queries.row(one.start));
                    allowed.best(k, |row| self.rows.score(metric, kernels, query, row))?
                }
                _ => {
                    let (query, rows) = (queries.slice(one), 0..self.rows());
                    let found = self.search_part(metric, query, k, allowed, rows, cancel)?;
                    found.into_iter().next().expect("one query, one result")
                }
            };
            Ok(Found { best, cost: Cost { codes: 0, rows: cost } })
        })
    }

    fn search_part(
        &self,
        metric: Metric,
        queries: MatrixRef<'_>,
        k: usize,
        allowed: Option<&Allowed>,
        rows: Range<usize>,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<Scored>>> {
        let kernels = Kernels::best();
        let mut best: Vec<TopK> = queries.iter().map(|_| TopK::new(k)).collect();
        let mut products = vec![0.0; queries.rows() * ROWS];
        let mut scores = vec![0.0; ROWS];
        let mut halves = vec![0.0; ROWS];
        let bounds: Vec<_> =
            queries.iter().map(|query| Bound::new(metric, kernels, query)).collect();
        for start in rows.clone().step_by(ROWS) {
            cancel.check()?;
            let block = start..(start + ROWS).min(rows.end);
            if allowed.is_some_and(|allowed| allowed.count_in(block.clone()) == 0) {
                continue;
            }
            let may = |row: u64| allowed.is_none_or(|allowed| allowed.contains(row as usize));
            let vectors = self.rows.plain(block.clone())?;
            let squares = self.squares.get(block.clone())?;
            let (scores, halves) = (&mut scores[..block.len()], &mut halves[..block.len()]);
            let proposed = queries.rows() >= FEW && start > rows.start && vectors.is_some();
            let products = &mut products[..queries.rows() * block.len()];
            let longest = squares.iter().fold(0.0f32, |a, &b| a.max(b));
            if let (true, Some(vectors)) = (proposed, vectors) {
                kernels::products(queries, vectors, products);
                if metric == Metric::L2 {
                    halves.iter_mut().zip(squares).for_each(|(half, square)| *half = square / 2.0);
                }
            }
            let products = products.chunks_exact(block.len());
            for (i, (query, best)) in queries.iter().zip(&mut best).enumerate() {
                let level = bounds[i].level(best.threshold(), longest);
                if !proposed || level == f32::NEG_INFINITY {
                    self.rows.scores(metric, kernels, query, block.clone(), scores)?;
                    for (&score, row) in scores.iter().zip(start as u64..) {
                        if may(row) {
                            best.push(score, row);
                        }
                    }
                    continue;
                }
                let products = products.clone().nth(i).expect("one row of products a query");
                for at in passing(products, halves, level) {
                    if may((start + at) as u64) {
                        let score = self.rows.score(metric, kernels, query, start + at)?;
                        best.push(score, (start + at) as u64);
                    }
                }
            }
        }
        Ok(best.into_iter().map(TopK::into_sorted).collect())
    }
}

/// Places where `products − halves` reaches `level`.
fn passing<'a>(
    products: &'a [f32],
    halves: &'a [f32],
    level: f32,
) -> impl Iterator<Item = usize> + 'a {
    // Runs of 32 in which nothing passes, nearly all of them, cost one branch.
    let any = move |(p, h): (&[f32], &[f32])| {
        p.iter().zip(h).fold(false, |any, (p, h)| any | (p - h >= level))
    };
    let runs =
        products.chunks(32).zip(halves.chunks(32)).enumerate().filter(move |&(_, run)| any(run));
    runs.flat_map(move |(i, (p, h))| {
        let places = p.iter().zip(h).enumerate().filter(move |(_, (p, h))| *p - *h >= level);
        places.map(move |(j, _)| i * 32 + j)
    })
}

/// How far a proposal may lie from half (l2) or all (dot) of the canonical score.
///
/// With u = 2⁻²⁴ and γ = (n+16)·u / (1−(n+16)·u), for any order of additions, fused or not (Higham,
/// Accuracy and Stability, §3.1), and a = ‖q‖, b = ‖x‖:
/// - dot: both sums are within γ·a·b of q·x, so they differ by at most 2γ·a·b.
/// - l2: q·x − x·x/2 is within γ·(a·b + b²/2) of its value, its last rounding included; q·q/2, added
///   to the level, within γ·a²/2; half the canonical sum within γ·(a+b)²/2. Together γ·(a+b)².
///
/// Underflow adds at most 2⁻¹⁴⁹ a term, overflow is excluded by the limit on lengths in `score`.
struct Bound {
    metric: Metric,
    gamma: f64,
    tiny: f64,
    /// ‖q‖², at least.
    square: f64,
}

impl Bound {
    fn new(metric: Metric, kernels: Kernels, query: &[f32]) -> Self {
        let n = (query.len() + 16) as f64;
        let u = f64::from(f32::EPSILON) / 2.0;
        let gamma = n * u / (1.0 - n * u);
        Self { metric, gamma, tiny: n * 2e-45, square: f64::from(kernels.dot(query, query)) }
    }

    /// Rows whose `product − half` lies below this have a canonical score below `threshold`,
    /// if none is longer than the square root of `longest`.
    fn level(&self, threshold: f32, longest: f32) -> f32 {
        // The squared lengths are canonical sums themselves, short by at most a factor of 1 − γ.
        let grown = 1.0 + 2.0 * self.gamma;
        let (a, b) = ((self.square * grown).sqrt(), (f64::from(longest) * grown).sqrt());
        let level = match self.metric {
            Metric::L2 => {
                let slack = self.gamma * (a + b) * (a + b);
                (f64::from(threshold) + self.square) / 2.0 - slack - self.tiny
            }
            _ => f64::from(threshold) - 2.0 * self.gamma * a * b - self.tiny,
        };
        (level as f32).next_down()
    }
}
