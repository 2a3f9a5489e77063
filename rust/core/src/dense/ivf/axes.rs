//! The principal axes of the rows, along which few numbers tell most of what tells rows apart.
//!
//! ```text
//! build    the covariance C of a sample of the rows
//!          Q <- orthonormal(C·Q), a few times: orthogonal iteration (Golub and Van Loan 2013, §8.2.4)
//!          axes in order of their energy qᵀCq; as many as hold nearly all of it, as bytes
//! turn     x -> (x·a for each axis a), by whole numbers
//! ```
//!
//! Rows are turned less their mean, which changes every score of a query by the same. The iteration is
//! cut short: neighbours of like energy are still mixed then, and that costs nothing, as axes are only
//! told apart by energy. Canonical kernels make it the same bytes on every CPU, which no library of
//! decompositions promises.

use std::sync::Arc;

use super::check::finite;
use crate::kernels::{Kernels, MOST_OUTLINED, Outline, largest, padded, to_bytes};
use crate::store::{Column, Sections, Segment};
use crate::{Cancel, Matrix, MatrixRef, Result, Threads};

/// Rows that the covariance is made of: 16,384 say what all would, 4,096 do not.
const SAMPLE: usize = 1 << 14;
/// Products with the covariance; the energy of the first axes is flat from here on.
const TURNS: usize = 8;
/// Added to the mean energy of an axis, so that rows in a plane have axes beside it too.
const RIDGE: f32 = 1e-4;
/// Numbers of axes are multiples of this.
const STEP: usize = 32;
/// A vector's numbers as whole ones.
const MOST: usize = 2047;

/// Some orthonormal axes, first those with the most energy.
#[derive(Debug)]
pub(super) struct Axes {
    dim: usize,
    mean: Column<f32>,
    /// One row an axis.
    bytes: Column<i8>,
    /// What an axis's bytes are worth.
    scales: Column<f32>,
    /// The upper bits of the bytes, for queries.
    outline: Outline,
}

/// All axes of some rows, before one decides how many to keep.
pub(super) struct Principal {
    mean: Vec<f32>,
    axes: Matrix,
    energies: Vec<f32>,
}

/// Buffers for turning.
#[derive(Debug, Default)]
pub(super) struct Scratch<T> {
    centred: Vec<f32>,
    whole: Vec<T>,
    steps: Vec<f32>,
    products: Vec<i32>,
}

impl Principal {
    pub(super) fn new(rows: MatrixRef<'_>, threads: Threads, cancel: &Cancel) -> Result<Self> {
        let (n, dim) = (rows.rows(), rows.dim());
        let count = n.min(SAMPLE);
        let picks: Vec<usize> = (0..count).map(|i| i * n / count).collect();
        let mut sums = vec![0.0f64; dim];
        for &pick in &picks {
            sums.iter_mut().zip(rows.row(pick)).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / count as f64) as f32).collect();
        let mut columns = Matrix::zeros(dim, count);
        for (i, &pick) in picks.iter().enumerate() {
            for (j, (x, mean)) in rows.row(pick).iter().zip(&mean).enumerate() {
                columns.row_mut(j)[i] = x - mean;
            }
        }
        // Their squares then neither overflow nor vanish.
        let largest = columns.view().data().iter().fold(0.0f32, |most, x| most.max(x.abs()));
        if largest > 0.0 {
            columns.data_mut().iter_mut().for_each(|x| *x /= largest);
        }
        let mut covariance = products(columns.view(), columns.view(), threads, cancel)?;
        let energy: f64 = (0..dim).map(|i| f64::from(covariance.row_mut(i)[i])).sum();
        let scale = if energy > 0.0 { (dim as f64 / energy) as f32 } else { 0.0 };
        covariance.data_mut().iter_mut().for_each(|x| *x *= scale);
        (0..dim).for_each(|i| covariance.row_mut(i)[i] += RIDGE);
        let (axes, energies) = iterate(covariance.view(), threads, cancel)?;
        Ok(Self { mean, axes, energies })
    }

    /// How many axes hold `share` of the energy.
    pub(super) fn holding(&self, share: f32) -> usize {
        let all: f32 = self.energies.iter().sum();
        let mut sum = 0.0;
        let enough = self.energies.iter().position(|energy| {
            sum += energy;
            sum >= share * all
        });
        let dim = self.energies.len();
        enough.map_or(dim, |last| last + 1).next_multiple_of(STEP).min(dim)
    }

    /// The first `count` axes.
    pub(super) fn first(self, count: usize) -> Axes {
        let dim = self.mean.len();
        let mut bytes = vec![0; count * dim];
        let rows = self.axes.view().iter().zip(bytes.chunks_exact_mut(dim));
        let scales = rows.map(|(axis, bytes)| to_bytes(axis, bytes)).collect();
        let outline = outline(&bytes, dim);
        let (mean, bytes) = (Column::Owned(self.mean), Column::Owned(bytes));
        Axes { dim, mean, bytes, scales: Column::Owned(scales), outline }
    }
}

/// `a[i]·b[j]` at row i, column j.
fn products(
    a: MatrixRef<'_>,
    b: MatrixRef<'_>,
    threads: Threads,
    cancel: &Cancel,
) -> Result<Matrix> {
    let mut out = Matrix::zeros(a.rows(), b.rows());
    threads.chunks_mut(out.data_mut(), b.rows(), 1, cancel, |first, chunk| {
        for (i, out) in (first..).zip(chunk.chunks_exact_mut(b.rows())) {
            Kernels::best().dots(a.row(i), b, out);
        }
        Ok(())
    })?;
    Ok(out)
}

/// Axes and their energies, by falling energy.
fn iterate(
    covariance: MatrixRef<'_>,
    threads: Threads,
    cancel: &Cancel,
) -> Result<(Matrix, Vec<f32>)> {
    let dim = covariance.dim();
    let mut axes = Matrix::zeros(dim, dim);
    (0..dim).for_each(|i| axes.row_mut(i)[i] = 1.0);
    for _ in 0..TURNS {
        axes = products(axes.view(), covariance, threads, cancel)?;
        orthonormalize(&mut axes, cancel)?;
    }
    let images = products(axes.view(), covariance, threads, cancel)?;
    let energy = |i: usize| Kernels::best().dot(axes.view().row(i), images.view().row(i));
    let energies: Vec<f32> = (0..dim).map(energy).collect();
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&i, &j| energies[j].total_cmp(&energies[i]));
    let energies = order.iter().map(|&i| energies[i]).collect();
    Ok((axes.view().gather(&order), energies))
}

/// Gram and Schmidt's rows, each projected twice, which is enough (Giraud and others 2005).
fn orthonormalize(rows: &mut Matrix, cancel: &Cancel) -> Result<()> {
    let (kernels, dim) = (Kernels::best(), rows.view().dim());
    for i in 0..rows.view().rows() {
        cancel.check()?;
        let (before, own) = rows.data_mut().split_at_mut(i * dim);
        let own = &mut own[..dim];
        for _ in 0..2 {
            for other in before.chunks_exact(dim) {
                let along = kernels.dot(other, own);
                kernels.axpy(-along, other, own);
            }
        }
        let length = kernels.dot(own, own).sqrt();
        own.iter_mut().for_each(|x| *x /= length);
    }
    Ok(())
}

impl Axes {
    pub(super) fn open(segment: &Arc<Segment>, count: usize, dim: usize) -> Result<Self> {
        let bytes: Column<i8> = Column::open(segment, "axes", count.checked_mul(dim))?;
        let outline = outline(bytes.all()?, dim);
        let mean = Column::open(segment, "mean", Some(dim))?;
        let scales = Column::open(segment, "axis scales", Some(count))?;
        Ok(Self { dim, mean, bytes, scales, outline })
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        sections.extend([
            ("mean", self.mean.bytes()?),
            ("axes", self.bytes.bytes()?),
            ("axis scales", self.scales.bytes()?),
        ]);
        Ok(())
    }

    pub(super) fn check(&self) -> Result<()> {
        finite(&self.mean, "mean")?;
        finite(&self.scales, "axis scales")
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }

    /// Writes `rows` less the mean along the first `count` axes, one row after the other.
    pub(super) fn turn(
        &self,
        rows: MatrixRef<'_>,
        count: usize,
        scratch: &mut Scratch<i16>,
        out: &mut [f32],
    ) -> Result<()> {
        // No sum of products with bytes then leaves an i32.
        let most = MOST.min(i32::MAX as usize / (128 * self.dim)) as f32;
        self.make_whole(rows, true, most, scratch, |bits| bits as i16)?;
        let Scratch { whole, steps, products, .. } = scratch;
        products.resize(rows.rows() * count, 0);
        let axes = &self.bytes.all()?[..count * self.dim];
        Kernels::best().dots_i16(whole, axes, self.dim, products);
        let scales = &self.scales.all()?[..count];
        scale(products, count, scales, steps, 1.0, out);
        Ok(())
    }

    /// The same for queries and all axes, in fewer bits on both sides: that is several times as fast, and
    /// what it adds to the error of codes is nothing beside that; less the mean if `centred`.
    pub(super) fn turn_queries(
        &self,
        queries: MatrixRef<'_>,
        centred: bool,
        scratch: &mut Scratch<i8>,
        out: &mut [f32],
    ) -> Result<()> {
        self.make_whole(queries, centred, f32::from(MOST_OUTLINED), scratch, |bits| bits as i8)?;
        let Scratch { whole, steps, products, .. } = scratch;
        let width = self.outline.padded_rows();
        products.resize(queries.rows() * width, 0);
        Kernels::best().outline_dots(whole, &self.outline, products);
        // An outline is worth four of its byte's steps.
        scale(products, width, self.scales.all()?, steps, 4.0, out);
        Ok(())
    }

    /// Makes `scratch.whole` and `scratch.steps` those of `vectors`, at most `most` either way.
    fn make_whole<T: Copy + Default>(
        &self,
        vectors: MatrixRef<'_>,
        centred: bool,
        most: f32,
        scratch: &mut Scratch<T>,
        narrow: impl Fn(u32) -> T,
    ) -> Result<()> {
        let Scratch { centred: moved, whole, steps, .. } = scratch;
        let (mean, width) = (self.mean.all()?, padded(self.dim));
        whole.resize(vectors.rows() * width, T::default());
        steps.clear();
        for (vector, whole) in vectors.iter().zip(whole.chunks_exact_mut(width)) {
            let vector = if centred {
                moved.clear();
                moved.extend(vector.iter().zip(mean).map(|(x, mean)| x - mean));
                &*moved
            } else {
                vector
            };
            steps.push(to_whole(vector, most, whole, &narrow));
        }
        Ok(())
    }
}

/// The upper bits of the axes' bytes.
fn outline(bytes: &[i8], dim: usize) -> Outline {
    let mut outline = Outline::default();
    Kernels::best().outline(bytes, dim, &mut outline);
    outline
}

/// What whole `products`, `width` a vector, are worth: of vectors in `steps` with axes of `scales`, `worth`
/// of whose steps one number of an axis stands for.
fn scale(
    products: &[i32],
    width: usize,
    scales: &[f32],
    steps: &[f32],
    worth: f32,
    out: &mut [f32],
) {
    let rows = products.chunks_exact(width).zip(out.chunks_exact_mut(scales.len()));
    for ((products, out), step) in rows.zip(steps) {
        for ((out, &product), scale) in out.iter_mut().zip(products).zip(scales) {
            *out = product as f32 * (scale * (worth * step));
        }
    }
}

/// Writes `vector` in whole steps, at most `most` either way, and zeros after it; returns the step.
/// `narrow` takes the lowest bits of a number.
pub(super) fn to_whole<T: Copy + Default>(
    vector: &[f32],
    most: f32,
    out: &mut [T],
    narrow: impl Fn(u32) -> T,
) -> f32 {
    let largest = largest(vector);
    let steps = if largest > 0.0 { most / largest } else { 0.0 };
    let (numbers, rest) = out.split_at_mut(vector.len());
    // Adding 1.5 · 2²³ rounds to a whole number, which then lies in the lowest bits.
    for (out, x) in numbers.iter_mut().zip(vector) {
        *out = narrow((x * steps + 12_582_912.0).to_bits());
    }
    rest.fill(T::default());
    if largest > 0.0 { largest / most } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::{Principal, Scratch};
    use crate::rng::Rng;
    use crate::{Cancel, Matrix, Threads};

    /// Rows far from the origin, whose columns spread ever less, mixed by a rotation of pairs.
    fn rows(count: usize, dim: usize) -> Matrix {
        let mut rng = Rng::new(7, 0);
        let mut rows = Matrix::zeros(count, dim);
        for row in rows.data_mut().chunks_exact_mut(dim) {
            for (i, x) in row.iter_mut().enumerate() {
                *x = 5.0 + (rng.below(2001) as f32 - 1000.0) / 1000.0 / (1.0 + i as f32);
            }
            for i in 0..dim - 1 {
                let (x, y) = (row[i], row[i + 1]);
                (row[i], row[i + 1]) = (0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y);
            }
        }
        rows
    }

    #[test]
    fn all_axes_keep_products_and_the_first_hold_the_energy() {
        let (count, dim) = (400, 40);
        let rows = rows(count, dim);
        let principal = Principal::new(rows.view(), Threads::ONE, &Cancel::new()).expect("rows");
        assert!(principal.energies.is_sorted_by(|a, b| a >= b));
        // The first column alone spreads as much as all others together.
        let all: f32 = principal.energies.iter().sum();
        assert!(principal.energies[0] > 0.55 * all, "{:?}", principal.energies);
        assert_eq!((principal.holding(0.5), principal.holding(1.0)), (32, 40));
        let axes = principal.first(dim);
        let mut turned = vec![0.0; count * dim];
        axes.turn(rows.view(), dim, &mut Scratch::default(), &mut turned).expect("in memory");
        let mean = axes.mean.all().expect("in memory");
        let centred = |i: usize| rows.view().row(i).iter().zip(mean).map(|(x, mean)| x - mean);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        for (i, j) in [(0, 0), (1, 2), (3, 399), (17, 17)] {
            let exact: f32 = centred(i).zip(centred(j)).map(|(x, y)| x * y).sum();
            let got = dot(&turned[i * dim..][..dim], &turned[j * dim..][..dim]);
            assert!((got - exact).abs() < 0.02, "{got} for {exact}");
        }
        // Queries lie along the same axes, about.
        let mut queries = vec![0.0; 5 * dim];
        let five = rows.view().slice(0..5);
        axes.turn_queries(five, true, &mut Scratch::default(), &mut queries).expect("in memory");
        for (query, row) in queries.chunks_exact(dim).zip(turned.chunks_exact(dim)) {
            let off: Vec<f32> = query.iter().zip(row).map(|(query, row)| query - row).collect();
            let (off, length) = (dot(&off, &off).sqrt(), dot(row, row).sqrt());
            assert!(off < 0.1 * length, "{off} off a row of {length}");
        }
        // The first axes alone are the same numbers.
        let mut first = vec![0.0; 7];
        let one = rows.view().slice(3..4);
        axes.turn(one, 7, &mut Scratch::default(), &mut first).expect("in memory");
        assert_eq!(first, turned[3 * dim..][..7]);
    }

    #[test]
    fn axes_do_not_depend_on_how_large_the_rows_are() {
        let axes = |rows: &Matrix| {
            let principal = Principal::new(rows.view(), Threads::ONE, &Cancel::new());
            principal.expect("rows").first(20).bytes.all().expect("in memory").to_vec()
        };
        let rows = rows(100, 30);
        for factor in [2.0f32.powi(55), 2.0f32.powi(-80)] {
            let scaled = rows.view().data().iter().map(|x| x * factor).collect();
            let scaled = Matrix::new(scaled, 30).expect("whole rows");
            assert_eq!(axes(&scaled), axes(&rows), "{factor}");
        }
    }

    #[test]
    fn rows_without_any_spread_have_axes_too() {
        let rows = Matrix::new(vec![3.0; 20 * 5], 5).expect("whole rows");
        let principal = Principal::new(rows.view(), Threads::ONE, &Cancel::new()).expect("rows");
        let axes = principal.first(5);
        let mut turned = vec![f32::NAN; 100];
        axes.turn(rows.view(), 5, &mut Scratch::default(), &mut turned).expect("in memory");
        assert_eq!(turned, [0.0; 100]);
    }
}
