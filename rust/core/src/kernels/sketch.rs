//! Rows and queries in whole numbers, and how far their products may lie from the scores.
//!
//! A row x is sketched as x̂ = s·c: bytes c, a scale s, and ρ ≥ |x − x̂|. A query q becomes q̂ = t·d:
//! up to 16 bits a number, and e ≥ |q − q̂|. The sum I = Σ dᵢcᵢ is exact in 32 bits, and
//!
//! ```text
//! q·x − t·s·I = (q − q̂)·x̂ + q·(x − x̂),   hence   |q·x − t·s·I| ≤ e·|x̂| + |q|·ρ ≤ e·|x| + (|q| + e)·ρ
//! ```
//!
//! What is compared with is the canonical score, in its own rounding. With u = 2⁻²⁴ and γ for n = dim
//! additions (Higham, Accuracy and Stability, §3.1), a = |q| and b ≥ |x|:
//!
//! - dot: the canonical sum is within γ·a·b of q·x;
//! - l2: a score S is read as (S + a²)/2, which is q·x − |x|²/2; both canonical sums are halved, so
//!   they add at most γ·(a+b)²/2 + γ·b²/2 ≤ γ·(a+b)².
//!
//! Heights are computed in `f32`: three roundings of t·s·I, two of (a+e)·ρ, three sums and differences.
//! As e ≤ a and ρ ≤ 3b (ρ ≤ b but for outlines), the first are at most 8ab, the next 6ab, the sums
//! 14ab + b²/2: they add less than 112u·ab (dot) or 112u·(a+b)² (l2), and γ is taken for n + 128.
//! Underflow is in `tiny`: a term of a sum adds at most 2⁻¹⁴⁹,
//! and I·s, once rounded, is multiplied by t. Overflow is excluded where vectors enter: by `dense::score` and `cluster::check`.

use super::{Kernels, MOST_OUTLINED, padded};
use crate::MatrixRef;

/// The least step of `f32`.
const LEAST: f64 = 1.5e-45;
/// Larger than one by more than any f64 sum here is rounded.
const ROUNDED_UP: f64 = 1.0 + 1e-9;

/// The largest |x|, 0 if there is none: sizes have the order of their bits, which is found faster.
pub fn largest(row: &[f32]) -> f32 {
    f32::from_bits(row.iter().map(|x| x.abs().to_bits() as i32).max().unwrap_or(0) as u32)
}

/// Writes each number of `row` in steps of the scale that it returns, the largest as ±127.
///
/// `scale · byte`, rounded to `f32`, is within (½ + 2⁻¹⁶)·scale + 2⁻¹⁴³ of the number; the last term is
/// for scales that are subnormal. Panics if the lengths differ.
pub fn to_bytes(row: &[f32], bytes: &mut [i8]) -> f32 {
    /// Added and taken off, it rounds to whole numbers: f64 has no bits below 1 there.
    const ROUND: f64 = (3u64 << 51) as f64;
    assert_eq!(row.len(), bytes.len(), "one byte a number");
    let largest = largest(row);
    let scale = (f64::from(largest) / 127.0) as f32;
    if scale == 0.0 {
        bytes.fill(0);
        return 0.0;
    }
    let steps = 1.0 / f64::from(scale);
    for (byte, x) in bytes.iter_mut().zip(row) {
        // Below 127.5 but where a subnormal scale was rounded down; there the cast saturates.
        *byte = (((f64::from(*x) * steps + ROUND) - ROUND) as i8).max(-127);
    }
    scale
}

/// ρ of a row, at least |row − scale·bytes|.
pub fn rest(row: &[f32], bytes: &[i8], scale: f32) -> f32 {
    // A byte times an f32 is exact in f64.
    let off = |(x, byte): (&f32, &i8)| f64::from(*x) - f64::from(scale) * f64::from(*byte);
    let square: f64 = row.iter().zip(bytes).map(off).map(|off| off * off).sum();
    ((square.sqrt() * ROUNDED_UP) as f32).next_up()
}

/// ρ of a row's outline, whose bytes have `left` beyond it; `rest` is that of the bytes.
///
/// With r the outline of a byte c, |c − 4r| ≤ |c|: so what is left out is at most |x̂| long, and this at
/// most three times |x|.
pub fn outline_rest(rest: f32, scale: f32, left: i32) -> f32 {
    let rest = f64::from(rest) + f64::from(scale) * f64::from(left).sqrt();
    ((rest * ROUNDED_UP) as f32).next_up()
}

/// A query in whole numbers, and what bounds its scores.
pub struct Probe {
    /// Whether scores are −|q − x|² rather than q·x.
    distance: bool,
    /// t
    pub step: f32,
    /// a + e, at least; times ρ it bounds what the bytes leave out.
    pub reach: f32,
    a: f64,
    e: f64,
    gamma: f64,
    tiny: f64,
}

impl Probe {
    /// Sketches `query` into `numbers`, which are [`padded`] zeros, at most `most` either way.
    fn new(distance: bool, query: &[f32], most: f64, numbers: &mut [i16]) -> Self {
        let dim = query.len();
        let largest = largest(query);
        let step = (f64::from(largest) / most) as f32;
        let [square, off] = Kernels::best().whole(query, step, most, numbers);
        let (a, e) = (square.sqrt() * ROUNDED_UP, off.sqrt() * ROUNDED_UP);
        let roundings = (dim + 128) as f64 * 2f64.powi(-24);
        Self {
            distance,
            step,
            reach: ((a + e) as f32).next_up(),
            a,
            e,
            gamma: roundings / (1.0 - roundings),
            tiny: (dim as f64 + 4.0 * (1.0 + f64::from(step))) * LEAST,
        }
    }

    /// All of `queries`, and their numbers one after the other.
    pub fn all(distance: bool, queries: MatrixRef<'_>) -> (Vec<Self>, Vec<i16>) {
        // With these, no sum of products with bytes leaves 32 bits.
        let most = (i32::MAX as usize / 128 / queries.dim()).min(i16::MAX as usize) as f64;
        let width = padded(queries.dim());
        let mut numbers = vec![0; queries.rows() * width];
        let probes = queries.iter().zip(numbers.chunks_exact_mut(width));
        let probes =
            probes.map(|(query, numbers)| Self::new(distance, query, most, numbers)).collect();
        (probes, numbers)
    }

    /// The same for rows in outlines: an outline is worth four of its byte's steps.
    pub fn outlined(distance: bool, queries: MatrixRef<'_>) -> (Vec<Self>, Vec<i8>) {
        let mut wide = vec![0; padded(queries.dim())];
        let mut numbers = Vec::with_capacity(queries.rows() * wide.len());
        let probes = queries.iter().map(|query| {
            let probe = Self::new(distance, query, f64::from(MOST_OUTLINED), &mut wide);
            numbers.extend(wide.iter().map(|number| *number as i8));
            Self { step: 4.0 * probe.step, ..probe }
        });
        (probes.collect(), numbers)
    }

    /// How far, beside reach·ρ, a row's height may lie from its canonical score read as a height, if
    /// the row's canonical x·x is at most `longest`.
    pub fn slack(&self, longest: f32) -> f64 {
        // A canonical sum of squares is short by a factor of 1 − γ and what underflows at most.
        let square = f64::from(longest) + self.tiny;
        let b = (square * (1.0 + 2.0 * self.gamma)).sqrt();
        let rounding = match self.distance {
            false => self.gamma * self.a * b,
            true => self.gamma * (self.a + b) * (self.a + b),
        };
        (self.e * b + rounding + self.tiny) * ROUNDED_UP
    }

    /// A canonical score read as a height.
    pub fn height(&self, score: f32) -> f64 {
        match self.distance {
            false => f64::from(score),
            true => (f64::from(score) + self.a * self.a) / 2.0,
        }
    }
}
