//! Which lists a query looks into, and in which order, by whole numbers.
//!
//! Centroids are kept as bytes of one scale, and what is left of a row is taken from those, so that
//! q·c is the product of bytes up to the rounding of the query. Where there are many lists, 4-bit
//! codes of the centroids name those that are worth the product.

use std::sync::Arc;

use super::Shape;
use super::check::finite;
use crate::dense::Metric;
use crate::kernels::{BLOCK, Kernels, padded};
use crate::quantize::{Bits, ByteTables, Packed, ProductQuantizer};
use crate::store::{Column, Sections, Segment};
use crate::{Cancel, Matrix, Result, Threads};

/// From so many lists on, their codes are asked first.
const MANY: usize = 256;
/// Lists that the codes name for each that is looked into, and beyond. With 3 a search loses less than
/// a thousandth of recall on real text vectors, with 2 twice that.
const NAMED: usize = 3;
const NAMED_AT_LEAST: usize = 16;
/// Centroids that one product takes.
const TOGETHER: usize = 4;
/// How far beyond its centroid a list may reach towards the query, in spreads.
const REACH: f32 = 0.2;

/// The centroids of the lists.
#[derive(Debug)]
pub(super) struct Coarse {
    metric: Metric,
    dim: usize,
    /// What one of a centroid's bytes is worth.
    scale: Column<f32>,
    centroids: Column<i8>,
    /// Root of the mean squared distance of a list's rows to its centroid.
    spreads: Column<f32>,
    sketch: Option<Sketch>,
}

/// Codes of the centroids.
#[derive(Debug)]
struct Sketch {
    quantizer: ProductQuantizer,
    codebooks: Column<f32>,
    codes: Column<u8>,
}

/// A list worth a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    pub(super) list: u32,
    /// What its rows may reach.
    pub(super) reach: f32,
    /// q·c under dot and cosine; nothing under l2.
    pub(super) base: f32,
}

/// Buffers of one query.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    entries: Vec<f32>,
    tables: ByteTables,
    sums: Vec<u16>,
    counts: Vec<u32>,
    whole: Vec<i16>,
    named: Vec<usize>,
    rows: Vec<i8>,
    products: Vec<i32>,
    order: Vec<(u64, f32)>,
}

impl Coarse {
    /// Centroids as bytes, and beside them what those stand for.
    pub(super) fn new(
        metric: Metric,
        centroids: &Matrix,
        spreads: Vec<f32>,
        parts: usize,
        seed: u64,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<(Self, Matrix)> {
        let (lists, dim) = (centroids.view().rows(), centroids.view().dim());
        let largest = centroids.view().data().iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let bytes: Vec<i8> =
            centroids.view().data().iter().map(|x| (x / scale).round() as i8).collect();
        let kept = bytes.iter().map(|&x| scale * f32::from(x)).collect();
        let kept = Matrix::new(kept, dim)?;
        let sketch = if lists >= MANY {
            let quantizer =
                ProductQuantizer::train(kept.view(), parts, Bits::Four, seed, threads, cancel)?;
            let codes = Packed::pack(&quantizer.encode(kept.view(), threads, cancel)?);
            let codebooks = Column::Owned(quantizer.codebooks().to_vec());
            Some(Sketch { quantizer, codebooks, codes: Column::Owned(codes.bytes().to_vec()) })
        } else {
            None
        };
        let coarse = Self {
            metric,
            dim,
            scale: Column::Owned(vec![scale]),
            centroids: Column::Owned(bytes),
            spreads: Column::Owned(spreads),
            sketch,
        };
        Ok((coarse, kept))
    }

    pub(super) fn open(
        metric: Metric,
        shape: Shape,
        segment: &Arc<Segment>,
        dim: usize,
    ) -> Result<Self> {
        let Shape { lists, parts } = shape;
        let sketch = if lists >= MANY {
            let codebooks: Column<f32> =
                Column::open(segment, "list codebooks", dim.checked_mul(Bits::Four.centroids()))?;
            let books = codebooks.all()?.to_vec();
            let quantizer = ProductQuantizer::new(dim, parts, Bits::Four, books)
                .map_err(|error| segment.refuse(error))?;
            let codes = Column::open(segment, "list codes", Some(Packed::size(lists, parts)))?;
            Some(Sketch { quantizer, codebooks, codes })
        } else {
            None
        };
        Ok(Self {
            metric,
            dim,
            scale: Column::open(segment, "centroid scale", Some(1))?,
            centroids: Column::open(segment, "centroids", lists.checked_mul(dim))?,
            spreads: Column::open(segment, "spreads", Some(lists))?,
            sketch,
        })
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        sections.extend([
            ("centroid scale", self.scale.bytes()?),
            ("centroids", self.centroids.bytes()?),
            ("spreads", self.spreads.bytes()?),
        ]);
        if let Some(sketch) = &self.sketch {
            sections.push(("list codebooks", sketch.codebooks.bytes()?));
            sections.push(("list codes", sketch.codes.bytes()?));
        }
        Ok(())
    }

    /// Refuses numbers that are not finite.
    pub(super) fn check(&self) -> Result<()> {
        finite(&self.scale, "centroid scale")?;
        finite(&self.spreads, "spreads")?;
        self.sketch.as_ref().map_or(Ok(()), |sketch| finite(&sketch.codebooks, "list codebooks"))
    }

    pub(super) fn lists(&self) -> usize {
        self.spreads.len()
    }

    /// The `wanted` lists that may reach farthest towards `query`, farthest first. All of them if
    /// that many are wanted; otherwise those that the codes miss are missing.
    pub(super) fn nearest(
        &self,
        query: &[f32],
        wanted: usize,
        scratch: &mut Scratch,
        out: &mut Vec<Near>,
    ) -> Result<()> {
        let kernels = Kernels::best();
        let lists = self.lists();
        let wanted = wanted.min(lists);
        let length = kernels.dot(query, query).sqrt();
        let reach = if self.metric == Metric::L2 { 0.0 } else { REACH * length };
        let scale = self.scale.all()?[0];
        let worth = to_whole(query, &mut scratch.whole) * scale;
        let (centroids, spreads) = (self.centroids.all()?, self.spreads.all()?);
        let centroid = |list: usize| &centroids[list * self.dim..(list + 1) * self.dim];
        scratch.order.clear();
        let mut offer = |list: usize, product: i32| {
            let base = product as f32 * worth;
            let far = match self.metric {
                // |q − c|² = |q|² − 2q·c + |c|², and |q|² is the same for all.
                Metric::L2 => {
                    let square: i32 = centroid(list).iter().map(|&c| i32::from(c).pow(2)).sum();
                    2.0 * base - square as f32 * (scale * scale)
                }
                _ => base + reach * spreads[list],
            };
            scratch.order.push((rank(far, list as u32), base));
        };
        let named = NAMED * wanted + NAMED_AT_LEAST;
        match &self.sketch {
            Some(sketch) if named < lists => {
                let (entries, tables) = (&mut scratch.entries, &mut scratch.tables);
                match self.metric {
                    Metric::L2 => sketch.quantizer.l2_bytes(query, entries, tables),
                    _ => sketch.quantizer.dot_bytes(query, entries, tables),
                }
                let sums = &mut scratch.sums;
                sums.resize(lists.next_multiple_of(BLOCK), 0);
                kernels.scan(scratch.tables.bytes(), sketch.codes.all()?, sums);
                let sums = &mut sums[..lists];
                if reach > 0.0 && scratch.tables.step() > 0.0 {
                    let steps = reach / scratch.tables.step();
                    for (sum, spread) in sums.iter_mut().zip(spreads) {
                        *sum = sum.saturating_add((spread * steps) as u16);
                    }
                }
                let least = least_of_best(sums, named, &mut scratch.counts);
                scratch.named.clear();
                scratch.named.extend((0..lists).filter(|&list| sums[list] >= least));
                // Side by side, rows share the loads of the query.
                for some in scratch.named.chunks(TOGETHER) {
                    scratch.rows.clear();
                    some.iter().for_each(|&list| scratch.rows.extend_from_slice(centroid(list)));
                    let products = &mut [0; TOGETHER][..some.len()];
                    kernels.dots_i16(&scratch.whole, &scratch.rows, self.dim, products);
                    some.iter().zip(products).for_each(|(&list, product)| offer(list, *product));
                }
            }
            _ => {
                scratch.products.resize(lists, 0);
                kernels.dots_i16(&scratch.whole, centroids, self.dim, &mut scratch.products);
                (0..lists).for_each(|list| offer(list, scratch.products[list]));
            }
        }
        let order = &mut scratch.order;
        if wanted < order.len() {
            order.select_nth_unstable_by_key(wanted, |(rank, _)| *rank);
            order.truncate(wanted);
        }
        order.sort_unstable_by_key(|(rank, _)| *rank);
        out.clear();
        out.extend(order.iter().map(|&(rank, base)| {
            let base = if self.metric == Metric::L2 { 0.0 } else { base };
            Near { list: rank as u32, reach: far(rank), base }
        }));
        Ok(())
    }
}

/// `query` in steps of a 127th of its largest number, as `dots_i16` reads it; returns the step.
fn to_whole(query: &[f32], out: &mut Vec<i16>) -> f32 {
    let largest = query.iter().fold(0.0f32, |most, x| if x.abs() > most { x.abs() } else { most });
    let step = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    let steps = 1.0 / step;
    out.clear();
    // Adding 1.5 · 2²³ rounds to a whole number, which then lies in the lowest bits.
    out.extend(query.iter().map(|x| (x * steps + 12_582_912.0).to_bits() as i16));
    out.resize(padded(query.len()), 0);
    step
}

/// Sorts by `far`, largest first, then by `list`.
fn rank(far: f32, list: u32) -> u64 {
    let bits = (far + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(!ascending) << 32 | u64::from(list)
}

fn far(rank: u64) -> f32 {
    let ascending = !((rank >> 32) as u32);
    f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
}

/// The largest number that at least `wanted` of `sums` reach.
fn least_of_best(sums: &[u16], wanted: usize, counts: &mut Vec<u32>) -> u16 {
    let most = sums.iter().copied().fold(0, u16::max);
    counts.clear();
    counts.resize(usize::from(most) + 1, 0);
    sums.iter().for_each(|&sum| counts[usize::from(sum)] += 1);
    let mut above = 0;
    let reached = counts.iter().rposition(|&count| {
        above += count as usize;
        above >= wanted
    });
    reached.unwrap_or(0) as u16
}

#[cfg(test)]
mod tests {
    use super::{far, rank};

    #[test]
    fn ranks_sort_as_numbers_do_and_lead_back() {
        let numbers = [f32::INFINITY, 2.0, 1.0, 1e-40, 0.0, -1e-40, -1.0, f32::NEG_INFINITY];
        assert!(numbers.windows(2).all(|pair| rank(pair[0], 9) < rank(pair[1], 3)));
        assert!(numbers.iter().all(|&x| far(rank(x, 7)) == x));
        assert_eq!(rank(0.0, 1), rank(-0.0, 1));
        assert!(rank(1.0, 1) < rank(1.0, 2));
    }
}
