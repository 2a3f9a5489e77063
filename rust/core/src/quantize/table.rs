//! A query's scores for every centroid of every part, as numbers and as bytes.

use super::{Bits, Codes, Packed};
use crate::kernels::{BLOCK, GROUP, Kernels};

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
        let mut tables = ByteTables::default();
        tables.fill(&self.entries);
        tables
    }
}

/// Tables of bytes such that score ≈ bias + step · sum of bytes, and no sum exceeds 65,535.
///
/// Each part is shifted by its least score; one step serves all parts. With P parts, the widest of
/// which spans w and all together W, step = max(w / 31, W / (65,535 − P)): an entry is at most
/// span / step + ½, so no entry exceeds 31 and no sum 65,535 − P + P/2. Every byte is the same on every
/// tier, so that what the bytes decide is, too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ByteTables {
    /// Filled up with zeros to whole groups of parts.
    entries: Vec<u8>,
    parts: usize,
    step: f32,
    bias: f32,
}

impl ByteTables {
    /// The largest number of parts: beyond it, steps would be coarser than the sums are long.
    pub const PARTS: usize = 1 << 15;

    /// Those of `scores`, 16 a part.
    pub(super) fn fill(&mut self, scores: &[f32]) {
        let parts = scores.len() / 16;
        assert!(parts <= Self::PARTS, "at most {} parts", Self::PARTS);
        self.entries.clear();
        self.entries.resize(parts.next_multiple_of(GROUP) * 16, 0);
        self.parts = parts;
        let most = (65_535 - parts) as f32;
        let entries = &mut self.entries[..scores.len()];
        (self.step, self.bias) = Kernels::best().to_steps(scores, most, entries);
    }

    /// The score that a sum of bytes stands for: within half a step a part of the sum of the table's
    /// scores, and the rounding of `f32` beside it.
    #[inline]
    pub fn score(&self, sum: u16) -> f32 {
        self.bias + self.step * f32::from(sum)
    }

    /// What one step of the sum is worth.
    pub fn step(&self) -> f32 {
        self.step
    }

    /// How many parts.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// 16 bytes a part, in whole groups of parts, as [`Kernels::scan`] reads them.
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
