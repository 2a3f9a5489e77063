//! Words as numbers: a hash table from the bytes of a word to its id.

const A: u64 = 0x9e37_79b9_7f4a_7c15;
const B: u64 = 0xd6e8_feb8_6659_fd93;

/// The most bytes that a [`Key`] holds itself.
pub(super) const SHORT: usize = 16;

/// A word of 1 to [`SHORT`] bytes: its bytes, zeros after them, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A hash of any number of bytes.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let start = fold(bytes.len() as u64 ^ A, B);
    bytes.chunks(8).fold(start, |sum, chunk| fold(sum ^ number(chunk), B))
}

/// Words and their ids; open addressing, at most half full.
#[derive(Debug)]
pub(super) struct Words {
    slots: Vec<Slot>,
    /// The bytes of the words longer than [`SHORT`].
    long: Vec<u8>,
    /// Whether there is a word of so many bytes.
    lengths: Vec<bool>,
}

/// A word; `len` is 0 where there is none. Of a long word `lo` is the hash, `hi` its place in `long`.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    lo: u64,
    hi: u64,
    len: u32,
    id: i32,
}

impl Words {
    /// A table of `words`, none of them empty or given twice.
    pub(super) fn new<'w>(words: impl ExactSizeIterator<Item = (&'w [u8], i32)>) -> Self {
        let room = (2 * words.len()).next_power_of_two().max(2);
        let slots = vec![Slot::default(); room];
        let mut table = Self { slots, long: Vec::new(), lengths: vec![false] };
        for (word, id) in words {
            let (hash, mut slot) = if word.len() <= SHORT {
                let key = Key::new(word);
                (key.hash(), Slot { lo: key.lo, hi: key.hi, len: key.len, id })
            } else {
                let lo = hash(word);
                let hi = table.long.len() as u64;
                table.long.extend_from_slice(word);
                (lo, Slot { lo, hi, len: word.len() as u32, id })
            };
            let mut at = table.place(hash);
            while table.slots[at].len != 0 {
                at = (at + 1) & (table.slots.len() - 1);
            }
            std::mem::swap(&mut table.slots[at], &mut slot);
            if table.lengths.len() <= word.len() {
                table.lengths.resize(word.len() + 1, false);
            }
            table.lengths[word.len()] = true;
        }
        table
    }

    fn place(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    /// The most bytes of a word.
    pub(super) fn longest(&self) -> usize {
        self.lengths.len() - 1
    }

    /// Whether there is a word of `len` bytes.
    pub(super) fn has_length(&self, len: usize) -> bool {
        self.lengths.get(len).is_some_and(|&there| there)
    }

    /// The id of a word.
    pub(super) fn get(&self, word: &[u8]) -> Option<i32> {
        if word.len() <= SHORT { self.get_key(Key::new(word)) } else { self.get_long(word) }
    }

    /// The id of a short word.
    #[inline(always)]
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
