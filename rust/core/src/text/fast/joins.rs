//! Where a word of byte-level BPE may be cut: between two characters that no merge joins.
//!
//! The first token that goes past the end of a character is merged of one that ends there and one that
//! begins there. Where no merge has such a pair, what stands before and what stands behind are merged by
//! themselves. Languages without spaces have words of dozens of characters, which fall into short ones.

use std::collections::HashMap;

use super::chars::char_len;
use super::words::hash_number;

/// Bits for each pair of characters that a merge joins; more mistake fewer for such a pair.
const BITS: usize = 32;

/// The pairs of characters that some merge joins, and some that none does.
#[derive(Debug)]
pub(super) struct Joins {
    bits: Vec<u64>,
    /// How many bytes of the characters before and behind are in the two tokens, 0 for all of them: the
    /// forms that merges have.
    forms: Vec<(u32, u32)>,
}

/// Some bytes of a character, the first the lowest, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Part {
    bytes: u32,
    len: u32,
}

impl Part {
    fn of(bytes: &[u8]) -> Self {
        let number = bytes.iter().rev().fold(0, |sum, &b| sum << 8 | u32::from(b));
        Self { bytes: number, len: bytes.len() as u32 }
    }

    /// The last `len` bytes; all for 0; `None` if those are no part.
    fn last(self, len: u32) -> Option<u32> {
        match len {
            0 => Some(self.bytes),
            len if len < self.len => Some(self.bytes >> (8 * (self.len - len))),
            _ => None,
        }
    }

    /// The first `len` bytes; all for 0; `None` if those are no part.
    fn first(self, len: u32) -> Option<u32> {
        match len {
            0 => Some(self.bytes),
            len if len < self.len => Some(self.bytes & ((1 << (8 * len)) - 1)),
            _ => None,
        }
    }
}

impl Joins {
    /// Of `merges`, pairs of ids, and the bytes of the tokens.
    pub(super) fn new<'t>(
        merges: &[((i32, i32), i32)],
        tokens: impl Iterator<Item = (&'t [u8], i32)>,
    ) -> Self {
        let bytes: HashMap<i32, &[u8]> = tokens.map(|(token, id)| (id, token)).collect();
        let pairs: Vec<_> = merges
            .iter()
            .filter_map(|((left, right), _)| {
                Some((ending(bytes.get(left)?)?, beginning(bytes.get(right)?)?))
            })
            .collect();
        let room = (pairs.len() * BITS).next_power_of_two().max(64);
        let mut joins = Self { bits: vec![0; room / 64], forms: Vec::new() };
        for ((left, suffix), (right, prefix)) in pairs {
            let at = joins.place(left, right);
            joins.bits[at / 64] |= 1 << (at % 64);
            if !joins.forms.contains(&(suffix, prefix)) {
                joins.forms.push((suffix, prefix));
            }
        }
        joins
    }

    fn place(&self, left: u32, right: u32) -> usize {
        let pair = u64::from(left) << 32 | u64::from(right);
        hash_number(pair) as usize & (self.bits.len() * 64 - 1)
    }

    /// Whether a merge may join a token that ends with `left` to one that begins with `right`.
    fn join(&self, left: Part, right: Part) -> bool {
        self.forms.iter().any(|&(suffix, prefix)| {
            let (Some(left), Some(right)) = (left.last(suffix), right.first(prefix)) else {
                return false;
            };
            let at = self.place(left, right);
            self.bits[at / 64] >> (at % 64) & 1 == 1
        })
    }

    /// Gives the parts of `word`, which is UTF-8, that are merged by themselves.
    #[inline]
    pub(super) fn parts<'w>(&self, word: &'w [u8], mut each: impl FnMut(&'w [u8])) {
        let (mut start, mut at) = (0, 0);
        let mut before: Option<Part> = None;
        while at < word.len() {
            let end = word.len().min(at + char_len(word[at]));
            let part = Part::of(&word[at..end]);
            if before.is_some_and(|before| !self.join(before, part)) {
                each(&word[start..at]);
                start = at;
            }
            (before, at) = (Some(part), end);
        }
        each(&word[start..]);
    }
}

/// What a token has of the last character before its end, and the number of these bytes, 0 for all of
/// them; `None` if it does not end with a character.
fn ending(token: &[u8]) -> Option<(u32, u32)> {
    let last = token.iter().rev().take(4).position(|&b| !continues(b));
    match last {
        Some(more) => {
            let whole = &token[token.len() - more - 1..];
            (char_len(whole[0]) == whole.len()).then(|| (Part::of(whole).bytes, 0))
        }
        None if token.len() < 4 => Some((Part::of(token).bytes, token.len() as u32)),
        None => None,
    }
}

/// What a token has of the character at its beginning, and the number of these bytes, 0 for all of them;
/// `None` if it does not begin with a character.
fn beginning(token: &[u8]) -> Option<(u32, u32)> {
    let len = char_len(*token.first().filter(|&&b| !continues(b))?);
    match token.get(..len) {
        Some(whole) => Some((Part::of(whole).bytes, 0)),
        None => Some((Part::of(token).bytes, token.len() as u32)),
    }
}

fn continues(b: u8) -> bool {
    b & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::merges::{Merges, Symbols};
    use super::*;

    const CHARS: [char; 8] = ['a', 'b', 'é', 'è', '中', '世', '𝄞', '𝄢'];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn parts_merge_as_the_word_does(
            picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..60),
            texts in prop::collection::vec(prop::collection::vec(0..CHARS.len(), 1..30), 1..8),
        ) {
            // Merges of what texts hold, so that they meet: any two neighbours that were not merged yet.
            let spell = |text: &Vec<usize>| text.iter().map(|&i| CHARS[i]).collect::<String>();
            let all: Vec<String> = texts.iter().map(spell).collect();
            let mut tokens: Vec<Vec<u8>> = (0..=255).map(|b| vec![b]).collect();
            let mut merges = Vec::new();
            for (text, at) in picks {
                let table = Merges::new(&merges);
                let mut ids = Vec::new();
                let bytes = all[text.index(all.len())].bytes().map(i32::from);
                table.merge(bytes, &mut Symbols::default(), &mut ids);
                if ids.len() > 1 {
                    let at = at.index(ids.len() - 1);
                    let (left, right) = (ids[at], ids[at + 1]);
                    merges.push(((left, right), tokens.len() as i32));
                    tokens.push([&tokens[left as usize][..], &tokens[right as usize]].concat());
                }
            }
            let joins = Joins::new(&merges, tokens.iter().map(|token| &token[..]).zip(0..));
            let (table, mut symbols) = (Merges::new(&merges), Symbols::default());
            for text in &all {
                let (mut whole, mut cut, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
                table.merge(text.bytes().map(i32::from), &mut symbols, &mut whole);
                joins.parts(text.as_bytes(), |part| {
                    bytes.extend_from_slice(part);
                    table.merge(part.iter().map(|&b| i32::from(b)), &mut symbols, &mut cut);
                });
                prop_assert_eq!(&whole, &cut);
                prop_assert_eq!(&bytes, text.as_bytes());
            }
        }
    }

    #[test]
    fn words_fall_where_nothing_joins_them() {
        let tokens = ["中", "世", "中世", "x"].map(str::as_bytes);
        let joins = Joins::new(&[((0, 1), 2)], tokens.into_iter().zip(0..));
        let mut parts = Vec::new();
        joins
            .parts("中世世x中世".as_bytes(), |part| parts.push(String::from_utf8_lossy(part)));
        assert_eq!(parts, ["中世", "世", "x", "中世"]);
    }
}
