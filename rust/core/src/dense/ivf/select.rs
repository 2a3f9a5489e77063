//! The best of a stream of whole scores, by counting.

/// Counters; scores share one if there are more of them.
const COUNTERS: usize = 4096;

/// Collects the best of everything offered: higher score first, then lower place.
///
/// Scores are counted, so the score that the wanted number reaches is known after every offer at the
/// price of an increment, and nothing is sorted on the way. What is offered later and lies below that
/// score is turned away; what was taken before is dropped in the end.
#[derive(Debug, Default)]
pub(super) struct Best {
    shift: u32,
    counts: Vec<u32>,
    kept: Level,
    kth: Level,
    taken: Vec<(i32, u32)>,
}

/// The counter that the best `wanted` of the scores reach.
#[derive(Debug, Default)]
struct Level {
    wanted: usize,
    /// The wanted number of scores have at least this counter…
    at: usize,
    /// …or this many have, if fewer than wanted were offered.
    reached: usize,
}

impl Level {
    fn new(wanted: usize) -> Self {
        Self { wanted, at: 0, reached: 0 }
    }

    /// Rises, if it may, now that one more score has `counter`.
    #[inline]
    fn rise(&mut self, counter: usize, counts: &[u32]) {
        if counter < self.at {
            return;
        }
        self.reached += 1;
        while self.reached - counts[self.at] as usize >= self.wanted {
            self.reached -= counts[self.at] as usize;
            self.at += 1;
        }
    }
}

impl Best {
    /// Forgets everything; scores will be at most `most`, `wanted` of them are to be kept, and
    /// [`Self::kth`] will ask for the `k`-th best. All scores below 0 share a counter.
    pub(super) fn start(&mut self, wanted: usize, k: usize, most: i32) {
        let most = most.max(0) as usize;
        self.shift = (most / COUNTERS + 1).next_power_of_two().trailing_zeros();
        self.counts.clear();
        self.counts.resize((most >> self.shift) + 1, 0);
        (self.kept, self.kth) = (Level::new(wanted), Level::new(k));
        self.taken.clear();
    }

    /// Scores below this one cannot be among the best any more.
    #[inline]
    pub(super) fn least(&self) -> i32 {
        if self.kept.at == 0 { i32::MIN } else { (self.kept.at << self.shift) as i32 }
    }

    #[inline]
    pub(super) fn push(&mut self, score: i32, place: u32) {
        let counter = (score.max(0) as usize >> self.shift).min(self.counts.len() - 1);
        if counter < self.kept.at {
            return;
        }
        self.taken.push((score, place));
        self.counts[counter] += 1;
        self.kept.rise(counter, &self.counts);
        self.kth.rise(counter, &self.counts);
    }

    /// The best, in no order.
    pub(super) fn finish(&mut self) -> &[(i32, u32)] {
        let least = self.least();
        self.taken.retain(|(score, _)| *score >= least);
        if self.taken.len() > self.kept.wanted {
            let order = |&(score, place): &(i32, u32)| (std::cmp::Reverse(score), place);
            self.taken.select_nth_unstable_by_key(self.kept.wanted, order);
            self.taken.truncate(self.kept.wanted);
        }
        &self.taken
    }

    /// How good the `k`-th best so far is at least; `None` before there are so many.
    pub(super) fn kth(&self) -> Option<i32> {
        (self.kth.reached >= self.kth.wanted).then_some((self.kth.at << self.shift) as i32)
    }
}
