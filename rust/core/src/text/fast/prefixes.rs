//! The longest word that begins a text: a table of words behind a filter of their hashes.

use super::words::{Key, SHORT, Words, hash, hash_eight, number};

/// Bits of the filter for each word: of the prefixes that are no words, one in ten or fewer is looked up.
const BITS: usize = 8;

/// Words, to be found at the beginning of texts.
///
/// Nearly all prefixes of a text are no words, and each of them would be looked for in a table that lies
/// beyond the second-level cache. A bit at the hash of every word says so from within that cache.
#[derive(Debug)]
pub(super) struct Prefixes {
    words: Words,
    filter: Vec<u64>,
    /// Whether there is a word of so many bytes: no others are hashed, however long one word is.
    lengths: Vec<bool>,
}

impl Prefixes {
    /// Those of `words`, none of them empty or given twice.
    pub(super) fn new<'w>(words: impl Iterator<Item = (&'w [u8], i32)> + Clone) -> Self {
        let bits = (words.clone().count() * BITS).next_power_of_two().max(64);
        let longest = words.clone().map(|(word, _)| word.len()).max().unwrap_or(0);
        let (filter, lengths) = (vec![0; bits / 64], vec![false; longest + 1]);
        let mut found = Self { words: Words::new(words.clone()), filter, lengths };
        for (word, _) in words {
            found.lengths[word.len()] = true;
            let (at, bit) = found.place(hash_prefix(word));
            found.filter[at] |= bit;
        }
        found
    }

    /// The words.
    #[inline(always)]
    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    /// The longest word that begins `text`, and its length.
    pub(super) fn longest(&self, text: &[u8]) -> Option<(usize, i32)> {
        let most = text.len().min(self.lengths.len() - 1);
        let few = most.min(8);
        for len in (few + 1..=most).rev().filter(|&len| self.lengths[len]) {
            let word = &text[..len];
            if let Some(id) = self.may(hash_prefix(word)).then(|| self.words.get(word)).flatten() {
                return Some((len, id));
            }
        }
        // The low bytes of one number are all the shorter prefixes.
        let (lo, zero) = (number(&text[..few]), text[..few].contains(&0));
        for len in (1..=few).rev() {
            let word = lo & (u64::MAX >> (64 - 8 * len));
            if !self.may(hash_eight(word)) {
                continue;
            }
            let id = if zero { self.words.get(&text[..len]) } else { self.words.get_eight(word) };
            if let Some(id) = id {
                return Some((len, id));
            }
        }
        None
    }

    /// Whether a word may have this hash.
    #[inline(always)]
    fn may(&self, hash: u64) -> bool {
        let (at, bit) = self.place(hash);
        self.filter[at] & bit != 0
    }

    /// By the upper bits, for the tables take the lower ones.
    #[inline(always)]
    fn place(&self, hash: u64) -> (usize, u64) {
        ((hash >> 38) as usize & (self.filter.len() - 1), 1 << (hash >> 32 & 63))
    }
}

/// The hash of a word; of one with a zero byte, that of any with the same bytes before zeros.
fn hash_prefix(word: &[u8]) -> u64 {
    match word.len() {
        ..=8 => hash_eight(number(word)),
        9..=SHORT => Key::new(word).hash(),
        _ => hash(word),
    }
}
