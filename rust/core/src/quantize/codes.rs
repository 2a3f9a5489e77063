//! Codes as types whose shape and range are checked where they are built.

use super::Bits;
use crate::kernels::BLOCK;
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

/// 4-bit codes in blocks of [`BLOCK`] rows, as the scan reads them; owned or borrowed.
///
/// A block holds 16 bytes a part: byte j has the code of row j in its low half, of row j + 16 in its
/// high half. The last block is filled up with zeros, so equal codes are equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed<B = Vec<u8>> {
    bytes: B,
    rows: usize,
    parts: usize,
}

impl Packed {
    /// The same codes, interleaved. Panics if they are not 4-bit codes.
    pub fn pack(codes: &Codes<impl AsRef<[u8]>>) -> Self {
        assert_eq!(codes.bits(), Bits::Four, "only 4-bit codes are packed");
        let (rows, parts) = (codes.rows(), codes.parts());
        let mut bytes = vec![0; Self::size(rows, parts)];
        for (row, code) in codes.iter().enumerate() {
            let block = &mut bytes[row / BLOCK * 16 * parts..];
            let (byte, shift) = (row % 16, row % BLOCK / 16 * 4);
            for (part, code) in code.iter().enumerate() {
                block[16 * part + byte] |= code << shift;
            }
        }
        Self { bytes, rows, parts }
    }

    /// Bytes that `rows` codes of `parts` parts take.
    pub fn size(rows: usize, parts: usize) -> usize {
        rows.div_ceil(BLOCK) * 16 * parts
    }
}

impl<B: AsRef<[u8]>> Packed<B> {
    /// Takes `bytes` as packed codes; refuses 0 parts, another length than [`Packed::size`] says, and
    /// rows beyond the last that are not zeros.
    pub fn new(bytes: B, rows: usize, parts: usize) -> Result<Self> {
        if parts == 0 {
            return Err(Error::range("parts", "at least 1", parts));
        }
        let (all, block) = (bytes.as_ref(), parts.saturating_mul(16));
        let want = rows.div_ceil(BLOCK).saturating_mul(block);
        if all.len() != want {
            return Err(Error::Length { what: "packed codes", want, got: all.len() });
        }
        let last = all.chunks_exact(block).last().filter(|_| !rows.is_multiple_of(BLOCK));
        let used = |row: usize| row < rows % BLOCK;
        for (codes, j) in last.into_iter().flatten().zip((0..16).cycle()) {
            if (!used(j) && codes & 15 != 0) || (!used(j + 16) && codes >> 4 != 0) {
                return Err(Error::range("packed codes beyond the last row", "0", codes));
            }
        }
        Ok(Self { bytes, rows, parts })
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
        let mut codes = Vec::with_capacity(self.rows * self.parts);
        for row in 0..self.rows {
            let block = &self.bytes.as_ref()[row / BLOCK * 16 * self.parts..];
            let (byte, shift) = (row % 16, row % BLOCK / 16 * 4);
            codes.extend((0..self.parts).map(|part| block[16 * part + byte] >> shift & 15));
        }
        Codes { bytes: codes, parts: self.parts, bits: Bits::Four }
    }
}
