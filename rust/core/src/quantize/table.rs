//! A query's scores for every centroid of every part, as numbers and as bytes.

use super::{Bits, Codes, Packed};
use crate::kernels::{BLOCK, Kernels};

/// Scores of one query against every centroid: one row of 16 or 256 numbers a part.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    entries: Vec<f32>,
    bits: Bits,
}

impl Table {
    pub(super) fn new(entries: Vec<f32>, bits: Bits) -> Self {
        Self { entries, bits }
    }

    /// How many parts.
    pub fn parts(&self) -> usize {
        self.entries.len() / self.bits.centroids()
    }

    /// The scores of one part.
    pub fn part(&self, part: usize) -> &[f32] {
        &self.entries[part * self.bits.centroids()..][..self.bits.centroids()]
    }

    /// The score of one code: its entries, added in four columns. Panics if `code` has other parts or
    /// names no centroid.
    #[inline]
    pub fn score(&self, code: &[u8]) -> f32 {
        assert_eq!(code.len(), self.parts(), "a code has one byte a part");
        let width = self.bits.centroids();
        let mut sums = [0.0f32; 4];
        let (fours, rest) = code.as_chunks::<4>();
        for (i, four) in fours.iter().enumerate() {
            let rows = &self.entries[4 * i * width..][..4 * width];
            for (j, code) in four.iter().enumerate() {
                sums[j] += rows[j * width..][..width][usize::from(*code)];
            }
        }
        for (j, code) in rest.iter().enumerate() {
            sums[j] += self.part(4 * fours.len() + j)[usize::from(*code)];
        }
        (sums[0] + sums[2]) + (sums[1] + sums[3])
    }

    /// The score of every code. Panics if `codes` have other parts or bits, or `out` another length.
    pub fn scores(&self, codes: &Codes<impl AsRef<[u8]>>, out: &mut [f32]) {
        assert_eq!((codes.parts(), codes.bits()), (self.parts(), self.bits), "codes of this table");
        assert_eq!(codes.rows(), out.len(), "one score a code");
        for (out, code) in out.iter_mut().zip(codes.iter()) {
            *out = self.score(code);
        }
    }

    /// The same scores in whole steps, for the scan of packed codes. Panics unless of 4 bits.
    pub fn to_bytes(&self) -> ByteTables {
        assert_eq!(self.bits, Bits::Four, "only tables of 4-bit codes are scanned as bytes");
        ByteTables::new(&self.entries)
    }
}

/// Tables of bytes such that score ≈ bias + step · sum of bytes, and no sum exceeds 65,535.
///
/// Each part is shifted by its least score; one step serves all parts. With P parts, the widest of
/// which spans w and all together W, step = max(w / 255, W / (65,535 − P)). An entry is at most
/// span / step + ½, so no entry exceeds 255 and no sum 65,535 − P + P/2.
#[derive(Debug, Clone, PartialEq)]
pub struct ByteTables {
    entries: Vec<u8>,
    step: f64,
    bias: f64,
    error: f64,
}

impl ByteTables {
    /// The largest number of parts: beyond it, steps would be coarser than the sums are long.
    pub const PARTS: usize = 1 << 15;

    fn new(scores: &[f32]) -> Self {
        let (parts, _) = scores.as_chunks::<16>();
        assert!(parts.len() <= Self::PARTS, "at most {} parts", Self::PARTS);
        let least =
            |part: &[f32; 16]| f64::from(part.iter().copied().fold(f32::INFINITY, f32::min));
        let most = |part: &[f32; 16]| f64::from(part.iter().copied().fold(f32::MIN, f32::max));
        let spans = parts.iter().map(|part| most(part) - least(part));
        let (widest, all) =
            spans.fold((0.0, 0.0), |(w, all), span| (f64::max(w, span), all + span));
        let step = f64::max(widest / 255.0, all / (65_535 - parts.len()) as f64);
        let (mut entries, mut bias, mut error) = (Vec::with_capacity(scores.len()), 0.0, 0.0);
        for part in parts {
            let least = least(part);
            let mut off = 0.0f64;
            for score in part {
                let score = f64::from(*score) - least;
                let entry = if step > 0.0 { (score / step).round() as u8 } else { 0 };
                off = off.max((score - step * f64::from(entry)).abs());
                entries.push(entry);
            }
            bias += least;
            error += off;
        }
        Self { entries, step, bias, error }
    }

    /// The score that a sum of bytes stands for.
    #[inline]
    pub fn score(&self, sum: u16) -> f32 {
        (self.bias + self.step * f64::from(sum)) as f32
    }

    /// How far [`ByteTables::score`] may lie from the sum of the table's scores, measured over all
    /// entries: at most half a step a part. Beside it stands only the rounding of f32.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// What one step of the sum is worth.
    pub fn step(&self) -> f64 {
        self.step
    }

    /// How many parts.
    pub fn parts(&self) -> usize {
        self.entries.len() / 16
    }

    /// 16 bytes a part, as [`Kernels::scan`] reads them.
    pub fn bytes(&self) -> &[u8] {
        &self.entries
    }

    /// Writes the sum of every packed code into `out`, which is made as long as the blocks hold:
    /// beyond the last row follow sums that mean nothing. Panics if `codes` have other parts.
    pub fn scan(&self, codes: &Packed<impl AsRef<[u8]>>, out: &mut Vec<u16>) {
        assert_eq!(codes.parts(), self.parts(), "codes of this table");
        out.resize(codes.rows().div_ceil(BLOCK) * BLOCK, 0);
        Kernels::best().scan(&self.entries, codes.bytes(), out);
    }
}
