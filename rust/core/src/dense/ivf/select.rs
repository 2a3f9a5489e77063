//! The best of a stream of whole scores, by counting.

/// Counters; scores share one if there are more of them.
const COUNTERS: usize = 4096;
/// Counters that are also counted together.
const FLOOR: usize = 32;

/// Collects the best of everything offered: higher score first, then lower place.
///
/// Scores are counted, so the score that the wanted number reaches is known at the price of an increment
/// an offer, and nothing is sorted on the way. It is looked up after many offers ([`Best::settle`]): one by
/// one, no branch could be foretold. What lies below it need not be offered any more; what was taken before
/// is dropped in the end.
///
/// What lies far enough below the `k`-th best is not worth keeping, whatever is wanted. And where it is not
/// known beforehand how densely the scores lie, all down to some depth are kept, if those are more than the
/// wanted ones.
#[derive(Debug, Default)]
pub(super) struct Best {
    shift: u32,
    wanted: usize,
    deep: Deep,
    /// Counters so far below that of the k-th best are not worth keeping.
    hopeless: usize,
    /// Counters below this one need not be offered.
    lowest: usize,
    counts: Counts,
    kept: Level,
    kth: Level,
    taken: Vec<(i32, u32)>,
}

/// What is kept beyond the wanted ones.
#[derive(Debug, Clone, Copy, Default)]
enum Deep {
    /// Nothing.
    #[default]
    No,
    /// So many counters below that of the k-th best.
    Below(usize),
    /// From this counter on.
    From(usize),
}

/// How many scores each counter has, and each [`FLOOR`] of them.
#[derive(Debug, Default)]
struct Counts {
    each: Vec<u32>,
    floors: Vec<u32>,
}

impl Counts {
    fn start(&mut self, counters: usize) {
        let clear = |counts: &mut Vec<u32>, len| {
            counts.clear();
            counts.resize(len, 0);
        };
        clear(&mut self.each, counters);
        clear(&mut self.floors, counters.div_ceil(FLOOR));
    }

    #[inline]
    fn count(&mut self, counter: usize) {
        self.each[counter] += 1;
        self.floors[counter / FLOOR] += 1;
    }
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

    /// Whether as many as wanted were offered.
    fn is_reached(&self) -> bool {
        self.reached >= self.wanted
    }

    /// Hears of one more score; `rise` is then due.
    #[inline]
    fn count(&mut self, counter: usize) {
        self.reached += usize::from(counter >= self.at);
    }

    /// Rises as far as it may: counter by counter to the next floor, by floors, and by counters again.
    fn rise(&mut self, counts: &Counts) {
        while !self.at.is_multiple_of(FLOOR) {
            if !self.leave(counts.each[self.at], 1) {
                return;
            }
        }
        while self.leave(counts.floors[self.at / FLOOR], FLOOR) {}
        while self.leave(counts.each[self.at], 1) {}
    }

    /// Goes up by so many `counters`, which have `count` scores, if as many as wanted lie above them.
    #[inline]
    fn leave(&mut self, count: u32, counters: usize) -> bool {
        let above = self.reached - count as usize;
        let enough = above >= self.wanted;
        if enough {
            (self.reached, self.at) = (above, self.at + counters);
        }
        enough
    }
}

impl Best {
    /// Forgets everything; scores will be at most `most`, `wanted` of them are to be kept, and
    /// [`Self::kth`] will ask for the `k`-th best; what lies `hopeless` or more below it need not be kept.
    /// All scores below 0 share a counter. If `spare`, twice as many are kept until [`Self::deepen`] is
    /// called, as it may ask for them.
    pub(super) fn start(&mut self, wanted: usize, k: usize, most: i32, hopeless: i32, spare: bool) {
        let most = most.max(0) as usize;
        self.shift = (most / COUNTERS + 1).next_power_of_two().trailing_zeros();
        self.counts.start((most >> self.shift) + 1);
        let kept = if spare { 2 * wanted } else { wanted };
        (self.kept, self.kth) = (Level::new(kept), Level::new(k));
        (self.wanted, self.deep, self.lowest) = (wanted, Deep::No, 0);
        self.hopeless = (hopeless.max(0) as usize >> self.shift) + 1;
        self.taken.clear();
    }

    /// How deep below the `k`-th best the last of the wanted ones lies.
    pub(super) fn depth(&self) -> i32 {
        (self.kth.at.saturating_sub(self.highest()) << self.shift) as i32
    }

    /// Keeps from now on all that lie at most `depth` below the `k`-th best, and the wanted ones. Returns
    /// whether one of those may have been turned away before.
    pub(super) fn deepen(&mut self, depth: i32) -> bool {
        self.deep = Deep::Below((depth as usize >> self.shift) + 1);
        let missed = self.lowest > self.deepest();
        self.lower();
        missed
    }

    /// Keeps from now on all from `score` on, and the wanted ones.
    pub(super) fn deepen_to(&mut self, score: i32) {
        self.deep = Deep::From(score.max(0) as usize >> self.shift);
        self.lower();
    }

    /// The counter from which on all are kept.
    fn deepest(&self) -> usize {
        match self.deep {
            Deep::No => usize::MAX,
            Deep::Below(_) if !self.kth.is_reached() => 0,
            Deep::Below(counters) => self.kth.at.saturating_sub(counters),
            Deep::From(counter) => counter,
        }
    }

    /// The counter below which nothing is kept for its own sake.
    fn highest(&self) -> usize {
        if !self.kth.is_reached() {
            return self.kept.at;
        }
        self.kept.at.max(self.kth.at.saturating_sub(self.hopeless))
    }

    fn lower(&mut self) {
        self.lowest = self.highest().min(self.deepest());
    }

    /// The score that counters from this one on stand for at least.
    fn score(&self, counter: usize) -> i32 {
        if counter == 0 { i32::MIN } else { (counter << self.shift).min(1 << 30) as i32 }
    }

    /// Scores below this one cannot be among the best any more.
    #[inline]
    pub(super) fn least(&self) -> i32 {
        self.score(self.lowest)
    }

    /// Takes one more; [`Self::settle`] is then due.
    #[inline]
    pub(super) fn push(&mut self, score: i32, place: u32) {
        let counter = (score.max(0) as usize >> self.shift).min(self.counts.each.len() - 1);
        self.taken.push((score, place));
        self.counts.count(counter);
        self.kept.count(counter);
        self.kth.count(counter);
    }

    /// Draws the conclusions from what was pushed.
    pub(super) fn settle(&mut self) {
        self.kept.rise(&self.counts);
        self.kth.rise(&self.counts);
        self.lower();
    }

    /// The best, in no order.
    pub(super) fn finish(&mut self) -> &[(i32, u32)] {
        let deepest = match self.deep {
            Deep::No => i32::MAX,
            _ => self.score(self.deepest()),
        };
        let deep = self.taken.iter().filter(|(score, _)| *score >= deepest).count();
        self.best(self.wanted.max(deep))
    }

    /// Exchanges `out` for the best, in no order.
    pub(super) fn finish_into(&mut self, out: &mut Vec<(i32, u32)>) {
        self.finish();
        std::mem::swap(&mut self.taken, out);
    }

    /// The best `count`, in no order.
    pub(super) fn best(&mut self, count: usize) -> &[(i32, u32)] {
        let least = self.least();
        self.taken.retain(|(score, _)| *score >= least);
        if self.taken.len() > count {
            // Those above the counter that the wanted ones reach are among them, so few are left to sort.
            let sure = self.score(self.kept.at + 1);
            let mut above = 0;
            for i in 0..self.taken.len() {
                if self.taken[i].0 >= sure {
                    self.taken.swap(i, above);
                    above += 1;
                }
            }
            let (some, place) = match count.checked_sub(above) {
                Some(place) => (&mut self.taken[above..], place),
                None => (&mut self.taken[..above], count),
            };
            let order = |&(score, place): &(i32, u32)| (std::cmp::Reverse(score), place);
            some.select_nth_unstable_by_key(place, order);
            self.taken.truncate(count);
        }
        &self.taken
    }

    /// How good the `k`-th best so far is at least; `None` before there are so many.
    pub(super) fn kth(&self) -> Option<i32> {
        self.kth.is_reached().then_some((self.kth.at << self.shift) as i32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Best;

    const NEVER: i32 = i32::MAX;

    /// The scores that are to be kept: the `wanted` best, and those that reach `deep`.
    fn slow(scores: &[i32], wanted: usize, deep: i32) -> Vec<i32> {
        let mut sorted = scores.to_vec();
        sorted.sort_unstable_by_key(|score| std::cmp::Reverse(*score));
        let deep = sorted.iter().filter(|score| **score >= deep).count();
        sorted.truncate(wanted.max(deep));
        sorted
    }

    fn kept(best: &mut Best) -> Vec<i32> {
        let mut scores: Vec<i32> = best.finish().iter().map(|(score, _)| *score).collect();
        scores.sort_unstable_by_key(|score| std::cmp::Reverse(*score));
        scores
    }

    proptest! {
        #[test]
        fn the_wanted_best_are_kept_and_all_that_lie_as_deep_as_told(
            scores in prop::collection::vec(0..3000, 1..400), wanted in 1usize..60,
            k in 1usize..20, depth in 0..400, at in 0usize..400,
        ) {
            let (k, at) = (k.min(wanted), at.min(scores.len()));
            let mut best = Best::default();
            let offer = |best: &mut Best, scores: &[i32]| {
                for some in scores.chunks(7) {
                    some.iter().for_each(|score| best.push(*score, 0));
                    best.settle();
                }
            };
            best.start(wanted, k, 2999, NEVER, false);
            offer(&mut best, &scores);
            prop_assert_eq!(kept(&mut best), slow(&scores, wanted, i32::MAX));
            best.start(wanted, k, 2999, depth, false);
            offer(&mut best, &scores);
            let hopeful = |score: &i32| match slow(&scores, scores.len(), 0).get(k - 1) {
                Some(kth) => *score >= kth - depth - 1,
                None => true,
            };
            let mut wanted_and_hopeful = slow(&scores, wanted, i32::MAX);
            wanted_and_hopeful.retain(hopeful);
            prop_assert_eq!(kept(&mut best), wanted_and_hopeful);
            best.start(wanted, k, 2999, NEVER, true);
            offer(&mut best, &scores[..at]);
            let missed = best.deepen(depth);
            offer(&mut best, &scores[at..]);
            // One counter more than the depth is kept, as the k-th best may lie high in its own.
            let kth = slow(&scores, scores.len(), 0).get(k - 1).map_or(i32::MIN, |kth| *kth);
            if !missed {
                prop_assert_eq!(kept(&mut best), slow(&scores, wanted, kth.saturating_sub(depth + 1)));
            }
            best.start(wanted, k, 2999, NEVER, false);
            best.deepen_to(depth);
            offer(&mut best, &scores);
            prop_assert_eq!(kept(&mut best), slow(&scores, wanted, depth));
        }
    }
}
