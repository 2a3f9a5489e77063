//! WordPiece: a table of whole words, the longest piece first where a word is not in it.
//!
//! Schuster and Nakajima, "Japanese and Korean voice search" (2012), as BERT applies it. Text is
//! almost all letters, digits, spaces and punctuation of ASCII, so those take a lane of their own:
//! eight bytes are classed and lower-cased at once, and a word of up to sixteen is looked up as two
//! numbers. A run up to the next space with anything else in it is taken character by character by the
//! tables of [`Chars`], and one with a character that depends on its neighbours goes to the stages.

use std::borrow::Cow;

use super::chars::{self, Chars, Fate, SPELLED, Stages};
use super::prefixes::Prefixes;
use super::spans::{Surfaces, Walk};
use super::words::{Key, SHORT, number};
use super::{AHEAD, Scratch, Stop};
use crate::Result;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// What a byte is to the fast lane: not negative, the id of the word that it is by itself; else...
type Class = i32;
/// ... it ends a word and is gone;
const SPACE: Class = -1;
/// ... a letter or a digit;
const WORD: Class = -2;
/// ... the run that it is in takes the slow lane.
const OTHER: Class = -3;

/// A word of the fast lane, empty or not, and what ends it.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    key: Key,
    start: usize,
    end: Class,
}

/// The model's part of a file.
pub(in crate::text) struct Vocabulary {
    pub(in crate::text) tokens: Vec<(String, i32)>,
    pub(in crate::text) prefix: String,
    pub(in crate::text) unknown: i32,
    pub(in crate::text) most_chars: usize,
}

/// WordPiece behind stages that treat each character by itself.
#[derive(Debug)]
pub(super) struct WordPiece {
    chars: Chars,
    /// What the normalizer makes of each character.
    normal: Chars<Option<[char; SPELLED]>>,
    classes: [Class; 256],
    lowercase: bool,
    pieces: Pieces,
}

/// The words of a vocabulary and the pieces that continue one.
#[derive(Debug)]
struct Pieces {
    first: Prefixes,
    next: Prefixes,
    unknown: i32,
    most_chars: usize,
}

impl WordPiece {
    /// `None` if the stages do something to letters, digits or spaces that the fast lane does not.
    pub(super) fn new(stages: &impl Stages, vocabulary: &Vocabulary) -> Option<Self> {
        let chars = Chars::new();
        let fate = |b: u8| chars.get(char::from(b), |c| chars::fate(c, stages));
        let mark = |b: u8| b.is_ascii_punctuation() && fate(b) == Fate::Alone(char::from(b));
        let pieces = Pieces::new(vocabulary, mark);
        let lowercase = fate(b'A') == Fate::Keep('a');
        let mut classes = [OTHER; 256];
        for b in 0..128u8 {
            let kept = if lowercase { b.to_ascii_lowercase() } else { b };
            classes[usize::from(b)] = match fate(b) {
                Fate::Keep(k) if b.is_ascii_alphanumeric() && k == char::from(kept) => WORD,
                _ if b.is_ascii_alphanumeric() => return None,
                Fate::Break => SPACE,
                _ if mark(b) => pieces.only(char::from(b)),
                _ => OTHER,
            };
        }
        if classes[usize::from(b' ')] != SPACE {
            return None;
        }
        Some(Self { chars, normal: Chars::new(), classes, lowercase, pieces })
    }

    /// Appends the ids of `text`.
    pub(super) fn encode(
        &self,
        text: &str,
        stages: &impl Stages,
        scratch: &mut Scratch,
        ids: &mut Vec<i32>,
        stop: &mut Stop<'_>,
    ) -> Result<()> {
        let mut cuts = [Cut::default(); AHEAD];
        let mut at = 0;
        while at < text.len() {
            if ids.len() >= stop.at && stop.reached(ids.len())? {
                return Ok(());
            }
            let (count, end) = self.cut(text.as_bytes(), at, &mut cuts);
            for cut in &cuts[..count] {
                self.look_up(cut, text.as_bytes(), scratch, ids);
            }
            at = end;
            if count < AHEAD && at < text.len() {
                at = self.run(text, at, stages, scratch, ids);
            }
        }
        Ok(())
    }

    /// Cuts words from `at` on, up to the first that takes the slow lane: how many, and where they end.
    fn cut(&self, bytes: &[u8], mut at: usize, cuts: &mut [Cut; AHEAD]) -> (usize, usize) {
        let mut count = 0;
        while count < AHEAD && at < bytes.len() {
            let (key, end) = self.word(bytes, at);
            let class = bytes.get(end).map_or(SPACE, |&b| self.classes[usize::from(b)]);
            if class < SPACE {
                break;
            }
            cuts[count] = Cut { key, start: at, end: class };
            count += usize::from(key.len > 0 || class >= 0);
            at = end + 1;
        }
        (count, at)
    }

    #[inline(always)]
    fn look_up(&self, cut: &Cut, bytes: &[u8], scratch: &mut Scratch, ids: &mut Vec<i32>) {
        let Cut { key, start, end } = *cut;
        if key.len > 0 {
            let first = self.pieces.first.words();
            let id = if key.len <= 8 { first.get_eight(key.lo) } else { first.get_key(key) };
            match id {
                Some(id) => ids.push(id),
                None => self.miss(&bytes[start..start + key.len as usize], scratch, ids),
            }
        }
        if end >= 0 {
            ids.push(end);
        }
    }

    /// The bytes of each token. `None` if the unknown token could be a word, too.
    pub(super) fn surfaces(&self, vocabulary: &Vocabulary) -> Option<Surfaces> {
        let Vocabulary { tokens, prefix, unknown, .. } = vocabulary;
        let mark = |c: char| c.is_ascii() && self.classes[c as usize] >= 0;
        let mut names = tokens.iter().filter(|(_, id)| id == unknown).map(|(token, _)| token);
        if !names.all(|name| name.chars().count() > 1 && name.contains(mark)) {
            return None;
        }
        let tokens = tokens.iter().map(|(token, id)| (token.as_bytes(), *id));
        Some(Surfaces::new(tokens)?.of_words(prefix.len(), *unknown))
    }

    /// Walks along `text`.
    pub(super) fn walk(&self, text: &str, stages: &impl Stages, walk: &mut Walk<'_>) -> Option<()> {
        for (at, c) in text.chars().enumerate() {
            match self.chars.get(c, |c| chars::fate(c, stages)) {
                Fate::Keep(c) => walk.give(c.len_utf8(), at)?,
                Fate::Spell(chars) => {
                    let chars = chars.into_iter().filter(|&c| c != '\0');
                    walk.give(chars.map(char::len_utf8).sum(), at)?;
                }
                Fate::Alone(c) => {
                    walk.end_word()?;
                    walk.give(c.len_utf8(), at)?;
                    walk.end_word()?;
                }
                Fate::Break => walk.end_word()?,
                Fate::Drop => {}
                Fate::Odd => return walk.astray(),
            }
        }
        walk.end_word()
    }

    /// What the normalizer makes of `text`.
    pub(super) fn normalize<'t>(&self, text: &'t str, stages: &impl Stages) -> Cow<'t, str> {
        let plain = |&b: &u8| match self.classes[usize::from(b)] {
            SPACE => b == b' ',
            class => class != OTHER,
        };
        match text.as_bytes().iter().all(plain) {
            true if self.lowercase => Cow::Owned(text.to_ascii_lowercase()),
            true => Cow::Borrowed(text),
            false => Cow::Owned(
                self.normalize_characters(text, stages).unwrap_or_else(|| stages.normalize(text)),
            ),
        }
    }

    /// The same, character by character; `None` if one depends on its neighbours.
    fn normalize_characters(&self, text: &str, stages: &impl Stages) -> Option<String> {
        let mut normal = String::with_capacity(text.len());
        for c in text.chars() {
            let made = self.normal.get(c, |c| chars::normal(c, stages))?;
            normal.extend(made.into_iter().filter(|&c| c != '\0'));
        }
        Some(normal)
    }

    /// Appends the ids of what the normalizer made.
    pub(super) fn encode_normal(&self, normal: &str, stages: &impl Stages, ids: &mut Vec<i32>) {
        for word in stages.split(normal) {
            self.pieces.encode(word.as_bytes(), ids);
        }
    }

    /// The letters and digits at `at`, at most [`SHORT`], in the case that the stages give them, and
    /// where they end.
    #[inline(always)]
    fn word(&self, bytes: &[u8], at: usize) -> (Key, usize) {
        let (lo, len) = self.eight(bytes, at);
        if len < 8 {
            return (Key { lo, hi: 0, len: len as u32 }, at + len);
        }
        let (hi, more) = self.eight(bytes, at + 8);
        (Key { lo, hi, len: (8 + more) as u32 }, at + 8 + more)
    }

    /// The letters and digits among the next 8 bytes, up to the first that is none.
    #[inline(always)]
    fn eight(&self, bytes: &[u8], at: usize) -> (u64, usize) {
        let x = match bytes[at.min(bytes.len())..].first_chunk::<8>() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => number(&bytes[at.min(bytes.len())..]),
        };
        let low = x & !HIGH;
        // The high bit of each byte that is at least `c`: no byte carries into the next.
        let least = |low: u64, c: u8| (low + u64::from(0x80 - c) * ONES) & HIGH;
        let folded = low | (0x20 * ONES);
        let letter = least(folded, b'a') & !least(folded, b'z' + 1);
        let digit = least(low, b'0') & !least(low, b'9' + 1);
        let other = (!(letter | digit) | x) & HIGH;
        let len = (other.trailing_zeros() / 8) as usize;
        let upper = letter & !(low << 2);
        let cased = if self.lowercase { low | (upper >> 2) } else { low };
        let kept = if len == 8 { cased } else { cased & ((1 << (8 * len)) - 1) };
        (kept, len)
    }

    /// Appends the ids of the run from `start` to the next space, and says where it ends.
    #[cold]
    fn run(
        &self,
        text: &str,
        start: usize,
        stages: &impl Stages,
        scratch: &mut Scratch,
        ids: &mut Vec<i32>,
    ) -> usize {
        let bytes = &text.as_bytes()[start..];
        let space = |&b: &u8| self.classes[usize::from(b)] == SPACE;
        let run = &text[start..start + bytes.iter().position(space).unwrap_or(bytes.len())];
        scratch.remembered(run.as_bytes(), ids, |scratch, ids| {
            let first = ids.len();
            if self.characters(run, stages, &mut scratch.word, ids).is_none() {
                ids.truncate(first);
                for word in stages.words(run) {
                    self.pieces.encode(word.as_bytes(), ids);
                }
            }
        });
        start + run.len()
    }

    /// Appends the ids of `run`, character by character; `None` if one depends on its neighbours.
    fn characters(
        &self,
        run: &str,
        stages: &impl Stages,
        word: &mut Vec<u8>,
        ids: &mut Vec<i32>,
    ) -> Option<()> {
        word.clear();
        for c in run.chars() {
            let fate = self.chars.get(c, |c| chars::fate(c, stages));
            let mut keep = |c: char| {
                word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            };
            match fate {
                Fate::Keep(c) => keep(c),
                Fate::Spell(chars) => chars.into_iter().filter(|&c| c != '\0').for_each(keep),
                Fate::Drop => {}
                Fate::Break | Fate::Alone(_) => {
                    self.pieces.encode(word, ids);
                    word.clear();
                    if let Fate::Alone(c) = fate {
                        ids.push(self.pieces.only(c));
                    }
                }
                Fate::Odd => return None,
            }
        }
        self.pieces.encode(word, ids);
        Some(())
    }

    /// Appends the ids of a word of letters and digits that is not in the table.
    #[cold]
    fn miss(&self, word: &[u8], scratch: &mut Scratch, ids: &mut Vec<i32>) {
        scratch.remembered(word, ids, |scratch, ids| {
            scratch.word.clear();
            scratch.word.extend_from_slice(word);
            if self.lowercase {
                scratch.word.make_ascii_lowercase();
            }
            self.pieces.encode(&scratch.word, ids);
        });
    }
}

impl Pieces {
    /// No word of several characters holds a `mark`.
    fn new(vocabulary: &Vocabulary, mark: impl Fn(u8) -> bool) -> Self {
        let Vocabulary { tokens, prefix, unknown, most_chars } = vocabulary;
        let all = tokens.iter().map(|(token, id)| (token.as_bytes(), *id));
        let next = all.clone().filter_map(|(t, id)| Some((t.strip_prefix(prefix.as_bytes())?, id)));
        let some = |(token, _): &(&[u8], i32)| !token.is_empty();
        // So "##ing" is none, and need not be in the way of those that are.
        let can_be = |(t, _): &(&[u8], i32)| t.len() == 1 || !t.iter().any(|&b| mark(b));
        let first = all.filter(can_be);
        Self {
            first: Prefixes::new(first.filter(some)),
            next: Prefixes::new(next.filter(some)),
            unknown: *unknown,
            most_chars: *most_chars,
        }
    }

    /// The id of a word of one character.
    fn only(&self, c: char) -> i32 {
        if self.most_chars == 0 {
            return self.unknown;
        }
        self.first.words().get(c.encode_utf8(&mut [0; 4]).as_bytes()).unwrap_or(self.unknown)
    }

    /// Appends the ids of a word: the longest piece that begins it, then the longest that continues
    /// it, and so on; the unknown token alone if nothing does, or the word is too long.
    fn encode(&self, word: &[u8], ids: &mut Vec<i32>) {
        if word.is_empty() {
            return;
        }
        let begun = ids.len();
        let starts_char = |&&b: &&u8| b & 0xc0 != 0x80;
        let mut rest = word;
        let mut table = &self.first;
        if word.len() > self.most_chars && word.iter().filter(starts_char).count() > self.most_chars
        {
            ids.push(self.unknown);
            return;
        }
        while !rest.is_empty() {
            let Some((len, id)) = table.longest(rest) else {
                ids.truncate(begun);
                ids.push(self.unknown);
                return;
            };
            ids.push(id);
            rest = &rest[len..];
            table = &self.next;
        }
    }
}

const _: () = assert!(SHORT == 16, "two numbers of eight bytes");
