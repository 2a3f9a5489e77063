//! Rows pass by, block after block, and some queries take note of those that may be among their best.
//!
//! Where queries are many, a block's outlines are made first: the upper bits of its bytes, compared
//! at more than twice the speed. What they leave open, a few rows in ten thousand, its bytes decide as
//! they do for one query, so that a canonical score is taken no more often.

use std::ops::Range;

use super::Flat;
use super::race::Race;
use super::sketch::Bytes;
use crate::dense::filter::Allowed;
use crate::dense::score::Metric;
use crate::kernels::{Heights, Kernels, Outline, Probe, outline_rest, padded};
use crate::topk::{Scored, TopK};
use crate::{Cancel, MatrixRef, Result};

/// Rows of a block: with 384 bytes each, it stays in the second-level cache with its outlines.
pub(super) const ROWS: usize = 512;
/// Queries whose sums are looked at together: those of bytes, those of outlines.
const TOGETHER: usize = 4;
const OUTLINED: usize = 24;
/// Making outlines costs about as much as comparing them with four queries.
const MANY: usize = 8;
/// If more than one row in so many is left open by its outline, the bytes of all are compared.
const OPEN: usize = 16;
/// Up to so many rows, and as many as four times the results wanted, are scored without a sketch.
const FEW: usize = 256;

/// What the queries of a pass have in common.
pub(super) struct Pass<'a> {
    flat: &'a Flat,
    metric: Metric,
    kernels: Kernels,
    allowed: Option<&'a Allowed>,
}

/// Some queries, as rows are compared with them.
struct Asked<'a> {
    queries: MatrixRef<'a>,
    probes: Vec<Probe>,
    numbers: Vec<i16>,
    /// For outlines; none if there are few queries.
    outlined: (Vec<Probe>, Vec<i8>),
    races: Vec<Race>,
}

/// Rows that are compared at once.
struct Block<'a> {
    range: Range<usize>,
    sketch: Bytes<'a>,
    /// The largest x·x.
    longest: f32,
}

/// Buffers of one pass, block after block.
#[derive(Default)]
struct Scratch {
    /// Half of x·x of each row under l2, else zeros.
    halves: Vec<f32>,
    outline: Outline,
    /// ρ of each outline.
    rests: Vec<f32>,
    sums: Vec<i32>,
    found: Vec<u32>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(flat: &'a Flat, metric: Metric, allowed: Option<&'a Allowed>) -> Self {
        Self { flat, metric, kernels: Kernels::best(), allowed }
    }

    /// The `k` best of the rows of `range` that are allowed, for each query.
    pub(super) fn search(
        &self,
        queries: MatrixRef<'_>,
        k: usize,
        range: Range<usize>,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<Scored>>> {
        if range.len() <= FEW.max(4 * k) {
            return queries.iter().map(|query| self.score_all(query, k, range.clone())).collect();
        }
        let mut asked = self.ask(queries, k);
        let mut scratch = Scratch::default();
        let mut first = true;
        for start in range.clone().step_by(ROWS) {
            cancel.check()?;
            let block = self.block(start..(start + ROWS).min(range.end), &mut scratch.halves)?;
            let Some(block) = block else { continue };
            // Of the first rows any may be among the best.
            if first || asked.outlined.0.is_empty() {
                self.compare(&block, &mut asked, 0..queries.rows(), &mut scratch);
            } else {
                self.compare_outlines(&block, &mut asked, &mut scratch);
            }
            first = false;
            self.settle(&mut asked, false)?;
        }
        self.settle(&mut asked, true)?;
        Ok(asked.races.into_iter().map(Race::into_sorted).collect())
    }

    fn ask<'b>(&self, queries: MatrixRef<'b>, k: usize) -> Asked<'b> {
        let distance = self.metric == Metric::L2;
        let (probes, numbers) = Probe::all(distance, queries);
        let outlined = match queries.rows() {
            ..MANY => Default::default(),
            _ => Probe::outlined(distance, queries),
        };
        let races = probes.iter().map(|_| Race::new(k)).collect();
        Asked { queries, probes, numbers, outlined, races }
    }

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

    /// Enters the rows of `block` that may be among the k best of `some` queries, by their bytes.
    fn compare(
        &self,
        block: &Block<'_>,
        asked: &mut Asked<'_>,
        some: Range<usize>,
        scratch: &mut Scratch,
    ) {
        let (dim, rows) = (self.flat.rows.dim(), block.range.len());
        let width = padded(dim);
        for first in some.clone().step_by(TOGETHER) {
            let some = first..(first + TOGETHER).min(some.end);
            scratch.sums.resize(some.len() * rows, 0);
            let numbers = &asked.numbers[some.start * width..some.end * width];
            self.kernels.dots_i16(numbers, block.sketch.bytes, dim, &mut scratch.sums);
            for (i, sums) in some.zip(scratch.sums.chunks_exact(rows)) {
                let heights =
                    block.heights(sums, &scratch.halves, &asked.probes[i], &asked.races[i]);
                scratch.found.clear();
                self.kernels.reaching(&heights, &mut scratch.found);
                for &place in &scratch.found {
                    self.offer(block, &heights, place as usize, asked, i);
                }
            }
        }
    }

    /// The same for all queries, by the rows' outlines first.
    fn compare_outlines(&self, block: &Block<'_>, asked: &mut Asked<'_>, scratch: &mut Scratch) {
        block.outline(self.kernels, self.flat.rows.dim(), scratch);
        let (width, count) = (padded(self.flat.rows.dim()), scratch.outline.padded_rows());
        let mut open = Vec::new();
        for first in (0..asked.probes.len()).step_by(OUTLINED) {
            let some = first..(first + OUTLINED).min(asked.probes.len());
            scratch.sums.resize(some.len() * count, 0);
            let numbers = &asked.outlined.1[some.start * width..some.end * width];
            self.kernels.outline_dots(numbers, &scratch.outline, &mut scratch.sums);
            for (place, i) in some.enumerate() {
                let sums = &mut scratch.sums[place * count..][..block.range.len()];
                let heights =
                    block.heights(sums, &scratch.halves, &asked.outlined.0[i], &asked.races[i]);
                let heights = Heights { rests: &scratch.rests, ..heights };
                scratch.found.clear();
                self.kernels.reaching(&heights, &mut scratch.found);
                if scratch.found.len() > block.range.len() / OPEN {
                    open.push(i);
                    continue;
                }
                self.sums(block, &asked.numbers[i * width..][..width], &scratch.found, sums);
                let heights =
                    block.heights(sums, &scratch.halves, &asked.probes[i], &asked.races[i]);
                for &place in &scratch.found {
                    if heights.reaches(place as usize) {
                        self.offer(block, &heights, place as usize, asked, i);
                    }
                }
            }
        }
        open.into_iter().for_each(|i| self.compare(block, asked, i..i + 1, scratch));
    }

    /// Writes the sums of a query with the bytes of some rows of `block` to their places.
    fn sums(&self, block: &Block<'_>, query: &[i16], places: &[u32], sums: &mut [i32]) {
        let dim = self.flat.rows.dim();
        for &place in places {
            let place = place as usize;
            let bytes = &block.sketch.bytes[place * dim..][..dim];
            self.kernels.dots_i16(query, bytes, dim, &mut sums[place..place + 1]);
        }
    }

    /// Enters one row for query `i`.
    fn offer(
        &self,
        block: &Block<'_>,
        heights: &Heights<'_>,
        place: usize,
        asked: &mut Asked<'_>,
        i: usize,
    ) {
        let row = block.range.start + place;
        if self.may(row) {
            let probe = &asked.probes[i];
            let off = f64::from(probe.reach) * f64::from(heights.rests[place]);
            let off = off + probe.slack(block.longest);
            asked.races[i].offer(f64::from(heights.height(place)), off, row as u32);
        }
    }

    /// Scores candidates of the races that hold many, of all at the `end`.
    fn settle(&self, asked: &mut Asked<'_>, end: bool) -> Result<()> {
        let Asked { queries, probes, races, .. } = asked;
        let rows = &self.flat.rows;
        for ((race, probe), query) in races.iter_mut().zip(probes).zip(queries.iter()) {
            if end || race.is_full() {
                let score = |row: u32| rows.score(self.metric, self.kernels, query, row as usize);
                race.settle(probe, end, score)?;
            }
        }
        Ok(())
    }
}

impl Block<'_> {
    /// What `sums` with its bytes say of the rows to a query.
    fn heights<'b>(
        &'b self,
        sums: &'b [i32],
        halves: &'b [f32],
        probe: &Probe,
        race: &Race,
    ) -> Heights<'b> {
        let Bytes { scales, rests, .. } = self.sketch;
        let level = ((race.level(probe) - probe.slack(self.longest)) as f32).next_down();
        Heights { sums, scales, rests, halves, step: probe.step, reach: probe.reach, level }
    }

    /// Makes the outlines of the rows.
    fn outline(&self, kernels: Kernels, dim: usize, scratch: &mut Scratch) {
        let Bytes { bytes, scales, rests } = self.sketch;
        kernels.outline(bytes, dim, &mut scratch.outline);
        let both = rests.iter().zip(scales).zip(scratch.outline.left());
        scratch.rests.clear();
        scratch.rests.extend(both.map(|((rest, scale), left)| outline_rest(*rest, *scale, *left)));
    }
}
