//! Whether an index holds what its searches rely on: what no checksum says.

use std::path::Path;

use super::index::Index;
use super::rows::Rows;
use super::score::{BLOCK, Metric};
use crate::kernels::Kernels;
use crate::store::Verify;
use crate::{Cancel, Error, Result, Threads};

/// What [`Index::verify`] looked at and found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Rows that searches find.
    pub rows: usize,
    /// Rows that are deleted but still there.
    pub dead: usize,
    /// Segments that rows are in.
    pub segments: usize,
}

impl Index {
    /// Looks at everything that the index in `directory` consists of: every checksum; ids that ascend
    /// and are live once; lists that hold every row; rows that are finite, of length 1 under cosine,
    /// and agree with what was computed of them. What fails is a [`Error::Format`] of its file.
    pub fn verify(directory: &Path, threads: Threads, cancel: &Cancel) -> Result<Verified> {
        Self::open(directory, Verify::Full, cancel)?.check(directory, threads, cancel)
    }

    /// The same of an index that was opened from `directory` with [`Verify::Full`].
    pub fn check(&self, directory: &Path, threads: Threads, cancel: &Cancel) -> Result<Verified> {
        for live in self.parts() {
            live.part().check(self.metric(), threads, cancel)?;
        }
        let names = self.order()?.iter().map(|&place| self.name_of(place));
        let names = names.collect::<Result<Vec<_>>>()?;
        let refuse = |problem: String| Error::format(directory, format!("{problem}; rebuild"));
        if let Some(pair) = names.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(refuse(format!("the id {} is in two segments", pair[1])));
        }
        let next = self.header().next;
        if names.last().is_some_and(|last| last.number() >= next && last.text().is_none()) {
            return Err(refuse(format!("the next new row would be called {next}, as one is")));
        }
        let (rows, dead, segments) = (self.len(), self.dead(), self.segments());
        Ok(Verified { rows, dead, segments })
    }
}

impl Rows {
    /// Refuses rows whose numbers are not finite, or not of length 1 under cosine; shows each row and
    /// its square to `look`, which may refuse it too.
    pub(super) fn check(
        &self,
        metric: Metric,
        threads: Threads,
        cancel: &Cancel,
        look: impl Fn(usize, &[f32], f32) -> Result<()> + Sync,
    ) -> Result<()> {
        let kernels = Kernels::best();
        let one = |range: std::ops::Range<usize>| {
            let mut row = vec![0.0; self.dim()];
            for i in range {
                self.read(i, &mut row)?;
                let square = kernels.dot(&row, &row);
                // Rounding to bytes moves a row of length 1 by at most √dim / 254.
                let slack = 0.01 + (self.dim() as f32).sqrt() / 254.0;
                if !square.is_finite() {
                    return Err(self.refuse(format!("row {i} is not finite")));
                }
                if metric == Metric::Cosine && (square.sqrt() - 1.0).abs() > slack {
                    return Err(self.refuse(format!("row {i} is not of length 1")));
                }
                look(i, &row, square)?;
            }
            Ok(())
        };
        threads.blocks(self.len(), BLOCK, cancel, one).map(drop)
    }
}
