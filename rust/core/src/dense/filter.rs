//! Which rows a search may return.
//!
//! One bit a row. `Flat` looks at it a block of rows at a time and skips what holds none; `Ivf`
//! translates it once to the order of its lists ([`Allowed::places`]) and meets it with the codes that
//! pass, 32 at a time. A row that is not allowed is never offered to a heap, so it never raises a
//! threshold: what is found is what an index of the allowed rows alone would find.

use std::ops::Range;
use std::sync::OnceLock;

use crate::Result;
use crate::topk::{Scored, TopK};

/// A set of numbers below a bound, one bit each.
#[derive(Debug, Clone, Default)]
pub(super) struct Bits {
    /// One word more than needed, so that 32 bits can be read at any place.
    words: Vec<u64>,
}

impl Bits {
    pub(super) fn none(len: usize) -> Self {
        Self { words: vec![0; len / 64 + 2] }
    }

    pub(super) fn all(len: usize) -> Self {
        let mut all = Self::none(len);
        all.words[..len / 64].fill(u64::MAX);
        all.words[len / 64] = (1 << (len % 64)) - 1;
        all
    }

    pub(super) fn intersect(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    pub(super) fn insert(&mut self, i: usize) {
        self.words[i / 64] |= 1 << (i % 64);
    }

    pub(super) fn contains(&self, i: usize) -> bool {
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    /// Bits `start..start + 32`, the first lowest.
    #[inline]
    pub(super) fn block(&self, start: usize) -> u32 {
        let two = u128::from(self.words[start / 64]) | u128::from(self.words[start / 64 + 1]) << 64;
        (two >> (start % 64)) as u32
    }

    /// How many of `range` are in the set.
    pub(super) fn count(&self, range: Range<usize>) -> usize {
        self.words_of(range).map(|(_, word)| word.count_ones() as usize).sum()
    }

    /// Those of `range` that are in the set, ascending.
    pub(super) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        self.words_of(range).flat_map(|(first, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(first + bit)
            })
        })
    }

    /// The words under `range`, what lies outside cleared, each with the number of its first bit.
    fn words_of(&self, range: Range<usize>) -> impl Iterator<Item = (usize, u64)> + '_ {
        let words = range.start / 64..range.end.div_ceil(64).max(range.start / 64);
        words.map(move |i| {
            let mut word = self.words[i];
            if i == range.start / 64 {
                word &= u64::MAX << (range.start % 64);
            }
            if i == range.end / 64 {
                word &= (1 << (range.end % 64)) - 1;
            }
            (i * 64, word)
        })
    }
}

/// The rows of one segment that a search may return.
#[derive(Debug, Clone)]
pub(super) struct Allowed {
    bits: Bits,
    rows: usize,
    count: usize,
    /// Whether a caller chose them, rather than that the others were deleted.
    chosen: bool,
    places: OnceLock<Bits>,
}

impl Allowed {
    /// Those of `0..rows` that are in `bits`; the others are deleted.
    pub(super) fn new(rows: usize, bits: Bits) -> Self {
        let count = bits.count(0..rows);
        Self { bits, rows, count, chosen: false, places: OnceLock::new() }
    }

    /// Those of `0..rows` that are in `bits`, as a caller wants it, for one query perhaps.
    pub(super) fn chosen(rows: usize, bits: Bits) -> Self {
        Self { chosen: true, ..Self::new(rows, bits) }
    }

    pub(super) fn is_chosen(&self) -> bool {
        self.chosen
    }

    /// Every row but those of `gone`.
    pub(super) fn without(&self, gone: &Bits) -> Self {
        let mut bits = self.bits.clone();
        bits.subtract(gone);
        Self::new(self.rows, bits)
    }

    /// The rows, one bit each.
    pub(super) fn bits(&self) -> &Bits {
        &self.bits
    }

    /// How many rows are allowed.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many of `range` are allowed.
    pub(super) fn count_in(&self, range: Range<usize>) -> usize {
        self.bits.count(range)
    }

    pub(super) fn contains(&self, row: usize) -> bool {
        self.bits.contains(row)
    }

    /// The allowed rows of `range`, ascending.
    pub(super) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        self.bits.iter(range)
    }

    /// The same set by the places that an index keeps its rows in: place `i` holds `rows[i]`.
    /// Translated at the first call; a set belongs to one segment, whose places never change.
    pub(super) fn places(&self, rows: &[u32]) -> &Bits {
        self.places.get_or_init(|| {
            let mut bits = Bits::none(rows.len());
            // A row beyond the end can only come from a damaged file; re-scoring refuses it.
            let allowed = |row: u32| (row as usize) < self.rows && self.contains(row as usize);
            (0..rows.len()).filter(|&i| allowed(rows[i])).for_each(|i| bits.insert(i));
            bits
        })
    }

    /// The `k` best of the allowed rows, each by its `score`.
    pub(super) fn best(
        &self,
        k: usize,
        score: impl Fn(usize) -> Result<f32>,
    ) -> Result<Vec<Scored>> {
        let mut best = TopK::new(k);
        for row in self.iter(0..self.rows) {
            best.push(score(row)?, row as u64);
        }
        Ok(best.into_sorted())
    }
}

/// What each query of a call may find.
#[derive(Debug, Clone, Copy)]
pub(super) enum Filter<'a> {
    /// Every row.
    All,
    /// The same rows for all queries.
    Shared(&'a Allowed),
    /// Rows of its own for each query.
    Each(&'a [Allowed]),
}

impl<'a> Filter<'a> {
    /// What query `i` may find; `None` is every row.
    pub(super) fn of(self, i: usize) -> Option<&'a Allowed> {
        match self {
            Self::All => None,
            Self::Shared(allowed) => Some(allowed),
            Self::Each(each) => Some(&each[i]),
        }
    }
}
