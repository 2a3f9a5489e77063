//! Bytes of a file or of memory, and numbers read where they lie. The only `unsafe` outside `kernels`.
//!
//! A map shows what the file holds now. Segment files are written once, renamed into place and never
//! edited, and a file that is replaced keeps its old bytes for whoever has it mapped; somebody who
//! truncates one by other means takes the process down with SIGBUS, as with every mapped file.
#![allow(unsafe_code, reason = "mapping a file and viewing its bytes as numbers have no safe form")]

use std::fs::File;
use std::path::Path;

use crate::{Error, Result};

#[cfg(target_endian = "big")]
compile_error!("numbers in segment files are little-endian and are read where they lie");

/// Immutable bytes, aligned for every [`Number`].
#[derive(Debug)]
pub(super) enum Bytes {
    Mapped(memmap2::Mmap),
    /// Whole words, so that the first byte is aligned; the second field is the length in bytes.
    Owned(Vec<u64>, usize),
}

impl Bytes {
    /// The whole of `file`, mapped; `path` is named in errors.
    pub(super) fn map(file: &File, path: &Path) -> Result<Self> {
        // SAFETY: the file is opened for reading alone, and segment files are never edited in place
        // (see the head of this file for what happens to those who do it all the same).
        let map = unsafe { memmap2::Mmap::map(file) };
        map.map(Self::Mapped).map_err(|source| Error::io(path, source))
    }

    /// A copy of `bytes`.
    pub(super) fn copy(bytes: &[u8]) -> Self {
        let word = |chunk: &[u8]| {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(padded)
        };
        Self::Owned(bytes.chunks(8).map(word).collect(), bytes.len())
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(words, len) => &as_bytes(words)[..*len],
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Numbers that a segment may hold: without padding, and every bit pattern is a value.
pub trait Number: Copy + Send + Sync + std::fmt::Debug + sealed::Sealed + 'static {}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl sealed::Sealed for $number {}
        impl Number for $number {}
    )*};
}
numbers!(i8 u8 u16 u32 u64 i64 f32);

/// The bytes of `numbers`.
pub(super) fn as_bytes<T: Number>(numbers: &[T]) -> &[u8] {
    // SAFETY: `Number` is sealed to types without padding, so each of the `size_of_val` bytes is
    // initialised; bytes need no alignment; the borrow of `numbers` covers the result.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// `bytes` as numbers, or `None` if they are misaligned or do not divide evenly.
pub(super) fn as_numbers<T: Number>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: `Number` is sealed to types for which every bit pattern is a value.
    let (before, numbers, after) = unsafe { bytes.align_to::<T>() };
    (before.is_empty() && after.is_empty()).then_some(numbers)
}
