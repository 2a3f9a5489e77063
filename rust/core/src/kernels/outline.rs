//! Rows in seven bits, sixteen side by side, so that a thousand queries go over them at twice the
//! speed of bytes.
//!
//! A byte c of a sketch becomes r = ⌊(c + 2) / 4⌋, from −32 to 32, and is kept as r + 32: a number
//! without sign, as the instructions that multiply bytes want it. Beside queries of at most
//! [`MOST_OUTLINED`] either way, eight products of pairs add up inside 16 bits.

use super::padded;

/// Rows side by side.
pub const OUTLINED: usize = 16;
/// The largest number of a query that is compared with outlines.
pub const MOST_OUTLINED: i8 = 31;
/// Added to r.
pub(super) const RAISED: i32 = 32;

/// Rows in seven bits.
#[derive(Debug, Default)]
pub struct Outline {
    pub(super) width: usize,
    rows: usize,
    /// Sixteen rows after sixteen rows; of each the first four numbers of all sixteen, the next four…
    /// Filled up with whatever was there: rows nobody reads, and columns where queries have zeros.
    pub(super) steps: Vec<u8>,
    /// Σ (c − 4r)² of each row.
    left: Vec<i32>,
}

impl Outline {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many with those that fill the last sixteen.
    pub fn padded_rows(&self) -> usize {
        self.rows.next_multiple_of(OUTLINED)
    }

    /// Σ (c − 4r)² of each row: the square of what its bytes have beyond its outline.
    pub fn left(&self) -> &[i32] {
        &self.left
    }

    /// Makes room for `rows` rows of `dim` numbers.
    pub(super) fn shape(&mut self, rows: usize, dim: usize) -> (&mut [u8], &mut [i32]) {
        (self.rows, self.width) = (rows, padded(dim));
        self.steps.resize(self.padded_rows() * self.width, 0);
        self.left.resize(rows, 0);
        (&mut self.steps, &mut self.left)
    }
}
