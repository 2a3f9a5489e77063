//! Every row compared: exact.
//!
//! Each row is kept once more in bytes. Integer dot products of those and of the query in 16 bits say
//! of every row how high its score may be (`sketch`); only rows that may be among the k best are
//! scored, by the canonical kernel (`race`). So the results are what that kernel alone would return,
//! at a quarter of the bytes read and twice the sums a second.

mod race;
mod sketch;

use std::ops::Range;
use std::sync::Arc;

use super::filter::{Allowed, Filter};
use super::rows::{Rows, Storage};
use super::score::{BLOCK, Metric};
use super::{Cost, Found};
use crate::kernels::{Heights, Kernels, Probe, padded};
use crate::store::{Column, Sections, Segment};
use crate::topk::{Scored, TopK};
use crate::{Cancel, Matrix, MatrixRef, Result, Threads};
use race::Race;
use sketch::{Bytes, Sketch};

/// Rows compared with all queries of a part before the next: with 384 bytes each, they stay in the
/// second-level cache.
const ROWS: usize = 512;
/// Queries that share one pass over the rows, and those of them whose sums are looked at together.
const QUERIES: usize = 64;
const TOGETHER: usize = 4;
/// Up to so many rows, and as many as four times the results wanted, are scored without a sketch.
const FEW: usize = 256;
/// If less than one row in so many is allowed, each of those is scored alone.
const SPARSE: usize = 4;

/// All rows, as they are scored.
#[derive(Debug)]
pub(super) struct Flat {
    rows: Rows,
    /// Canonical x·x of each row.
    squares: Column<f32>,
    sketch: Sketch,
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
                rows.read(i, &mut row)?;
                *out = kernels.dot(&row, &row);
            }
            Ok(())
        })?;
        let sketch = Sketch::new(&rows, threads, cancel)?;
        Ok(Self { rows, squares: Column::Owned(squares), sketch })
    }

    pub(super) fn open(
        segment: &Arc<Segment>,
        storage: Storage,
        rows: usize,
        dim: usize,
    ) -> Result<Self> {
        Ok(Self {
            rows: Rows::open(segment, storage, rows, dim)?,
            squares: Column::open(segment, "squares", Some(rows))?,
            sketch: Sketch::open(segment, storage, rows, dim)?,
        })
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        self.rows.sections(sections)?;
        sections.push(("squares", self.squares.bytes()?));
        self.sketch.sections(sections)
    }

    /// Writes the first numbers of row `row`.
    pub(super) fn read(&self, row: usize, out: &mut [f32]) -> Result<()> {
        self.rows.read(row, out)
    }

    /// Refuses rows that are not what `metric` prepares, and squares and sketches that are not theirs.
    pub(super) fn check(&self, metric: Metric, threads: Threads, cancel: &Cancel) -> Result<()> {
        let squares = self.squares.all()?;
        self.rows.check(metric, threads, cancel, |i, row, square| {
            if squares[i].to_bits() != square.to_bits() {
                return Err(self.rows.refuse(format!("the square of row {i} is not its own")));
            }
            if !self.sketch.is_of(&self.rows, i, row)? {
                return Err(self.rows.refuse(format!("the sketch of row {i} is not its own")));
            }
            Ok(())
        })
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

    /// The `k` best of the rows of `range` that are `allowed`, for each query.
    fn search_part(
        &self,
        metric: Metric,
        queries: MatrixRef<'_>,
        k: usize,
        allowed: Option<&Allowed>,
        range: Range<usize>,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<Scored>>> {
        let part = Part { flat: self, metric, kernels: Kernels::best(), allowed };
        if range.len() <= FEW.max(4 * k) {
            return queries.iter().map(|query| part.score_all(query, k, range.clone())).collect();
        }
        let (probes, numbers) = Probe::all(metric == Metric::L2, queries);
        let mut races: Vec<_> = probes.iter().map(|_| Race::new(k)).collect();
        let mut scratch = Scratch::default();
        for start in range.clone().step_by(ROWS) {
            cancel.check()?;
            let block = part.block(start..(start + ROWS).min(range.end), &mut scratch.halves)?;
            let Some(block) = block else { continue };
            for first in (0..probes.len()).step_by(TOGETHER) {
                let some = first..(first + TOGETHER).min(probes.len());
                part.sums(&block, &numbers, some.clone(), &mut scratch.sums);
                for (i, sums) in some.zip(scratch.sums.chunks_exact(block.range.len())) {
                    let heights = block.heights(sums, &scratch.halves);
                    part.offer(&block, heights, &probes[i], &mut races[i], &mut scratch.found);
                    if races[i].is_full() {
                        part.settle(&mut races[i], &probes[i], queries.row(i), false)?;
                    }
                }
            }
        }
        let ends = races.into_iter().zip(&probes).zip(queries.iter());
        ends.map(|((mut race, probe), query)| {
            part.settle(&mut race, probe, query, true)?;
            Ok(race.into_sorted())
        })
        .collect()
    }
}

/// Buffers of one part, block after block.
#[derive(Default)]
struct Scratch {
    /// Half of x·x of each row under l2, else zeros.
    halves: Vec<f32>,
    sums: Vec<i32>,
    found: Vec<u32>,
}

/// What the queries of a part have in common.
struct Part<'a> {
    flat: &'a Flat,
    metric: Metric,
    kernels: Kernels,
    allowed: Option<&'a Allowed>,
}

/// Rows that are compared at once.
struct Block<'a> {
    range: Range<usize>,
    sketch: Bytes<'a>,
    /// The largest x·x.
    longest: f32,
}

impl<'a> Block<'a> {
    /// What `sums` say of the rows; step, reach and level are a query's.
    fn heights<'b>(&'b self, sums: &'b [i32], halves: &'b [f32]) -> Heights<'b> {
        let Bytes { scales, rests, .. } = self.sketch;
        Heights { sums, scales, rests, halves, step: 0.0, reach: 0.0, level: 0.0 }
    }
}

impl<'a> Part<'a> {
    fn may(&self, row: usize) -> bool {
        self.allowed.is_none_or(|allowed| allowed.contains(row))
    }

    fn score_all(&self, query: &[f32], k: usize, range: Range<usize>) -> Result<Vec<Scored>> {
        let mut scores = vec![0.0; range.len()];
        self.flat.rows.scores(self.metric, self.kernels, query, range.clone(), &mut scores)?;
        let mut best = TopK::new(k);
        for (&score, row) in scores.iter().zip(range).filter(|(_, row)| self.may(*row)) {
            best.push(score, row as u64);
        }
        Ok(best.into_sorted())
    }

    /// The sketch of `range`; `None` if none of its rows is allowed.
    fn block(&self, range: Range<usize>, halves: &mut Vec<f32>) -> Result<Option<Block<'a>>> {
        if self.allowed.is_some_and(|allowed| allowed.count_in(range.clone()) == 0) {
            return Ok(None);
        }
        let squares = self.flat.squares.get(range.clone())?;
        halves.resize(range.len(), 0.0);
        if self.metric == Metric::L2 {
            halves.iter_mut().zip(squares).for_each(|(half, square)| *half = square / 2.0);
        }
        // Numbers from 0 on have the order of their bits, which is found faster.
        let longest = squares.iter().map(|square| square.to_bits()).max().unwrap_or(0);
        let sketch = self.flat.sketch.get(&self.flat.rows, range.clone())?;
        Ok(Some(Block { range, sketch, longest: f32::from_bits(longest) }))
    }

    /// Sums of `some` queries with the rows of `block`.
    fn sums(&self, block: &Block<'_>, numbers: &[i16], some: Range<usize>, sums: &mut Vec<i32>) {
        let dim = self.flat.rows.dim();
        let width = padded(dim);
        sums.resize(some.len() * block.range.len(), 0);
        let numbers = &numbers[some.start * width..some.end * width];
        self.kernels.dots_i16(numbers, block.sketch.bytes, dim, sums);
    }

    /// Enters the rows of `block` that may be among the k best.
    fn offer(
        &self,
        block: &Block<'_>,
        heights: Heights<'_>,
        probe: &Probe,
        race: &mut Race,
        found: &mut Vec<u32>,
    ) {
        let slack = probe.slack(block.longest);
        let level = ((race.level(probe) - slack) as f32).next_down();
        let heights = Heights { step: probe.step, reach: probe.reach, level, ..heights };
        found.clear();
        self.kernels.reaching(&heights, found);
        for &place in found.iter() {
            let (row, place) = (block.range.start + place as usize, place as usize);
            if self.may(row) {
                let off = f64::from(probe.reach) * f64::from(block.sketch.rests[place]) + slack;
                race.offer(f64::from(heights.height(place)), off, row as u32);
            }
        }
    }

    fn settle(&self, race: &mut Race, probe: &Probe, query: &[f32], end: bool) -> Result<()> {
        let rows = &self.flat.rows;
        race.settle(probe, end, |row| rows.score(self.metric, self.kernels, query, row as usize))
    }
}
