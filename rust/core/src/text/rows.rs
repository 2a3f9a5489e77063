//! Encoded rows on their way into rectangles that somebody else may own.

use crate::text::tokenizer::BLOCK;
use crate::text::{Padding, Tokens};
use crate::{Cancel, Error, Result, Threads};

/// Texts that are taken from an iterator at a time: whole blocks.
pub const WINDOW: usize = 512 * BLOCK;

/// The ids of some texts, one row a text, and how they are padded.
#[derive(Debug)]
pub struct Rows {
    /// [`BLOCK`] rows each but the last.
    blocks: Vec<Tokens>,
    count: usize,
    padding: Padding,
}

impl Rows {
    pub(super) fn new(blocks: Vec<Tokens>, count: usize, padding: Padding) -> Self {
        Self { blocks, count, padding }
    }

    /// Appends the rows of `more`; those before are whole blocks.
    pub fn extend(&mut self, more: Self) {
        assert!(self.count.is_multiple_of(BLOCK), "rows are looked up by their block");
        self.blocks.extend(more.blocks);
        self.count += more.count;
    }

    /// How many rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The least width of a rectangle that the file's padding allows.
    pub fn width(&self) -> usize {
        let rows = self.blocks.iter().flat_map(|block| block.rows().map(<[i32]>::len));
        self.padding.wide(rows.max().unwrap_or(0))
    }

    /// Writes every cell of a rectangle of ids and one of ones and zeros, 1 where an id is.
    ///
    /// Refuses rectangles that are not `count()` rows of one width, at least that of the longest row.
    pub fn write(
        &self,
        ids: &mut [i64],
        mask: &mut [i64],
        width: usize,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<()> {
        let cells = self.count.checked_mul(width);
        if width < self.width() || cells != Some(ids.len()) || cells != Some(mask.len()) {
            let want = format!("{} rows, each at least {} wide", self.count, self.width());
            let got = format!("{} and {} cells, {width} wide", ids.len(), mask.len());
            return Err(Error::range("out", want, got));
        }
        if ids.is_empty() {
            return Ok(());
        }
        threads.pairs_mut((ids, mask), (width, width), BLOCK, cancel, |first, ids, mask| {
            let cells = ids.chunks_exact_mut(width).zip(mask.chunks_exact_mut(width));
            for (row, (ids, mask)) in self.blocks[first / BLOCK].rows().zip(cells) {
                self.write_row(row, ids, mask);
            }
            Ok(())
        })
    }

    fn write_row(&self, row: &[i32], ids: &mut [i64], mask: &mut [i64]) {
        let first = if self.padding.left { ids.len() - row.len() } else { 0 };
        ids[..first].fill(self.padding.id);
        mask[..first].fill(0);
        for (cell, &id) in ids[first..].iter_mut().zip(row) {
            *cell = i64::from(id);
        }
        mask[first..][..row.len()].fill(1);
        ids[first + row.len()..].fill(self.padding.id);
        mask[first + row.len()..].fill(0);
    }
}
