//! Ragged ids, and how they become rectangles.

use crate::{Error, Result};

/// The ids of some texts, one row a text, row after row; padding is never among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Every row's ids.
    pub ids: Vec<i32>,
    /// Row `i` is `ids[starts[i]..starts[i + 1]]`; one more than there are rows.
    pub starts: Vec<i64>,
    /// Where each id came from: the first character and the one after the last, by code points of
    /// the text. Two numbers an id; (0, 0) for a token that the tokenizer added.
    pub offsets: Option<Vec<i64>>,
    /// The type of each id, of rows of pairs: what the file gives the first text, the second and its
    /// own tokens.
    pub type_ids: Option<Vec<i32>>,
    /// The rows that were cut, in order.
    pub truncated: Vec<i64>,
}

impl Tokens {
    /// No rows; with offsets if they are asked for.
    pub fn empty(offsets: bool) -> Self {
        Self { starts: vec![0], offsets: offsets.then(Vec::new), ..Self::default() }
    }

    /// No rows of pairs; with offsets if they are asked for.
    pub fn of_pairs(offsets: bool) -> Self {
        Self { type_ids: Some(Vec::new()), ..Self::empty(offsets) }
    }

    /// The rows of all blocks, which are of one kind: `none` with no rows.
    pub(super) fn join(blocks: Vec<Self>, none: Self) -> Self {
        let mut all = none;
        all.ids.reserve_exact(blocks.iter().map(|block| block.ids.len()).sum());
        all.starts.reserve_exact(blocks.iter().map(|block| block.starts.len() - 1).sum());
        blocks.into_iter().for_each(|block| all.extend(block));
        all
    }

    /// Appends the rows of `more`, which have what these have.
    pub fn extend(&mut self, more: Self) {
        let (first, rows) = (self.ids.len() as i64, self.starts.len() as i64 - 1);
        self.ids.extend(more.ids);
        self.starts.extend(more.starts.iter().skip(1).map(|end| first + end));
        self.truncated.extend(more.truncated.iter().map(|row| rows + row));
        if let (Some(all), Some(more)) = (&mut self.offsets, more.offsets) {
            all.extend(more);
        }
        if let (Some(all), Some(more)) = (&mut self.type_ids, more.type_ids) {
            all.extend(more);
        }
    }

    /// The ids of each row, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[i32]> {
        self.starts.windows(2).map(|ends| &self.ids[ends[0] as usize..ends[1] as usize])
    }
}

/// What fills the cells that have no id, as the tokenizer's file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// The id.
    pub id: i64,
    /// Its type, in rows of pairs.
    pub type_id: i64,
    /// Before the ids of a row, not after them.
    pub left: bool,
    /// How wide rows become.
    pub width: Width,
    /// Widths are rounded up to a multiple of this; at least 1.
    pub multiple: usize,
}

/// How wide padded rows become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// As wide as the longest row.
    Longest,
    /// This wide, and wider only where a row is longer.
    AtLeast(usize),
}

impl Default for Padding {
    fn default() -> Self {
        Self { id: 0, type_id: 0, left: false, width: Width::Longest, multiple: 1 }
    }
}

impl Padding {
    /// The width of a rectangle whose longest row has `longest` ids.
    pub fn wide(&self, longest: usize) -> usize {
        let least = match self.width {
            Width::Longest => 0,
            Width::AtLeast(width) => width,
        };
        longest.max(least).next_multiple_of(self.multiple)
    }

    /// The padding of a rectangle of types.
    pub fn of_types(self) -> Self {
        Self { id: self.type_id, ..self }
    }

    /// The ragged `rows` as a rectangle of ids and one of ones and zeros, 1 where an id is.
    ///
    /// Refuses a row that is not there or has more than `width` ids.
    pub fn fill(
        &self,
        ragged: Ragged<'_>,
        rows: impl ExactSizeIterator<Item = usize>,
        width: usize,
    ) -> Result<(Vec<i64>, Vec<i64>)> {
        let full = |value: i64| {
            let cells = rows.len().checked_mul(width)?;
            let mut full = Vec::new();
            full.try_reserve_exact(cells).ok()?;
            full.resize(cells, value);
            Some(full)
        };
        let (Some(mut ids), Some(mut mask)) = (full(self.id), full(0)) else {
            return Err(Error::range("width", "small enough for memory", width));
        };
        for (place, row) in rows.enumerate() {
            let row = ragged.fit(row, width)?;
            let first = place * width + if self.left { width - row.len() } else { 0 };
            for (cell, &id) in ids[first..].iter_mut().zip(row) {
                *cell = i64::from(id);
            }
            mask[first..][..row.len()].fill(1);
        }
        Ok((ids, mask))
    }
}

/// Borrowed ragged ids whose row starts have been checked.
#[derive(Debug, Clone, Copy)]
pub struct Ragged<'a> {
    ids: &'a [i32],
    starts: &'a [i64],
}

impl<'a> Ragged<'a> {
    /// Views `ids` as rows that begin at `starts`, which must rise from 0 to the number of ids.
    pub fn new(ids: &'a [i32], starts: &'a [i64]) -> Result<Self> {
        let rising = starts.windows(2).all(|w| w[0] <= w[1]);
        let whole =
            starts.first() == Some(&0) && starts.last() == i64::try_from(ids.len()).ok().as_ref();
        if rising && whole {
            Ok(Self { ids, starts })
        } else {
            let want = format!("rising from 0 to the number of ids, {}", ids.len());
            let ends = (starts.first(), starts.last());
            Err(Error::range("starts", want, format!("{} numbers, ends {ends:?}", starts.len())))
        }
    }

    /// How many rows.
    pub fn rows(self) -> usize {
        self.starts.len() - 1
    }

    /// The ids of row `i`; panics if there is none.
    pub fn row(self, i: usize) -> &'a [i32] {
        // `new` checked that starts rise from 0 to `ids.len()`, so they fit a usize.
        &self.ids[self.starts[i] as usize..self.starts[i + 1] as usize]
    }

    /// The number of ids in the longest row; 0 if there is no row.
    pub fn longest(self) -> usize {
        (0..self.rows()).map(|i| self.row(i).len()).max().unwrap_or(0)
    }

    fn fit(self, row: usize, width: usize) -> Result<&'a [i32]> {
        if row >= self.rows() {
            return Err(Error::range("row", format!("below {}", self.rows()), row));
        }
        let ids = self.row(row);
        if ids.len() > width {
            let want = format!("at least the {} ids of row {row}", ids.len());
            return Err(Error::range("width", want, width));
        }
        Ok(ids)
    }
}
