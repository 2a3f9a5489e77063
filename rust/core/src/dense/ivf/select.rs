//! The best of a stream of whole scores, by counting.

use std::ops::Range;

/// Counters; scores share one if there are more of them.
const COUNTERS: usize = 4096;

/// Collects the best of everything offered: higher score first, then lower place.
///
/// Scores are counted, so the score that the wanted number reaches is known after every offer at the
/// price of an increment, and nothing is sorted on the way. What is offered later and lies below that
/// score is turned away; what was taken before is dropped in the end.
#[derive(Debug, Default)]
pub(super) struct Best {
    wanted: usize,
    shift: u32,
    counts: Vec<u32>,
    /// The wanted number of scores have at least this counter…
    level: usize,
    /// …or this many have, if fewer than wanted were offered.
    reached: usize,
    taken: Vec<(i32, u32)>,
}

impl Best {
    /// Forgets everything; scores will be at most `most`, and `wanted` of them are to be kept.
    /// All scores below 0 share a counter.
    pub(super) fn start(&mut self, wanted: usize, most: i32) {
        let most = most.max(0) as usize;
        self.shift = (most / COUNTERS + 1).next_power_of_two().trailing_zeros();
        self.wanted = wanted;
        self.counts.clear();
        self.counts.resize((most >> self.shift) + 1, 0);
        (self.level, self.reached) = (0, 0);
        self.taken.clear();
    }

    /// Scores below this one cannot be among the best any more.
    #[inline]
    pub(super) fn least(&self) -> i32 {
        if self.level == 0 { i32::MIN } else { (self.level << self.shift) as i32 }
    }

    #[inline]
    pub(super) fn push(&mut self, score: i32, place: u32) {
        let counter = (score.max(0) as usize >> self.shift).min(self.counts.len() - 1);
        if counter < self.level {
            return;
        }
        self.taken.push((score, place));
        self.counts[counter] += 1;
        self.reached += 1;
        while self.reached - self.counts[self.level] as usize >= self.wanted {
            self.reached -= self.counts[self.level] as usize;
            self.level += 1;
        }
    }

    /// The best, in no order.
    pub(super) fn finish(&mut self) -> &[(i32, u32)] {
        let least = self.least();
        self.taken.retain(|(score, _)| *score >= least);
        if self.taken.len() > self.wanted {
            let order = |&(score, place): &(i32, u32)| (std::cmp::Reverse(score), place);
            self.taken.select_nth_unstable_by_key(self.wanted, order);
            self.taken.truncate(self.wanted);
        }
        &self.taken
    }

    /// How good the `k`-th best so far is at least; `None` before there are so many.
    pub(super) fn kth(&self, k: usize) -> Option<i32> {
        let mut above = 0;
        let counters: Range<usize> = self.level..self.counts.len();
        let found = counters.rev().find(|&counter| {
            above += self.counts[counter] as usize;
            above >= k
        })?;
        Some((found << self.shift) as i32)
    }
}
