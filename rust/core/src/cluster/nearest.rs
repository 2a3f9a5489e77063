//! The nearest centroid of many rows: matrix products propose, the canonical distance decides.
//!
//! Let q(c) = x·c − ½|c|², so that |x−c|² = |x|² − 2q(c), and let p(c) be q(c) as computed from a
//! matrix product. With n = dim, u = 2⁻²⁴, γ = (n+6)·u / (1 − (n+6)·u), R the largest |c| and
//! M = |x| + R:
//!
//! - |p(c) − q(c)| ≤ γ·(|x||c| + ½|c|²) ≤ ½γM², for any order of additions, fused or not;
//! - the canonical distance ℓ(c) is within γ·|x−c|² ≤ γM² of |x−c|², all its terms being positive.
//!
//! If c has the least ℓ and b the largest p, then ℓ(c) ≤ ℓ(b) gives q(c) ≥ q(b) − γM²/(1−γ), hence
//! p(c) ≥ p(b) − slack with slack = 2γM²/(1−γ). So whoever may be the canonical nearest is within
//! `slack` of the best proposal; mostly that is one centroid, and a second is looked at now and then.
//! The +6 also covers the rounding of p(b) − slack. Underflow adds less than n·2⁻¹²⁶.

use crate::kernels::{self, Columns, Kernels, LANES};
use crate::{Cancel, Error, MatrixRef, Result, Threads};

/// The nearest centroid of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Nearest {
    /// Its number.
    pub centroid: u32,
    /// Its squared distance, by the canonical kernel.
    pub distance: f32,
}

/// Rows and centroids that one matrix product takes; with 384 columns, 3 ms of one core.
const ROWS: usize = 256;
const TILE: usize = 1024;
/// Multiplications after which the cancel flag is polled.
const WORK: usize = 1 << 27;
/// Rows of few columns after which it is polled.
const POLL: usize = 16;
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
    let one = |range: std::ops::Range<usize>| {
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

/// The nearest centroid of every row, the lower number on ties. Both have passed [`check`].
pub(super) fn nearest(
    rows: MatrixRef<'_>,
    centroids: MatrixRef<'_>,
    threads: Threads,
    cancel: &Cancel,
) -> Result<Vec<Nearest>> {
    let finder = Finder::new(centroids);
    let mut found = vec![Nearest::default(); rows.rows()];
    threads.chunks_mut(&mut found, 1, finder.rows(), cancel, |first, found| {
        finder.find(rows.slice(first..first + found.len()), found, cancel)
    })?;
    Ok(found)
}

/// Centroids ready to be asked for the nearest. What they and the rows must hold, [`check`] checks.
pub(crate) struct Finder<'a> {
    kernels: Kernels,
    centroids: MatrixRef<'a>,
    /// ½|c|² of each centroid.
    halves: Vec<f32>,
    /// The largest |c|.
    reach: f64,
    /// The centroids again, if they are so short that all distances cost less than proposals.
    columns: Option<Columns>,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(centroids: MatrixRef<'a>) -> Self {
        let kernels = Kernels::best();
        let halves: Vec<f32> = centroids.iter().map(|c| 0.5 * kernels.dot(c, c)).collect();
        let reach = (2.0 * f64::from(halves.iter().copied().fold(0.0, f32::max))).sqrt();
        let columns = Columns::new(centroids);
        Self { kernels, centroids, halves, reach, columns }
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
        if let Some(columns) = &self.columns {
            return self.find_short(columns, rows, out, cancel);
        }
        let (k, dim) = (self.centroids.rows(), self.centroids.dim());
        let tile = (WORK / dim / rows.rows().max(1)).clamp(LANES, TILE);
        let slacks: Vec<f32> = rows.iter().map(|x| self.slack(x)).collect();
        let mut tops = vec![f32::NEG_INFINITY; rows.rows()];
        let mut products = vec![0.0; rows.rows() * tile.min(k)];
        let mut proposals = Vec::with_capacity(2 * rows.rows());
        let mut peaks = Vec::new();
        for first in (0..k).step_by(tile) {
            cancel.check()?;
            let range = first..(first + tile).min(k);
            let (width, halves) = (range.len(), &self.halves[range.clone()]);
            let products = &mut products[..rows.rows() * width];
            kernels::products(rows, self.centroids.slice(range), products);
            for (row, products) in products.chunks_exact(width).enumerate() {
                tops[row] =
                    self.kernels.peaks(products, halves, tops[row], slacks[row], &mut peaks);
                proposals.extend(peaks.drain(..).map(|(c, p)| (row, first as u32 + c, p)));
            }
        }
        out.fill(Nearest { centroid: 0, distance: f32::INFINITY });
        // Tile after tile the numbers of centroids ascend for each row, so `<` keeps the lower one.
        for (row, centroid, p) in proposals {
            if p >= tops[row] - slacks[row] {
                let distance =
                    self.kernels.l2(rows.row(row), self.centroids.row(centroid as usize));
                if distance < out[row].distance {
                    out[row] = Nearest { centroid, distance };
                }
            }
        }
        Ok(())
    }

    fn find_short(
        &self,
        columns: &Columns,
        rows: MatrixRef<'_>,
        out: &mut [Nearest],
        cancel: &Cancel,
    ) -> Result<()> {
        let mut distances = Vec::new();
        for (i, (row, out)) in rows.iter().zip(out).enumerate() {
            if i % POLL == 0 {
                cancel.check()?;
            }
            self.kernels.short_l2s(row, columns, &mut distances);
            let centroid = self.kernels.least(&distances);
            *out = Nearest { centroid: centroid as u32, distance: distances[centroid] };
        }
        Ok(())
    }

    /// How far below the best proposal for `x` the canonical nearest may lie.
    fn slack(&self, x: &[f32]) -> f32 {
        let roundings = (x.len() + 6) as f64 * 2f64.powi(-24);
        let gamma = roundings / (1.0 - roundings);
        let reach = f64::from(self.kernels.dot(x, x)).sqrt() + self.reach;
        // The computed lengths are within γ of the true ones, and one more u rounds to f32.
        let slack = 2.0 * gamma * reach * reach * (1.0 + 5.0 * gamma);
        slack as f32 + x.len() as f32 * f32::MIN_POSITIVE
    }
}
