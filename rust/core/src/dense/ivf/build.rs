//! From rows to lists of codes.

use std::ops::Range;

use super::coarse::Coarse;
use super::{Ivf, Lists, code_starts};
use crate::cluster::{self, KMeans, Nearest, Seeding};
use crate::dense::rows::{Rows, Storage};
use crate::dense::score::{BLOCK, Metric};
use crate::quantize::{Bits, ByteTables, Codes, Packed, ProductQuantizer};
use crate::store::Column;
use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads};

/// Training rows of the codebooks: the codebook's k-means takes 256 a centroid.
const TRAIN: usize = 256 * 16;
/// Training rows a list, on average; more hardly lower the objective and cost in proportion.
const ROWS_PER_LIST: usize = 32;
/// Moves of the centroids; recall is flat from here on.
const ITERATIONS: usize = 10;
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
        if n < Bits::Four.centroids() {
            return Err(Error::range("vectors", "at least 16 rows (or build a flat index)", n));
        }
        let count = lists.lists.unwrap_or_else(|| (4.0 * (n as f64).sqrt()) as usize).min(n);
        let parts = lists.parts.unwrap_or_else(|| dim.div_ceil(4).min(ByteTables::PARTS));
        if lists.lists.is_some_and(|lists| lists == 0 || lists > n) {
            return Err(Error::range("lists", format!("1 to {n} (rows)"), count));
        }
        if parts == 0 || parts > dim.min(ByteTables::PARTS) {
            let most = dim.min(ByteTables::PARTS);
            return Err(Error::range("parts", format!("1 to {most}"), parts));
        }
        let means = KMeans {
            seeding: Seeding::Drawn,
            iterations: ITERATIONS,
            rows_per_cluster: ROWS_PER_LIST,
            seed,
            ..KMeans::new(count)
        };
        let centroids = means.fit(rows, threads, cancel)?.centroids;
        let nearest = cluster::assign(rows, centroids.view(), threads, cancel)?;
        let order = Order::new(&nearest, count);
        let spreads = spreads(&nearest, count);
        let (coarse, centroids) =
            Coarse::new(metric, &centroids, spreads, parts, seed, threads, cancel)?;
        let coder = Coder { metric, rows, centroids: centroids.view(), nearest: &nearest };
        let quantizer = coder.train(parts, seed, threads, cancel)?;
        let codes = coder.encode(&quantizer, &order, threads, cancel)?;
        let vectors = Rows::gather(rows, &order.rows, storage, threads, cancel)?;
        Ok(Self {
            metric,
            dim,
            codebooks: Column::Owned(quantizer.codebooks().to_vec()),
            quantizer,
            coarse,
            code_starts: code_starts(&order.ends, parts),
            starts: Column::Owned(order.ends),
            codes: Column::Owned(codes),
            rows: Column::Owned(order.rows),
            positions: std::sync::OnceLock::new(),
            vectors,
        })
    }
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

fn spreads(nearest: &[Nearest], lists: usize) -> Vec<f32> {
    let mut sums = vec![(0.0f64, 0u32); lists];
    for found in nearest {
        let (sum, count) = &mut sums[found.centroid as usize];
        *sum += f64::from(found.distance);
        *count += 1;
    }
    sums.iter().map(|(sum, count)| (sum / f64::from((*count).max(1))).sqrt() as f32).collect()
}

/// What codes stand for.
struct Coder<'a> {
    metric: Metric,
    rows: MatrixRef<'a>,
    centroids: MatrixRef<'a>,
    nearest: &'a [Nearest],
}

impl Coder<'_> {
    /// What the codes of these rows have to stand for: under dot and cosine the rest after the
    /// centroid, under l2 the row.
    fn targets(&self, rows: &[u32], threads: Threads, cancel: &Cancel) -> Result<Matrix> {
        let dim = self.rows.dim();
        let mut out = Matrix::zeros(rows.len(), dim);
        threads.chunks_mut(out.data_mut(), dim, BLOCK, cancel, |first, chunk| {
            for (out, &row) in chunk.chunks_exact_mut(dim).zip(&rows[first..]) {
                out.copy_from_slice(self.rows.row(row as usize));
                if self.metric != Metric::L2 {
                    let list = self.nearest[row as usize].centroid as usize;
                    out.iter_mut().zip(self.centroids.row(list)).for_each(|(x, c)| *x -= c);
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
        let targets = self.targets(&sample, threads, cancel)?;
        ProductQuantizer::train(targets.view(), parts, Bits::Four, seed, threads, cancel)
    }

    /// Packed codes, list after list, each from a block of its own.
    fn encode(
        &self,
        quantizer: &ProductQuantizer,
        order: &Order,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<u8>> {
        let parts = quantizer.parts();
        let mut packed = Vec::new();
        for lists in chunks_of_lists(&order.ends) {
            let first = order.ends[lists.start] as usize;
            let rows = &order.rows[first..order.ends[lists.end] as usize];
            let targets = self.targets(rows, threads, cancel)?;
            let codes = quantizer.encode(targets.view(), threads, cancel)?;
            for list in lists {
                cancel.check()?;
                let range =
                    order.ends[list] as usize - first..order.ends[list + 1] as usize - first;
                let own = &codes.bytes()[range.start * parts..range.end * parts];
                packed
                    .extend_from_slice(Packed::pack(&Codes::new(own, parts, Bits::Four)?).bytes());
            }
        }
        Ok(packed)
    }
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
