//! Words that were worked out lately, and their ids: bounded, and used by one thread at a time.

use super::words::{fold, number};

/// Slots of a cache, 64 bytes each: one megabyte, as much as a core's second-level cache holds.
const SLOTS: usize = 1 << 14;

/// The most bytes of a word, and ids of one, that a slot holds.
const BYTES: usize = 32;
const IDS: usize = 7;

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Slot {
    word: [u64; BYTES / 8],
    ids: [i32; IDS],
    /// Bytes of the word; 0 where there is none.
    len: u8,
    count: u8,
}

/// Words to ids. A word that comes takes the place of one of two that hash alike, so memory is fixed.
#[derive(Debug)]
pub(super) struct Cache {
    slots: Vec<Slot>,
}

/// A word that a cache may hold, and where it would be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    word: [u64; BYTES / 8],
    len: u8,
    at: usize,
}

impl Place {
    /// Where `word` would be; `None` if it is too long to be held.
    #[inline]
    pub(super) fn of(word: &[u8]) -> Option<Self> {
        let mut parts = [0; BYTES / 8];
        match word.len() {
            1..=8 => parts[0] = number(word),
            9..=16 => (parts[0], parts[1]) = (number(&word[..8]), number(&word[8..])),
            17..=BYTES => {
                for (part, bytes) in parts.iter_mut().zip(word.chunks(8)) {
                    *part = number(bytes);
                }
            }
            _ => return None,
        }
        let len = word.len() as u8;
        let ends = fold(
            parts[0] ^ 0x9e37_79b9_7f4a_7c15,
            parts[1] ^ u64::from(len) ^ 0xd6e8_feb8_6659_fd93,
        );
        let hash =
            if len > 16 { fold(ends ^ parts[2], parts[3] ^ 0xa076_1d64_78bd_642f) } else { ends };
        Some(Self { word: parts, len, at: hash as usize & (SLOTS - 1) })
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self { slots: vec![Slot::default(); SLOTS] }
    }
}

impl Cache {
    /// The ids of the word that would be at `place`, if it is there.
    #[inline]
    pub(super) fn get(&self, place: &Place) -> Option<&[i32]> {
        for at in [place.at, place.at ^ 1] {
            let slot = &self.slots[at];
            if slot.len == place.len && slot.word == place.word {
                return Some(&slot.ids[..usize::from(slot.count)]);
            }
        }
        None
    }

    /// Holds the ids of a word, if they are few; forgets the older of the two words in its way.
    pub(super) fn put(&mut self, place: &Place, ids: &[i32]) {
        if ids.len() > IDS {
            return;
        }
        self.slots[place.at ^ 1] = self.slots[place.at];
        let slot = &mut self.slots[place.at];
        *slot =
            Slot { word: place.word, len: place.len, count: ids.len() as u8, ..Slot::default() };
        slot.ids[..ids.len()].copy_from_slice(ids);
    }
}
