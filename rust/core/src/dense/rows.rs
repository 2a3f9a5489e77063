//! The stored rows: what the scores that are returned are computed of.
//!
//! A row is kept as `f32`, as IEEE halves, or as bytes with one scale. Whichever it is, its numbers
//! stand for `f32` exactly, and its score is the canonical score of those: the same bits on every
//! tier, and the bits that the decoded row would get.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::score::{BLOCK, Metric};
use crate::kernels::{self, Kernels};
use crate::quantize::{LARGEST_HALF, to_bytes, to_half};
use crate::store::{Column, Sections, Segment};
use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads};

/// How the numbers of rows are kept, and so what scores are exact for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// As they came, 4 bytes each.
    #[default]
    F32,
    /// Rounded to IEEE halves, 2 bytes each: each number within 2⁻¹¹ of itself, or 2⁻²⁵ below 2⁻¹⁴.
    F16,
    /// In steps of 1/127 of the row's largest, 1 byte each: each number within half a step.
    Int8,
}

impl Storage {
    /// Refuses rows that cannot be kept so, naming the row by its place before `order`.
    pub(super) fn expect(
        self,
        rows: MatrixRef<'_>,
        order: &[usize],
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<()> {
        if self != Self::F16 {
            return Ok(());
        }
        let one = |range: Range<usize>| {
            for (i, row) in range.clone().zip(rows.slice(range).iter()) {
                let largest = row.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
                if largest > LARGEST_HALF {
                    let want = "numbers up to 65,504 to be kept as f16 (scale all of them down, \
                                or keep f32)";
                    let got = format!("{largest:e} in row {}", order[i]);
                    return Err(Error::range("vectors", want, got));
                }
            }
            Ok(())
        };
        threads.blocks(rows.rows(), BLOCK, cancel, one).map(drop)
    }
}

/// Rows of one length.
#[derive(Debug)]
pub(super) struct Rows {
    dim: usize,
    numbers: Numbers,
}

#[derive(Debug)]
enum Numbers {
    F32(Column<f32>),
    F16(Column<u16>),
    /// Bytes, and what one of each row is worth.
    Int8(Column<i8>, Column<f32>),
}

impl Rows {
    /// `rows`, which [`Storage::expect`] has seen.
    pub(super) fn new(
        rows: Matrix,
        storage: Storage,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        if storage == Storage::F32 {
            let dim = rows.view().dim();
            return Ok(Self { dim, numbers: Numbers::F32(Column::Owned(rows.into_data())) });
        }
        Self::kept(rows.view(), |i| i, storage, threads, cancel)
    }

    /// The rows that `order` names, in that order; [`Storage::expect`] has seen them.
    pub(super) fn gather(
        rows: MatrixRef<'_>,
        order: &[u32],
        storage: Storage,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        Self::kept(rows, |i| order[i] as usize, storage, threads, cancel)
    }

    fn kept(
        rows: MatrixRef<'_>,
        place: impl Fn(usize) -> usize + Sync,
        storage: Storage,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        let (n, dim) = (rows.rows(), rows.dim());
        let row = |i| rows.row(place(i));
        let numbers = match storage {
            Storage::F32 => {
                let mut numbers = vec![0.0; n * dim];
                threads.chunks_mut(&mut numbers, dim, BLOCK, cancel, |first, chunk| {
                    for (out, i) in chunk.chunks_exact_mut(dim).zip(first..) {
                        out.copy_from_slice(row(i));
                    }
                    Ok(())
                })?;
                Numbers::F32(Column::Owned(numbers))
            }
            Storage::F16 => {
                let mut halves = vec![0; n * dim];
                threads.chunks_mut(&mut halves, dim, BLOCK, cancel, |first, chunk| {
                    for (out, i) in chunk.chunks_exact_mut(dim).zip(first..) {
                        for (half, x) in out.iter_mut().zip(row(i)) {
                            *half = to_half(*x).expect("`Storage::expect` saw its size");
                        }
                    }
                    Ok(())
                })?;
                Numbers::F16(Column::Owned(halves))
            }
            Storage::Int8 => {
                let (mut bytes, mut scales) = (vec![0; n * dim], vec![0.0; n]);
                let (both, width) = ((&mut bytes[..], &mut scales[..]), (dim, 1));
                threads.pairs_mut(both, width, BLOCK, cancel, |first, bytes, scales| {
                    for ((out, scale), i) in bytes.chunks_exact_mut(dim).zip(scales).zip(first..) {
                        *scale = to_bytes(row(i), out);
                    }
                    Ok(())
                })?;
                Numbers::Int8(Column::Owned(bytes), Column::Owned(scales))
            }
        };
        Ok(Self { dim, numbers })
    }

    pub(super) fn open(
        segment: &Arc<Segment>,
        storage: Storage,
        rows: usize,
        dim: usize,
    ) -> Result<Self> {
        let count = rows.checked_mul(dim);
        let numbers = match storage {
            Storage::F32 => Numbers::F32(Column::open(segment, "vectors", count)?),
            Storage::F16 => Numbers::F16(Column::open(segment, "vectors", count)?),
            Storage::Int8 => Numbers::Int8(
                Column::open(segment, "vectors", count)?,
                Column::open(segment, "scales", Some(rows))?,
            ),
        };
        Ok(Self { dim, numbers })
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        match &self.numbers {
            Numbers::F32(numbers) => sections.push(("vectors", numbers.bytes()?)),
            Numbers::F16(halves) => sections.push(("vectors", halves.bytes()?)),
            Numbers::Int8(bytes, scales) => {
                sections.extend([("vectors", bytes.bytes()?), ("scales", scales.bytes()?)]);
            }
        }
        Ok(())
    }

    /// Bytes and scales of rows `range`, if they are kept so.
    pub(super) fn bytes(&self, range: Range<usize>) -> Result<Option<(&[i8], &[f32])>> {
        let Numbers::Int8(bytes, scales) = &self.numbers else { return Ok(None) };
        let places = range.start * self.dim..range.end * self.dim;
        Ok(Some((bytes.get(places)?, scales.get(range)?)))
    }

    /// Numbers in a row.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// A refusal of what the file says, naming it.
    pub(super) fn refuse(&self, problem: impl std::fmt::Display) -> Error {
        match &self.numbers {
            Numbers::F32(numbers) => numbers.refuse(problem),
            Numbers::F16(halves) => halves.refuse(problem),
            Numbers::Int8(bytes, _) => bytes.refuse(problem),
        }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        let numbers = match &self.numbers {
            Numbers::F32(numbers) => numbers.len(),
            Numbers::F16(halves) => halves.len(),
            Numbers::Int8(bytes, _) => bytes.len(),
        };
        numbers / self.dim
    }

    /// The canonical score of `query` with each row of `range`.
    #[inline]
    pub(super) fn scores(
        &self,
        metric: Metric,
        kernels: Kernels,
        query: &[f32],
        range: Range<usize>,
        out: &mut [f32],
    ) -> Result<()> {
        let places = range.start * self.dim..range.end * self.dim;
        match &self.numbers {
            Numbers::F32(numbers) => {
                let rows = MatrixRef::new(numbers.get(places)?, self.dim)?;
                metric.scores(kernels, query, rows, out);
                return Ok(());
            }
            Numbers::F16(halves) => match metric {
                Metric::Dot | Metric::Cosine => kernels.dots_f16(query, halves.get(places)?, out),
                Metric::L2 => kernels.l2s_f16(query, halves.get(places)?, out),
            },
            Numbers::Int8(bytes, scales) => {
                let (bytes, scales) = (bytes.get(places)?, scales.get(range)?);
                match metric {
                    Metric::Dot | Metric::Cosine => kernels.dots_i8(query, bytes, scales, out),
                    Metric::L2 => kernels.l2s_i8(query, bytes, scales, out),
                }
            }
        }
        metric.turn(out);
        Ok(())
    }

    /// The canonical score of `query` with row `i`.
    #[inline]
    pub(super) fn score(
        &self,
        metric: Metric,
        kernels: Kernels,
        query: &[f32],
        i: usize,
    ) -> Result<f32> {
        let mut score = [0.0];
        self.scores(metric, kernels, query, i..i + 1, &mut score)?;
        Ok(score[0])
    }

    /// Asks for row `i` before it is scored.
    #[inline]
    pub(super) fn prefetch(&self, kernels: Kernels, i: usize) {
        let places = i * self.dim..(i + 1) * self.dim;
        match &self.numbers {
            Numbers::F32(numbers) => kernels.prefetch(numbers.peek(places)),
            Numbers::F16(halves) => kernels.prefetch(halves.peek(places)),
            Numbers::Int8(bytes, _) => kernels.prefetch(bytes.peek(places)),
        }
    }

    /// Writes the first numbers that row `i` stands for, as many as `out` holds.
    pub(super) fn read(&self, i: usize, out: &mut [f32]) -> Result<()> {
        let places = i * self.dim..i * self.dim + out.len();
        match &self.numbers {
            Numbers::F32(numbers) => out.copy_from_slice(numbers.get(places)?),
            Numbers::F16(halves) => {
                let halves = halves.get(places)?;
                out.iter_mut().zip(halves).for_each(|(x, half)| *x = kernels::half(*half));
            }
            Numbers::Int8(bytes, scales) => {
                let (bytes, scale) = (bytes.get(places)?, scales.get(i..i + 1)?[0]);
                out.iter_mut().zip(bytes).for_each(|(x, &byte)| *x = scale * f32::from(byte));
            }
        }
        Ok(())
    }
}
