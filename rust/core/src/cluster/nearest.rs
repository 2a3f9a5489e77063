//! The nearest centroid of many rows: integer dot products propose, the canonical distance decides.
//!
//! A row is a query of `kernels::sketch`, in 16 bits a number, and the centroids are its rows, in
//! bytes: `height` x·c − ½|c|² is largest where |x−c|² is least, and the sketch bounds how far it may
//! be off. The canonical nearest is among the centroids that may be as high as the surest one is for
//! certain: mostly one to three, whose canonical distances decide.

use std::ops::Range;

use super::Sample;
use crate::kernels::{Columns, Heights, Kernels, LANES, Probe, SHORT, padded, rest, to_bytes};
use crate::{Cancel, Error, MatrixRef, Result, Threads};

/// The nearest centroid of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Nearest {
    /// Its number.
    pub centroid: u32,
    /// Its squared distance, by the canonical kernel.
    pub distance: f32,
}

/// Rows and centroids between two looks at the cancel flag; with 384 columns, 2 ms of one core.
const ROWS: usize = 128;
const TILE: usize = 1024;
/// Rows whose sums with a tile are computed together.
const TOGETHER: usize = 4;
/// Multiplications after which the cancel flag is polled.
const WORK: usize = 1 << 27;
/// Largest squared length: products and sums of two such vectors stay far below the largest f32.
const LENGTH: f32 = 1e37;
/// Largest dim: γ stays below 0.07, far inside what the bound above needs.
const DIM: usize = 1 << 20;

/// Refuses rows that are not finite or are too long for f32, and too many columns.
pub(crate) fn check(
    what: &'static str,
    rows: MatrixRef<'_>,
    threads: Threads,
    cancel: &Cancel,
) -> Result<()> {
    if rows.dim() > DIM {
        return Err(Error::range("dim", format!("at most {DIM}"), rows.dim()));
    }
    let kernels = Kernels::best();
    let block = (WORK / 32 / rows.dim()).max(1);
    let one = |range: Range<usize>| {
        for (row, x) in range.clone().zip(rows.slice(range).iter()) {
            let length = kernels.dot(x, x);
            if length <= LENGTH {
                continue;
            }
            // Too long, or NaN or an infinity somewhere.
            if MatrixRef::new(x, rows.dim())?.expect_finite(what).is_err() {
                return Err(Error::NotFinite { what, row });
            }
            let want = format!("of squared length up to {LENGTH:e} in each row; scale them down");
            return Err(Error::range(what, want, format!("{length:e} in row {row}")));
        }
        Ok(())
    };
    threads.blocks(rows.rows(), block, cancel, one).map(drop)
}

/// The nearest centroid of every row of `sample`, the lower number on ties; all have passed [`check`].
pub(super) fn nearest(
    sample: &Sample<'_>,
    centroids: MatrixRef<'_>,
    threads: Threads,
    cancel: &Cancel,
) -> Result<Vec<Nearest>> {
    let finder = Finder::new(centroids);
    let mut found = vec![Nearest::default(); sample.len()];
    threads.chunks_mut(&mut found, 1, finder.rows(), cancel, |first, found| {
        let mut gathered = None;
        finder.find(sample.slice(first..first + found.len(), &mut gathered), found, cancel)
    })?;
    Ok(found)
}

/// Centroids ready to be asked for the nearest. What they and the rows must hold, [`check`] checks.
pub(crate) struct Finder<'a> {
    kernels: Kernels,
    centroids: MatrixRef<'a>,
    proposer: Proposer,
}

enum Proposer {
    /// All distances, of centroids so short that this costs less than proposals: the centroids, each
    /// filled up with zeros to `width` numbers.
    Short {
        width: usize,
        book: Vec<f32>,
    },
    Sketch(Sketch),
}

/// Centroids in bytes.
#[derive(Default)]
struct Sketch {
    bytes: Vec<i8>,
    scales: Vec<f32>,
    rests: Vec<f32>,
    /// ½|c|² of each.
    halves: Vec<f32>,
    /// The largest canonical |c|².
    longest: f32,
}

/// A centroid that may be the nearest of a row.
struct Proposal {
    row: usize,
    centroid: u32,
    /// The height that it has at most.
    height: f64,
}

impl Sketch {
    fn new(kernels: Kernels, centroids: MatrixRef<'_>) -> Self {
        let mut bytes = vec![0; centroids.data().len()];
        let mut sketch = Self::default();
        for (c, bytes) in centroids.iter().zip(bytes.chunks_exact_mut(centroids.dim())) {
            let (scale, square) = (to_bytes(c, bytes), kernels.dot(c, c));
            sketch.scales.push(scale);
            sketch.rests.push(rest(c, bytes, scale));
            sketch.halves.push(square / 2.0);
            sketch.longest = sketch.longest.max(square);
        }
        Self { bytes, ..sketch }
    }
}

impl<'a> Finder<'a> {
    pub(crate) fn new(centroids: MatrixRef<'a>) -> Self {
        let kernels = Kernels::best();
        let width = centroids.dim().next_power_of_two();
        let proposer = if width <= SHORT {
            let mut book = vec![0.0; centroids.rows() * width];
            for (filled, c) in book.chunks_exact_mut(width).zip(centroids.iter()) {
                filled[..c.len()].copy_from_slice(c);
            }
            Proposer::Short { width, book }
        } else {
            Proposer::Sketch(Sketch::new(kernels, centroids))
        };
        Self { kernels, centroids, proposer }
    }

    /// How many rows to bring at once.
    pub(crate) fn rows(&self) -> usize {
        (WORK / LANES / self.centroids.dim()).clamp(1, ROWS)
    }

    /// Writes the nearest centroid of each row; polls `cancel` between tiles of centroids.
    pub(crate) fn find(
        &self,
        rows: MatrixRef<'_>,
        out: &mut [Nearest],
        cancel: &Cancel,
    ) -> Result<()> {
        match &self.proposer {
            Proposer::Short { width, book } => {
                self.find_short(*width, book, rows, 0..rows.dim(), out, cancel)
            }
            Proposer::Sketch(sketch) => self.find_long(sketch, rows, out, cancel),
        }
    }

    /// The same for some columns of each row.
    pub(crate) fn find_part(
        &self,
        rows: MatrixRef<'_>,
        columns: Range<usize>,
        out: &mut [Nearest],
        cancel: &Cancel,
    ) -> Result<()> {
        match &self.proposer {
            Proposer::Short { width, book } => {
                self.find_short(*width, book, rows, columns, out, cancel)
            }
            Proposer::Sketch(sketch) => {
                let own = rows.gather_columns(0..rows.rows(), columns);
                self.find_long(sketch, own.view(), out, cancel)
            }
        }
    }

    fn find_long(
        &self,
        sketch: &Sketch,
        rows: MatrixRef<'_>,
        out: &mut [Nearest],
        cancel: &Cancel,
    ) -> Result<()> {
        let (probes, numbers) = Probe::all(true, rows);
        let mut sure = vec![f64::NEG_INFINITY; rows.rows()];
        let mut proposals = Vec::with_capacity(4 * rows.rows());
        let tile = (WORK / rows.dim() / rows.rows().max(1)).clamp(LANES, TILE);
        for first in (0..self.centroids.rows()).step_by(tile) {
            cancel.check()?;
            let range = first..(first + tile).min(self.centroids.rows());
            self.propose(sketch, range, &probes, &numbers, &mut sure, &mut proposals);
        }
        out.fill(Nearest { centroid: 0, distance: f32::INFINITY });
        // Tile after tile the numbers of centroids ascend for each row, so `<` keeps the lower one.
        for Proposal { row, centroid, height } in proposals {
            if height >= sure[row] {
                let distance =
                    self.kernels.l2(rows.row(row), self.centroids.row(centroid as usize));
                if distance < out[row].distance {
                    out[row] = Nearest { centroid, distance };
                }
            }
        }
        Ok(())
    }

    /// Proposes centroids of `range` that may be the nearest, and raises what is `sure` of each row.
    fn propose(
        &self,
        sketch: &Sketch,
        range: Range<usize>,
        probes: &[Probe],
        numbers: &[i16],
        sure: &mut [f64],
        proposals: &mut Vec<Proposal>,
    ) {
        let (dim, width) = (self.centroids.dim(), padded(self.centroids.dim()));
        let bytes = &sketch.bytes[range.start * dim..range.end * dim];
        let mut sums = vec![0; TOGETHER * range.len()];
        let mut found = Vec::new();
        for (first, some) in (0..).step_by(TOGETHER).zip(probes.chunks(TOGETHER)) {
            let numbers = &numbers[first * width..(first + some.len()) * width];
            let sums = &mut sums[..some.len() * range.len()];
            self.kernels.dots_i16(numbers, bytes, dim, sums);
            for ((row, probe), sums) in (first..).zip(some).zip(sums.chunks_exact(range.len())) {
                let slack = probe.slack(sketch.longest);
                let mut heights = Heights {
                    sums,
                    scales: &sketch.scales[range.clone()],
                    rests: &sketch.rests[range.clone()],
                    halves: &sketch.halves[range.clone()],
                    step: probe.step,
                    reach: probe.reach,
                    level: 0.0,
                };
                sure[row] = sure[row].max(f64::from(self.kernels.surest(&heights)) - slack);
                heights.level = ((sure[row] - slack) as f32).next_down();
                found.clear();
                self.kernels.reaching(&heights, &mut found);
                proposals.extend(found.iter().map(|&place| {
                    let off = f64::from(probe.reach) * f64::from(heights.rests[place as usize]);
                    let height = f64::from(heights.height(place as usize)) + off + slack;
                    Proposal { row, centroid: range.start as u32 + place, height }
                }));
            }
        }
    }

    fn find_short(
        &self,
        width: usize,
        book: &[f32],
        rows: MatrixRef<'_>,
        columns: Range<usize>,
        out: &mut [Nearest],
        cancel: &Cancel,
    ) -> Result<()> {
        let (mut numbers, mut distances) = (Vec::new(), Vec::new());
        let some = (WORK / book.len()).clamp(16, ROWS);
        for (first, out) in (0..).step_by(some).zip(out.chunks_mut(some)) {
            cancel.check()?;
            let rows = rows.slice(first..first + out.len());
            let parts = rows.iter().map(|row| &row[columns.clone()]);
            let parts = Columns::of_width(parts, width).expect("no wider than SHORT");
            self.kernels.nearest_short(&parts, book, &mut numbers, &mut distances);
            for ((out, &centroid), &distance) in out.iter_mut().zip(&numbers).zip(&distances) {
                *out = Nearest { centroid, distance };
            }
        }
        Ok(())
    }
}
