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

/// Keys sort by score, highest first, then by `low`; those of NaN sort anywhere.
pub(crate) fn key(score: f32, low: u32) -> u64 {
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(!ascending) << 32 | u64::from(low)
}

/// The score that was given to [`key`].
pub(crate) fn score_of(key: u64) -> f32 {
    let ascending = !((key >> 32) as u32);
    f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
}

/// The `k` best of `keys`, best first; of equal scores those of lower ids. `id` names what a key's low half
/// stands for, and is asked for no more of them than it must.
pub(crate) fn best_of<E>(
    keys: &mut [u64],
    k: usize,
    id: impl Fn(u32) -> Result<u64, E>,
) -> Result<Vec<Scored>, E> {
    if k == 0 {
        return Ok(Vec::new());
    }
    let mut count = keys.len();
    if k < count {
        // All that score as much as the k-th stay for now.
        let last = *keys.select_nth_unstable(k - 1).1;
        count = k;
        for i in k..keys.len() {
            if keys[i] >> 32 == last >> 32 {
                keys.swap(i, count);
                count += 1;
            }
        }
    }
    let scored = |&key: &u64| Ok(Scored { score: score_of(key), id: id(key as u32)? });
    let mut best = keys[..count].iter().map(scored).collect::<Result<Vec<Scored>, E>>()?;
    best.sort_unstable_by(Scored::rank);
    best.truncate(k);
    Ok(best)
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::{TopK, best_of, key, score_of};

    #[test]
    fn keys_sort_as_scores_do() {
        let scores = [f32::INFINITY, 2.0, 1.0, 1e-40, 0.0, -1e-40, -1.0, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|pair| key(pair[0], 9) < key(pair[1], 3)));
        assert_eq!(key(0.0, 1), key(-0.0, 1));
        assert!(key(1.0, 1) < key(1.0, 2));
        assert!(scores.iter().all(|&score| score_of(key(score, 5)) == score));
    }

    proptest! {
        #[test]
        fn the_best_are_those_that_a_stream_keeps(
            scores in prop::collection::vec(-4i8..4, 0..60), k in 0usize..70,
        ) {
            // Ids against the order of places, so that ties tell.
            let id = |place: u32| u64::from(1000 - place);
            let named = |place| Ok::<_, Infallible>(id(place));
            let mut stream = TopK::new(k);
            let mut keys = Vec::new();
            for (place, &score) in (0u32..).zip(&scores) {
                stream.push(f32::from(score), id(place));
                keys.push(key(f32::from(score), place));
            }
            let best = best_of(&mut keys, k, named).unwrap_or_else(|never| match never {});
            prop_assert_eq!(best, stream.into_sorted());
        }
    }
}
