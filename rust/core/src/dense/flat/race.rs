//! Which rows may still be among the k best, while all of them pass by.

use crate::Result;
use crate::kernels::Probe;
use crate::topk::{Scored, TopK};

/// Candidates kept before some are scored, at least.
const MOST: usize = 4096;

/// The rows that may be among the k best of one query.
pub(super) struct Race {
    most: usize,
    /// The k best heights that rows have for certain.
    sure: TopK,
    /// Rows that may be among the k best, and the heights that they have at most.
    candidates: Vec<(f64, u32)>,
    /// The k best of those that have been scored.
    best: TopK,
}

impl Race {
    pub(super) fn new(k: usize) -> Self {
        let most = MOST.max(4 * k);
        Self { most, sure: TopK::new(k), candidates: Vec::new(), best: TopK::new(k) }
    }

    /// A row whose height cannot be this is not among the k best.
    pub(super) fn level(&self, probe: &Probe) -> f64 {
        // −∞ of a score is −∞ of a height.
        f64::from(self.sure.threshold()).max(probe.height(self.best.threshold()))
    }

    /// Offers a row whose height is within `off` of `height`.
    pub(super) fn offer(&mut self, height: f64, off: f64, row: u32) {
        self.candidates.push((height + off, row));
        self.sure.push(((height - off) as f32).next_down(), u64::from(row));
    }

    /// Whether [`Race::settle`] is due.
    pub(super) fn is_full(&self) -> bool {
        self.candidates.len() >= self.most
    }

    /// Drops the candidates that cannot win any more; if many are left, or at the `end`, scores them.
    pub(super) fn settle(
        &mut self,
        probe: &Probe,
        end: bool,
        mut score: impl FnMut(u32) -> Result<f32>,
    ) -> Result<()> {
        let level = self.level(probe);
        self.candidates.retain(|(height, _)| *height >= level);
        if end || self.candidates.len() >= self.most / 2 {
            for (_, row) in self.candidates.drain(..) {
                self.best.push(score(row)?, u64::from(row));
            }
        }
        Ok(())
    }

    /// The k best, after the last [`Race::settle`].
    pub(super) fn into_sorted(self) -> Vec<Scored> {
        self.best.into_sorted()
    }
}
