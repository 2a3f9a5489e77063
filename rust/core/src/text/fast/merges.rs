//! Byte-pair encoding: the pair that was learnt first is merged first, the leftmost of several.
//!
//! Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units" (2016).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::words::hash_number;

/// Words of so many symbols and more are merged by a heap, whose cost does not grow with the square.
const LONG: usize = 48;

const NONE: u32 = u32::MAX;

/// Which pairs of symbols become which, and how early.
#[derive(Debug)]
pub(super) struct Merges {
    slots: Vec<Slot>,
}

/// What a pair becomes; `rank` is [`NONE`] where there is no pair.
#[derive(Debug, Clone, Copy)]
struct Slot {
    pair: u64,
    rank: u32,
    id: i32,
}

/// Symbols of a word under way; lent, so that nothing is allocated for a word.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    ids: Vec<i32>,
    /// What the symbol and the next become, and when.
    ranks: Vec<(u32, i32)>,
    next: Vec<u32>,
    before: Vec<u32>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

impl Merges {
    /// A table of pairs and what they become, the earliest first; of the same pair the last counts.
    pub(super) fn new(merges: &[((i32, i32), i32)]) -> Self {
        let empty = Slot { pair: 0, rank: NONE, id: 0 };
        let room = (merges.len() + merges.len() / 2).next_power_of_two().max(2);
        let mut table = Self { slots: vec![empty; room] };
        for (rank, &((left, right), id)) in merges.iter().enumerate() {
            let pair = pair(left, right);
            let mut at = table.place(pair);
            while table.slots[at].rank != NONE && table.slots[at].pair != pair {
                at = (at + 1) & (table.slots.len() - 1);
            }
            table.slots[at] = Slot { pair, rank: rank as u32, id };
        }
        table
    }

    #[inline(always)]
    fn place(&self, pair: u64) -> usize {
        hash_number(pair) as usize & (self.slots.len() - 1)
    }

    /// When two symbols are merged, and what into; ([`NONE`], _) if never.
    #[inline]
    fn get(&self, left: i32, right: i32) -> (u32, i32) {
        let pair = pair(left, right);
        let mut at = self.place(pair);
        loop {
            let slot = &self.slots[at];
            if slot.pair == pair || slot.rank == NONE {
                return (slot.rank, slot.id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Appends what `word`, given as its smallest symbols, becomes.
    pub(super) fn merge(
        &self,
        word: impl Iterator<Item = i32>,
        symbols: &mut Symbols,
        ids: &mut Vec<i32>,
    ) {
        symbols.ids.clear();
        symbols.ids.extend(word);
        if symbols.ids.len() < LONG {
            self.merge_short(symbols);
            ids.extend_from_slice(&symbols.ids);
        } else {
            self.merge_long(symbols, ids);
        }
    }

    /// Looks for the earliest pair among all each time: a few dozen numbers that lie side by side.
    fn merge_short(&self, symbols: &mut Symbols) {
        let Symbols { ids, ranks, .. } = symbols;
        ranks.clear();
        ranks.extend(ids.windows(2).map(|pair| self.get(pair[0], pair[1])));
        loop {
            let mut best = (NONE, 0);
            for (at, &(rank, _)) in ranks.iter().enumerate() {
                if rank < best.0 {
                    best = (rank, at);
                }
            }
            let (rank, at) = best;
            if rank == NONE {
                return;
            }
            ids[at] = ranks[at].1;
            ids.remove(at + 1);
            ranks.remove(at);
            if at > 0 {
                ranks[at - 1] = self.get(ids[at - 1], ids[at]);
            }
            if at < ranks.len() {
                ranks[at] = self.get(ids[at], ids[at + 1]);
            }
        }
    }

    /// The same by a heap over a list: an entry counts only while it says what its pair still says.
    fn merge_long(&self, symbols: &mut Symbols, out: &mut Vec<i32>) {
        let Symbols { ids, ranks, next, before, heap } = symbols;
        let count = ids.len() as u32;
        next.clear();
        next.extend(1..=count);
        before.clear();
        before.extend((0..count).map(|at| at.wrapping_sub(1)));
        ranks.clear();
        ranks.extend(ids.windows(2).map(|pair| self.get(pair[0], pair[1])));
        ranks.push((NONE, 0));
        heap.clear();
        let known = ranks.iter().enumerate().filter(|(_, (rank, _))| *rank != NONE);
        heap.extend(known.map(|(at, &(rank, _))| Reverse((rank, at as u32))));
        while let Some(Reverse((rank, at))) = heap.pop() {
            let left = at as usize;
            if ranks[left].0 != rank {
                continue;
            }
            ids[left] = ranks[left].1;
            let gone = next[left] as usize;
            ranks[gone].0 = NONE;
            next[left] = next[gone];
            if next[left] < count {
                before[next[left] as usize] = at;
            }
            for first in [before[left], at] {
                if first < count {
                    let second = next[first as usize];
                    let pair = match second < count {
                        true => self.get(ids[first as usize], ids[second as usize]),
                        false => (NONE, 0),
                    };
                    ranks[first as usize] = pair;
                    if pair.0 != NONE {
                        heap.push(Reverse((pair.0, first)));
                    }
                }
            }
        }
        let mut at = 0;
        while at < count {
            out.push(ids[at as usize]);
            at = next[at as usize];
        }
    }
}

fn pair(left: i32, right: i32) -> u64 {
    (left as u64) << 32 | u64::from(right as u32)
}
