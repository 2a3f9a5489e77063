//! Codes as types whose shape and range are checked where they are built.

use super::Bits;
use crate::kernels::{BLOCK, GROUP};
use crate::{Error, Result};

/// Codes of some rows, one byte a part, each below the number of centroids; owned or borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes<B = Vec<u8>> {
    bytes: B,
    parts: usize,
    bits: Bits,
}

impl<B: AsRef<[u8]>> Codes<B> {
    /// Takes `bytes` as rows of `parts` codes; refuses 0 parts, a ragged last row, and a code that
    /// names no centroid.
    pub fn new(bytes: B, parts: usize, bits: Bits) -> Result<Self> {
        let all = bytes.as_ref();
        if parts == 0 {
            return Err(Error::range("parts", "at least 1", parts));
        }
        if !all.len().is_multiple_of(parts) {
            let want = all.len().next_multiple_of(parts);
            return Err(Error::Length { what: "codes", want, got: all.len() });
        }
        if let Some(code) = all.iter().find(|code| usize::from(**code) >= bits.centroids()) {
            return Err(Error::range("code", format!("below {}", bits.centroids()), code));
        }
        Ok(Self { bytes, parts, bits })
    }

    /// Codes in a row.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.bytes.as_ref().len() / self.parts
    }

    /// How many bits of each byte are in use.
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// All codes, row after row.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Every row in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, u8> {
        self.bytes.as_ref().chunks_exact(self.parts)
    }
}

/// 4-bit codes in blocks of [`BLOCK`] rows, as [`crate::kernels::Kernels::scan`] reads them; owned or
/// borrowed. Rows and parts that only fill a block up are zeros, so equal codes are equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed<B = Vec<u8>> {
    bytes: B,
    rows: usize,
    parts: usize,
}

/// Where in a block a part of a row lies: byte and shift.
fn place(row: usize, part: usize) -> (usize, usize) {
    let (group, part) = (part / GROUP, part % GROUP);
    (32 * group + part % 2 * 16 + row % BLOCK, part / 2 * 4)
}

impl Packed {
    /// The same codes, interleaved. Panics if they are not 4-bit codes.
    pub fn pack(codes: &Codes<impl AsRef<[u8]>>) -> Self {
        assert_eq!(codes.bits(), Bits::Four, "only 4-bit codes are packed");
        let (rows, parts) = (codes.rows(), codes.parts());
        let mut bytes = vec![0; Self::size(rows, parts)];
        for (row, code) in codes.iter().enumerate() {
            let block = &mut bytes[row / BLOCK * Self::size(1, parts)..];
            for (part, code) in code.iter().enumerate() {
                let (byte, shift) = place(row, part);
                block[byte] |= code << shift;
            }
        }
        Self { bytes, rows, parts }
    }

    /// Bytes that `rows` codes of `parts` parts take; `usize::MAX` if that is more than there can be.
    pub fn size(rows: usize, parts: usize) -> usize {
        let block = parts.div_ceil(GROUP).saturating_mul(32);
        rows.div_ceil(BLOCK).saturating_mul(block)
    }
}

impl<B: AsRef<[u8]>> Packed<B> {
    /// Takes `bytes` as packed codes; refuses 0 parts, another length than [`Packed::size`] says, and
    /// rows and parts beyond the last that are not zeros.
    pub fn new(bytes: B, rows: usize, parts: usize) -> Result<Self> {
        if parts == 0 {
            return Err(Error::range("parts", "at least 1", parts));
        }
        let all = bytes.as_ref();
        let want = Packed::size(rows, parts);
        if all.len() != want {
            return Err(Error::Length { what: "packed codes", want, got: all.len() });
        }
        let packed = Self { bytes, rows, parts };
        let whole = |count: usize, unit: usize| count.div_ceil(unit).saturating_mul(unit);
        let padded = (whole(rows, BLOCK), whole(parts, GROUP));
        for row in 0..padded.0 {
            let first = if row < rows { parts } else { 0 };
            for part in first..padded.1 {
                if packed.code(row, part) != 0 {
                    let got = packed.code(row, part);
                    return Err(Error::range("packed codes beyond the last", "0", got));
                }
            }
        }
        Ok(packed)
    }

    fn code(&self, row: usize, part: usize) -> u8 {
        let (byte, shift) = place(row, part);
        self.bytes.as_ref()[row / BLOCK * Packed::size(1, self.parts) + byte] >> shift & 15
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Codes in a row.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// All blocks, one after the other.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The same codes, row after row.
    pub fn unpack(&self) -> Codes {
        let codes = (0..self.rows).flat_map(|row| (0..self.parts).map(move |p| (row, p)));
        let bytes = codes.map(|(row, part)| self.code(row, part)).collect();
        Codes { bytes, parts: self.parts, bits: Bits::Four }
    }
}
