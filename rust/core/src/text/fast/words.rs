//! Words as numbers: a hash table from the bytes of a word to its id.

const A: u64 = 0x9e37_79b9_7f4a_7c15;
const B: u64 = 0xd6e8_feb8_6659_fd93;

/// The most bytes that a [`Key`] holds itself.
pub(super) const SHORT: usize = 16;

/// A word of 1 to [`SHORT`] bytes: its bytes, zeros after them, and how many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) lo: u64,
    pub(super) hi: u64,
    pub(super) len: u32,
}

impl Key {
    /// The key of `bytes`, which are at most [`SHORT`].
    pub(super) fn new(bytes: &[u8]) -> Self {
        let len = bytes.len() as u32;
        match bytes.len() {
            ..=8 => Self { lo: number(bytes), hi: 0, len },
            _ => Self { lo: number(&bytes[..8]), hi: number(&bytes[8..]), len },
        }
    }

    pub(super) fn hash(self) -> u64 {
        fold(self.lo ^ A, self.hi ^ u64::from(self.len) ^ B)
    }
}

/// At most 8 bytes, the first the lowest, zeros above them.
pub(super) fn number(bytes: &[u8]) -> u64 {
    let four = |at: usize| {
        u64::from(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
    };
    match bytes.len() {
        8.. => four(0) | four(4) << 32,
        len @ 4..8 => four(0) | four(len - 4) << (8 * (len - 4)),
        // The first, the middle and the last of up to three bytes are all of them.
        len @ 1..4 => {
            let one = |at: usize| u64::from(bytes[at]) << (8 * at);
            one(0) | one(len / 2) | one(len - 1)
        }
        0 => 0,
    }
}

/// The two halves of a product, mixed.
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A hash of a number.
pub(super) fn hash_number(number: u64) -> u64 {
    fold(number ^ A, B)
}

/// A hash of a word of at most 8 bytes.
#[inline(always)]
pub(super) fn hash_eight(word: u64) -> u64 {
    fold(word, A)
}

/// A hash of any number of bytes.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let start = fold(bytes.len() as u64 ^ A, B);
    bytes.chunks(8).fold(start, |sum, chunk| fold(sum ^ number(chunk), B))
}

/// Words and their ids; open addressing, at most two thirds full.
///
/// Words of up to 8 bytes, which nine of ten in a text are, lie in slots of 16 bytes: a table that fits
/// the second-level cache is worth more than one with fewer collisions.
#[derive(Debug)]
pub(super) struct Words {
    eight: Vec<Eight>,
    slots: Vec<Slot>,
    /// The bytes of the words longer than [`SHORT`].
    long: Vec<u8>,
}

/// A word of 1 to 8 bytes, none of them zero; `word` is 0 where there is none.
#[derive(Debug, Clone, Copy, Default)]
struct Eight {
    word: u64,
    id: i32,
}

/// Another word; `len` is 0 where there is none. Of a long one `lo` is the hash, `hi` its place in `long`.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    lo: u64,
    hi: u64,
    len: u32,
    id: i32,
}

fn is_eight(word: &[u8]) -> bool {
    word.len() <= 8 && !word.contains(&0)
}

/// Slots for `count` words.
fn room(count: usize) -> usize {
    (count + count / 2).next_power_of_two().max(2)
}

impl Words {
    /// A table of `words`, none of them empty or given twice; the first are found fastest.
    pub(super) fn new<'w>(words: impl Iterator<Item = (&'w [u8], i32)> + Clone) -> Self {
        let small = words.clone().filter(|(word, _)| is_eight(word)).count();
        let rest = words.clone().count() - small;
        let mut table = Self {
            eight: vec![Eight::default(); room(small)],
            slots: vec![Slot::default(); room(rest)],
            long: Vec::new(),
        };
        for (word, id) in words {
            if is_eight(word) {
                let word = number(word);
                let mut at = table.place_eight(word);
                while table.eight[at].word != 0 {
                    at = (at + 1) & (table.eight.len() - 1);
                }
                table.eight[at] = Eight { word, id };
            } else {
                table.insert(word, id);
            }
        }
        table
    }

    fn insert(&mut self, word: &[u8], id: i32) {
        let (hash, slot) = if word.len() <= SHORT {
            let key = Key::new(word);
            (key.hash(), Slot { lo: key.lo, hi: key.hi, len: key.len, id })
        } else {
            let lo = hash(word);
            let hi = self.long.len() as u64;
            self.long.extend_from_slice(word);
            (lo, Slot { lo, hi, len: word.len() as u32, id })
        };
        let mut at = self.place(hash);
        while self.slots[at].len != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot;
    }

    fn place(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    #[inline(always)]
    fn place_eight(&self, word: u64) -> usize {
        hash_eight(word) as usize & (self.eight.len() - 1)
    }

    /// The id of a word.
    pub(super) fn get(&self, word: &[u8]) -> Option<i32> {
        match word.len() {
            ..=8 if !word.contains(&0) => self.get_eight(number(word)),
            ..=SHORT => self.get_key(Key::new(word)),
            _ => self.get_long(word),
        }
    }

    /// The id of a word of at most 8 bytes, none of them zero.
    #[inline(always)]
    pub(super) fn get_eight(&self, word: u64) -> Option<i32> {
        let mut at = self.place_eight(word);
        loop {
            let slot = &self.eight[at];
            if slot.word == word {
                return Some(slot.id);
            }
            if slot.word == 0 {
                return None;
            }
            at = (at + 1) & (self.eight.len() - 1);
        }
    }

    /// The id of another word of at most [`SHORT`] bytes.
    #[inline]
    pub(super) fn get_key(&self, key: Key) -> Option<i32> {
        let mut at = self.place(key.hash());
        loop {
            let slot = &self.slots[at];
            if slot.lo == key.lo && slot.hi == key.hi && slot.len == key.len {
                return Some(slot.id);
            }
            if slot.len == 0 {
                return None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn get_long(&self, word: &[u8]) -> Option<i32> {
        let lo = hash(word);
        let mut at = self.place(lo);
        loop {
            let slot = &self.slots[at];
            if slot.len == 0 {
                return None;
            }
            if slot.lo == lo
                && slot.len as usize == word.len()
                && &self.long[slot.hi as usize..][..word.len()] == word
            {
                return Some(slot.id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}
