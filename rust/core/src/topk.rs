//! The k best of a stream, in total order: higher score first, then lower id; NaN is never kept.

use std::cmp::Ordering;

/// An id and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Grows with similarity.
    pub score: f32,
    /// Breaks ties: the lower id is better.
    pub id: u64,
}

impl Scored {
    /// `Less` if `self` comes before `other` in a result list. Total for scores that are not NaN.
    pub fn rank(&self, other: &Self) -> Ordering {
        // -0.0 and 0.0 are one score: adding 0.0 turns the first into the second.
        (other.score + 0.0).total_cmp(&(self.score + 0.0)).then(self.id.cmp(&other.id))
    }
}

/// Collects the `k` best of everything pushed.
///
/// A buffer of 2k, cut back to k by selection when full: amortised O(1) a push, and what cannot
/// win is turned away by one comparison with the threshold.
#[derive(Debug, Clone)]
pub struct TopK {
    k: usize,
    kept: Vec<Scored>,
    worst: Option<Scored>,
}

impl TopK {
    /// An empty collector of the `k` best.
    pub fn new(k: usize) -> Self {
        Self { k, kept: Vec::with_capacity(k.saturating_mul(2).min(1 << 16)), worst: None }
    }

    /// A score below which nothing more can be kept; −∞ until k items have been seen.
    pub fn threshold(&self) -> f32 {
        self.worst.map_or(f32::NEG_INFINITY, |worst| worst.score)
    }

    /// Offers an item; NaN scores are turned away.
    #[inline]
    pub fn push(&mut self, score: f32, id: u64) {
        let item = Scored { score, id };
        let loses = self.worst.is_some_and(|worst| item.rank(&worst) != Ordering::Less);
        if loses || score.is_nan() || self.k == 0 {
            return;
        }
        self.kept.push(item);
        if self.kept.len() >= self.k.saturating_mul(2) {
            self.cut();
        }
    }

    /// Keeps the k best of the buffer and raises the threshold to the k-th.
    fn cut(&mut self) {
        self.kept.select_nth_unstable_by(self.k - 1, Scored::rank);
        self.kept.truncate(self.k);
        self.worst = Some(self.kept[self.k - 1]);
    }

    /// The best, best first: `min(k, pushed)` of them.
    pub fn into_sorted(mut self) -> Vec<Scored> {
        if self.kept.len() > self.k {
            self.cut();
        }
        self.kept.sort_unstable_by(Scored::rank);
        self.kept
    }
}
