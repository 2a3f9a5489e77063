//! From rows to lists of codes.

use std::ops::Range;

use super::axes::{Axes, Principal, Scratch as Turning};
use super::coarse::{Centroids, Coarse};
use super::{Ivf, Lists, bounds, column_order};
use crate::cluster::{self, KMeans, Nearest, Seeding};
use crate::dense::rows::{Rows, Storage};
use crate::dense::score::{BLOCK, Metric};
use crate::kernels::Kernels;
use crate::quantize::{Bits, ByteTables, Codes, Packed, ProductQuantizer};
use crate::store::Column;
use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads};

/// Training rows of the codebooks: the codebook's k-means takes 256 a centroid.
const TRAIN: usize = 256 * 16;
/// Lists for each root of the number of rows.
const LISTS: f64 = 4.0;
/// Training rows a list, on average: more find a little more and cost in proportion.
const ROWS_PER_LIST: usize = 48;
/// Moves of the centroids; recall is flat from here on.
const ITERATIONS: usize = 10;
/// Share of the rows' energy along the axes that codes stand for; what is left is the least of a code's
/// errors.
const KEPT: f32 = 0.95;
/// Share of the rows' energy along the axes that centroids lie along.
const NEAR: f32 = 0.75;
/// Rows encoded at a time; bounds what building holds beside the rows themselves.
const CHUNK: usize = 1 << 15;

/// Rows in the order of their lists.
struct Order {
    /// Where each list ends; begins with 0.
    ends: Vec<u64>,
    /// The row at each position.
    rows: Vec<u32>,
}

impl Ivf {
    /// Lists of `rows`, which are prepared. Refuses fewer than 16 rows, more lists than rows, and more
    /// parts than columns.
    pub(in crate::dense) fn build(
        metric: Metric,
        rows: &Matrix,
        storage: Storage,
        lists: Lists,
        seed: u64,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        let rows = rows.view();
        let (n, dim) = (rows.rows(), rows.dim());
        let count = expect_lists(lists, n, dim)?;
        let principal = Principal::new(rows, threads, cancel)?;
        let columns = match lists.parts {
            Some(parts) => (4 * parts).min(dim),
            None => principal.holding(KEPT),
        };
        let parts = lists.parts.unwrap_or_else(|| columns.div_ceil(4).min(ByteTables::PARTS));
        let near = principal.holding(NEAR).min(columns);
        let axes = principal.first(columns);
        let (centroids, nearest) = cluster(&axes, near, rows, count, seed, threads, cancel)?;
        let order = Order::new(&nearest, count);
        let coder = Coder { metric, rows, axes: &axes, centroids: &centroids, nearest: &nearest };
        let quantizer = coder.train(parts, seed, threads, cancel)?;
        let (codes, spreads) = coder.encode(&quantizer, &order, threads, cancel)?;
        let vectors = Rows::gather(rows, &order.rows, storage, threads, cancel)?;
        Ok(Self {
            metric,
            dim,
            axes,
            columns: column_order(columns, parts),
            codebooks: Column::Owned(quantizer.codebooks().to_vec()),
            quantizer,
            coarse: Coarse::new(metric, centroids, spreads),
            bounds: bounds(&order.ends, parts),
            starts: Column::Owned(order.ends),
            codes: Column::Owned(codes),
            rows: Column::Owned(order.rows),
            positions: std::sync::OnceLock::new(),
            vectors,
        })
    }
}

/// How many lists to make of `n` rows of `dim` numbers, if `lists` can be had.
fn expect_lists(lists: Lists, n: usize, dim: usize) -> Result<usize> {
    if n < Bits::Four.centroids() {
        return Err(Error::range("vectors", "at least 16 rows (or build a flat index)", n));
    }
    let count = lists.lists.unwrap_or_else(|| (LISTS * (n as f64).sqrt()) as usize).min(n);
    if lists.lists.is_some_and(|lists| lists == 0 || lists > n) {
        return Err(Error::range("lists", format!("1 to {n} (rows)"), count));
    }
    let most = dim.min(ByteTables::PARTS);
    if let Some(parts) = lists.parts.filter(|parts| !(1..=most).contains(parts)) {
        return Err(Error::range("parts", format!("1 to {most}"), parts));
    }
    Ok(count)
}

/// Centroids along the first `near` axes, and the nearest of them to each row.
fn cluster(
    axes: &Axes,
    near: usize,
    rows: MatrixRef<'_>,
    count: usize,
    seed: u64,
    threads: Threads,
    cancel: &Cancel,
) -> Result<(Centroids, Vec<Nearest>)> {
    let mut turned = Matrix::zeros(rows.rows(), near);
    threads.chunks_mut(turned.data_mut(), near, BLOCK, cancel, |first, out| {
        let rows = rows.slice(first..first + out.len() / near);
        axes.turn(rows, near, &mut Turning::default(), out)
    })?;
    let means = KMeans {
        seeding: Seeding::Drawn,
        iterations: ITERATIONS,
        rows_per_cluster: ROWS_PER_LIST,
        seed,
        ..KMeans::new(count)
    };
    let centroids = means.fit(turned.view(), threads, cancel)?.centroids;
    let nearest = cluster::assign(turned.view(), centroids.view(), threads, cancel)?;
    Ok((Centroids::new(&centroids), nearest))
}

impl Order {
    /// Rows by list, then by row.
    fn new(nearest: &[Nearest], lists: usize) -> Self {
        let mut ends = vec![0u64; lists + 1];
        nearest.iter().for_each(|found| ends[found.centroid as usize + 1] += 1);
        (1..=lists).for_each(|list| ends[list] += ends[list - 1]);
        let mut next = ends.clone();
        let mut rows = vec![0u32; nearest.len()];
        for (row, found) in (0u32..).zip(nearest) {
            let at = &mut next[found.centroid as usize];
            rows[*at as usize] = row;
            *at += 1;
        }
        Self { ends, rows }
    }
}

/// What codes stand for.
struct Coder<'a> {
    metric: Metric,
    rows: MatrixRef<'a>,
    axes: &'a Axes,
    centroids: &'a Centroids,
    nearest: &'a [Nearest],
}

impl Coder<'_> {
    /// What the codes of these rows have to stand for, along the axes: under dot and cosine the rest
    /// after the centroid, under l2 the row.
    fn targets(&self, rows: &[u32], threads: Threads, cancel: &Cancel) -> Result<Matrix> {
        let columns = self.axes.len();
        let mut out = Matrix::zeros(rows.len(), columns);
        threads.chunks_mut(out.data_mut(), columns, BLOCK, cancel, |first, chunk| {
            let rows = &rows[first..first + chunk.len() / columns];
            let picks: Vec<_> = rows.iter().map(|&row| row as usize).collect();
            let gathered = self.rows.gather(&picks);
            self.axes.turn(gathered.view(), columns, &mut Turning::default(), chunk)?;
            if self.metric != Metric::L2 {
                for (out, &row) in chunk.chunks_exact_mut(columns).zip(&picks) {
                    self.centroids.take_off(self.nearest[row].centroid as usize, out);
                }
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn train(
        &self,
        parts: usize,
        seed: u64,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<ProductQuantizer> {
        // Rows at even distances: their order is that of their ids, which says nothing of lists.
        let n = self.rows.rows();
        let count = n.min(TRAIN);
        let sample: Vec<_> =
            (0..count).map(|i| (i as u64 * n as u64 / count as u64) as u32).collect();
        let targets = in_order(&self.targets(&sample, threads, cancel)?, parts);
        ProductQuantizer::train(targets.view(), parts, Bits::Four, seed, threads, cancel)
    }

    /// Packed codes, list after list, each from a block of its own, and how far the rows of each list
    /// spread.
    fn encode(
        &self,
        quantizer: &ProductQuantizer,
        order: &Order,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<(Vec<u8>, Vec<f32>)> {
        let parts = quantizer.parts();
        let (mut packed, mut spreads) = (Vec::new(), Vec::new());
        for lists in chunks_of_lists(&order.ends) {
            let first = order.ends[lists.start] as usize;
            let rows = &order.rows[first..order.ends[lists.end] as usize];
            let targets = self.targets(rows, threads, cancel)?;
            let codes = quantizer.encode(in_order(&targets, parts).view(), threads, cancel)?;
            for list in lists {
                cancel.check()?;
                let range =
                    order.ends[list] as usize - first..order.ends[list + 1] as usize - first;
                let own = &codes.bytes()[range.start * parts..range.end * parts];
                packed
                    .extend_from_slice(Packed::pack(&Codes::new(own, parts, Bits::Four)?).bytes());
                spreads.push(spread(targets.view().slice(range)));
            }
        }
        Ok((packed, spreads))
    }
}

/// Root of the mean square of `rows`; 0 of none.
fn spread(rows: MatrixRef<'_>) -> f32 {
    let kernels = Kernels::best();
    let sum: f64 = rows.iter().map(|row| f64::from(kernels.dot(row, row))).sum();
    (sum / rows.rows().max(1) as f64).sqrt() as f32
}

/// `rows` with their columns in the order of parts.
fn in_order(rows: &Matrix, parts: usize) -> Matrix {
    let columns = column_order(rows.view().dim(), parts);
    let mut out = Matrix::zeros(rows.view().rows(), columns.len());
    for (out, row) in out.data_mut().chunks_exact_mut(columns.len()).zip(rows.view().iter()) {
        out.iter_mut().zip(&columns).for_each(|(out, &column)| *out = row[column as usize]);
    }
    out
}

/// Neighbouring lists that hold about [`CHUNK`] rows together, or one that holds more.
fn chunks_of_lists(ends: &[u64]) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    for list in 0..ends.len() - 1 {
        if ends[list + 1] - ends[start] >= CHUNK as u64 || list + 2 == ends.len() {
            chunks.push(start..list + 1);
            start = list + 1;
        }
    }
    chunks
}
