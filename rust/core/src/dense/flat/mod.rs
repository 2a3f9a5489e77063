//! Every row compared: exact.
//!
//! Each row is kept once more in bytes (`sketch`). Integer dot products of those and of the query in 16
//! bits say of every row how high its score may be; only rows that may be among the k best (`race`)
//! are scored, by the canonical kernel. Many queries at once are compared with the bytes' upper bits
//! first (`pass`). So the results are what that kernel alone would return, at a quarter of the bytes
//! read and up to five times the sums a second.

mod pass;
mod race;
mod sketch;

use std::sync::Arc;

use super::filter::{Allowed, Filter};
use super::rows::{Rows, Storage};
use super::score::{BLOCK, Metric};
use super::{Cost, Found};
use crate::kernels::Kernels;
use crate::store::{Column, Sections, Segment};
use crate::topk::TopK;
use crate::{Cancel, Matrix, MatrixRef, Result, Threads};
use pass::{Pass, ROWS};
use sketch::Sketch;

/// Queries that share one pass over the rows.
const QUERIES: usize = 256;
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
        // Tiles of queries × parts of rows; several parts if there are too few tiles to go round, but no
        // more than that takes, for each finds out anew how high its best rows are.
        let tile = (QUERIES * BLOCK / k.max(1)).clamp(1, QUERIES);
        let tiles = queries.rows().div_ceil(tile);
        let part = if threads == Threads::ONE || tiles >= 2 * threads.get() {
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
            Pass::new(self, metric, shared).search(queries, k, rows, cancel)
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
                    let pass = Pass::new(self, metric, allowed);
                    let found = pass.search(query, k, rows, cancel)?;
                    found.into_iter().next().expect("one query, one result")
                }
            };
            Ok(Found { best, cost: Cost { codes: 0, rows: cost } })
        })
    }
}
