//! What a score means, and the rows it can be computed of.

use serde::{Deserialize, Serialize};

use crate::kernels::Kernels;
use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads};

/// What a score means. All of them grow with similarity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Σ qᵢ·xᵢ
    #[default]
    Dot,
    /// The dot product of both, each divided by its length.
    Cosine,
    /// −Σ (qᵢ−xᵢ)²
    L2,
}

/// Squared lengths stay below this, as in `cluster`. Then |q·x| ≤ ‖q‖·‖x‖ and
/// ‖q−x‖² ≤ 2‖q‖² + 2‖x‖² are finite, and so is every partial sum of theirs, rounding included.
const LONGEST: f64 = 1e37;

/// Rows between two looks at `cancel`: about a megabyte.
pub(super) const BLOCK: usize = 1024;

impl Metric {
    /// Scores of `query` with each of `rows`, by the canonical kernel.
    #[inline]
    pub(super) fn scores(
        self,
        kernels: Kernels,
        query: &[f32],
        rows: MatrixRef<'_>,
        out: &mut [f32],
    ) {
        match self {
            Self::Dot | Self::Cosine => kernels.dots(query, rows, out),
            Self::L2 => kernels.l2s(query, rows, out),
        }
        self.turn(out);
    }

    /// Makes scores of what the kernel of this metric returned: under l2, of distances.
    #[inline]
    pub(super) fn turn(self, scores: &mut [f32]) {
        if self == Self::L2 {
            // 0 − x, not −x: the score of equal vectors is 0, not −0.
            scores.iter_mut().for_each(|score| *score = 0.0 - *score);
        }
    }

    /// A copy of `rows` (those of `order`, in that order) from which scores can be computed:
    /// under cosine each is divided by its length.
    ///
    /// Refuses NaN, infinities, lengths whose squares would overflow, and zeros under cosine, naming
    /// the row as it came.
    pub(super) fn prepare(
        self,
        what: &'static str,
        rows: MatrixRef<'_>,
        order: Option<&[usize]>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Matrix> {
        let dim = rows.dim();
        let mut out = Matrix::zeros(rows.rows(), dim);
        threads.chunks_mut(out.data_mut(), dim, BLOCK, cancel, |first, chunk| {
            for (i, out) in chunk.chunks_exact_mut(dim).enumerate() {
                let place = order.map_or(first + i, |order| order[first + i]);
                out.copy_from_slice(rows.row(place));
                self.prepare_row(what, place, out)?;
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Makes the length of `row` 1, unless it is 0.
    pub(super) fn shorten(row: &mut [f32]) {
        Self::divide(row, square(row));
    }

    /// Divides `row` by its length, whose square is given, unless that is 0.
    fn divide(row: &mut [f32], square: f64) {
        if square > 0.0 {
            let scale = 1.0 / square.sqrt();
            row.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
        }
    }

    fn prepare_row(self, what: &'static str, place: usize, row: &mut [f32]) -> Result<()> {
        let square = square(row);
        if !square.is_finite() {
            return Err(Error::NotFinite { what, row: place });
        }
        if square >= LONGEST {
            let want = "rows of squared length below 1e37 (scale all of them down)";
            return Err(Error::range(what, want, format!("{square:e} in row {place}")));
        }
        if self == Self::Cosine {
            if square == 0.0 {
                let want = "rows that are not zero under cosine (drop them, or use dot)";
                return Err(Error::range(what, want, format!("zeros in row {place}")));
            }
            Self::divide(row, square);
        }
        Ok(())
    }
}

/// Σ xᵢ² in f64, four sums side by side: f32 squares are exact and cannot overflow there.
fn square(row: &[f32]) -> f64 {
    let mut sums = [0.0; 4];
    let (fours, rest) = row.as_chunks::<4>();
    for four in fours {
        for (sum, &x) in sums.iter_mut().zip(four) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(rest) {
        *sum += f64::from(x) * f64::from(x);
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}
