//! Which u explains the scores of some rows: min ‖V·u − a‖² + ε‖u‖², in f64, row after row.
//!
//! With Q an orthonormal basis of the rows seen and C = V·Qᵀ, u = Qᵀz where z minimises
//! ‖C·z − a‖² + ε‖z‖². What is kept is Q and the triangle T of that problem, TᵀT = CᵀC + ε·I:
//!
//! ```text
//! v = Qᵀc + e                      e ⟂ Q, made so twice
//! e ≠ 0, and Q has no full rank:   e/‖e‖ joins Q, ‖e‖ joins c, √ε joins the diagonal of T
//! c, a                             are rotated into T and its right side
//! ```
//!
//! T is a Cholesky factor: while the rank grows it is extended by a row and a column, at most m of
//! them (the dual form), and once the rank is full it is updated by rank one, of dimension d for any m
//! (the primal). Neither V·Vᵀ nor VᵀV is formed, so the condition of V is not squared. With ε = 0 this
//! is the pseudo-inverse by Greville's columns: e = 0 is his second case, and u has minimal length.
//! A row costs O(d·r + r²) for the rank r.

use crate::dense::Storage;
use crate::{Error, Result};

/// How much is taken for noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ridge {
    /// ε, in mean squared lengths of the rows that come first.
    pub relative: f64,
    /// What is added to that: the variance of noise in the scores where that of u is 1.
    pub noise: f64,
    /// A row adds no direction if no more than this part of its length lies outside those there are.
    pub tolerance: f64,
}

impl Default for Ridge {
    /// A ridge that only ill-conditioned rows feel, and the rounding of `f32`.
    fn default() -> Self {
        Self::of(1e-6, 0.0, Storage::F32)
    }
}

impl Ridge {
    /// Both as given, and the rounding of rows that are kept so for the tolerance.
    pub fn of(relative: f64, noise: f64, storage: Storage) -> Self {
        let tolerance = match storage {
            Storage::F32 => 2f64.powi(-23),
            Storage::F16 => 2f64.powi(-11),
            Storage::Int8 => 2f64.powi(-7),
        };
        Self { relative, noise, tolerance }
    }

    /// Refuses what is negative or not finite.
    pub fn expect(&self) -> Result<()> {
        let all = [("ridge", self.relative), ("noise", self.noise), ("tolerance", self.tolerance)];
        for (what, value) in all {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::range(what, "a number from 0", value));
            }
        }
        Ok(())
    }
}

/// A regression that takes its rows one after the other.
#[derive(Debug, Clone)]
pub struct Solver {
    dim: usize,
    ridge: Ridge,
    /// ε; unknown until a row is not zero.
    epsilon: Option<f64>,
    /// Q, `dim` numbers a direction.
    basis: Vec<f64>,
    /// T; row `i` holds columns `i..`.
    triangle: Vec<Vec<f64>>,
    right: Vec<f64>,
}

impl Solver {
    /// No rows of `dim` numbers.
    pub fn new(dim: usize, ridge: Ridge) -> Self {
        let (basis, triangle, right) = (Vec::new(), Vec::new(), Vec::new());
        Self { dim, ridge, epsilon: None, basis, triangle, right }
    }

    /// How many directions the rows have.
    pub fn rank(&self) -> usize {
        self.right.len()
    }

    /// Learns that `rows` scored `scores`; panics unless there are `dim` finite numbers a score.
    pub fn append(&mut self, rows: &[f64], scores: &[f64]) {
        assert_eq!(rows.len(), scores.len() * self.dim, "one score a row");
        if self.epsilon.is_none() {
            let square = dot(rows, rows);
            let mean = square / scores.len() as f64;
            self.epsilon = (square > 0.0).then_some(self.ridge.relative * mean + self.ridge.noise);
        }
        for (row, &score) in rows.chunks_exact(self.dim).zip(scores) {
            let along = self.split(row);
            self.rotate(along, score);
        }
    }

    /// u; zeros before any row.
    pub fn solution(&self) -> Vec<f64> {
        let mut z = self.right.clone();
        for i in (0..z.len()).rev() {
            let line = &self.triangle[i];
            z[i] = (z[i] - dot(&line[1..], &z[i + 1..])) / line[0];
        }
        let mut out = vec![0.0; self.dim];
        for (direction, z) in self.basis.chunks_exact(self.dim).zip(z) {
            axpy(z, direction, &mut out);
        }
        out
    }

    /// What `row` is along each direction; what it adds to them becomes one.
    fn split(&mut self, row: &[f64]) -> Vec<f64> {
        let mut rest = row.to_vec();
        let mut along = vec![0.0; self.rank()];
        let length = dot(row, row).sqrt();
        let mut left = length;
        // Twice is enough (Kahan, in Parlett 1980): if much of what was left goes, look again.
        for _ in 0..2 {
            let before = left;
            take_off(&self.basis, &mut rest, &mut along);
            left = dot(&rest, &rest).sqrt();
            if left > 0.7 * before {
                break;
            }
        }
        if self.rank() < self.dim && left > self.ridge.tolerance * length {
            let epsilon = self.epsilon.expect("a row that is not zero has been seen");
            self.basis.extend(rest.iter().map(|x| x / left));
            self.triangle.iter_mut().for_each(|line| line.push(0.0));
            self.triangle.push(vec![epsilon.sqrt()]);
            self.right.push(0.0);
            along.push(left);
        }
        along
    }

    /// Makes the equation `along`·z = `score` part of the triangle, by Givens rotations.
    fn rotate(&mut self, mut along: Vec<f64>, mut score: f64) {
        for (i, line) in self.triangle.iter_mut().enumerate() {
            let (old, new) = (line[0], along[i]);
            if new == 0.0 {
                continue;
            }
            let length = old.hypot(new);
            let (cos, sin) = (old / length, new / length);
            for (x, y) in line.iter_mut().zip(&mut along[i..]) {
                (*x, *y) = (cos * *x + sin * *y, cos * *y - sin * *x);
            }
            let right = &mut self.right[i];
            (*right, score) = (cos * *right + sin * score, cos * score - sin * *right);
        }
    }
}

/// Takes off `rest` what it is along each direction of `basis`, and adds that to `along`.
///
/// Four directions at a time: half as much is read as one after the other would, and between four
/// that are orthonormal the order makes no difference that the second pass does not mend.
fn take_off(basis: &[f64], rest: &mut [f64], along: &mut [f64]) {
    let dim = rest.len();
    let (fours, last) = along.as_chunks_mut::<4>();
    let mut directions = basis.chunks_exact(4 * dim);
    for (along, four) in fours.iter_mut().zip(&mut directions) {
        let (a, b) = four.split_at(2 * dim);
        let ((a, b), (c, d)) = (a.split_at(dim), b.split_at(dim));
        let parts = dots([a, b, c, d], rest);
        let columns = a.iter().zip(b).zip(c.iter().zip(d));
        for (rest, ((a, b), (c, d))) in rest.iter_mut().zip(columns) {
            *rest -= (parts[0] * a + parts[1] * b) + (parts[2] * c + parts[3] * d);
        }
        along.iter_mut().zip(parts).for_each(|(along, part)| *along += part);
    }
    for (along, direction) in last.iter_mut().zip(directions.remainder().chunks_exact(dim)) {
        let part = dot(direction, rest);
        axpy(-part, direction, rest);
        *along += part;
    }
}

/// Four dot products with `x`, each of four sums side by side.
fn dots(rows: [&[f64]; 4], x: &[f64]) -> [f64; 4] {
    const LANES: usize = 4;
    let (whole, x_rest) = x.as_chunks::<LANES>();
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<LANES>().0);
    let mut sums = [[0.0; LANES]; 4];
    for ((x, (a, b)), (c, d)) in whole.iter().zip(a.iter().zip(b)).zip(c.iter().zip(d)) {
        for i in 0..LANES {
            sums[0][i] += a[i] * x[i];
            sums[1][i] += b[i] * x[i];
            sums[2][i] += c[i] * x[i];
            sums[3][i] += d[i] * x[i];
        }
    }
    let last = rows.map(|row| &row[whole.len() * LANES..]);
    std::array::from_fn(|i| {
        let rest: f64 = last[i].iter().zip(x_rest).map(|(a, x)| a * x).sum();
        sums[i].iter().sum::<f64>() + rest
    })
}

/// Σ aᵢ·bᵢ, eight sums side by side.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

fn axpy(alpha: f64, x: &[f64], y: &mut [f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += alpha * x);
}
