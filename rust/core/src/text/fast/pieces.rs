//! SentencePiece BPE: text with marks for its spaces, merged from its characters.
//!
//! Without a pre-tokenizer the model merges a text whole. If no merge has a mark behind another
//! character, which the file says, then none goes past the beginning of a word: the words can be merged
//! by themselves, and remembered.

use std::borrow::Cow;

use super::merges::Merges;
use super::meta::SPACE;
use super::spans::{Surfaces, Walk};
use super::words::Words;
use super::{AHEAD, Scratch, Stop};
use crate::Result;

/// When a mark is put before text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::text) enum Before {
    /// Never.
    Never,
    /// Where it begins with none.
    Unmarked,
    /// Where it begins with none, and nothing of the text comes before it.
    First,
}

impl Before {
    /// Whether a mark is put before `text`, which `begins` the whole or does not.
    fn holds(self, text: &str, begins: bool) -> bool {
        let unmarked = !text.starts_with([' ', '\u{2581}']);
        match self {
            Self::Never => false,
            Self::Unmarked => unmarked,
            Self::First => unmarked && begins,
        }
    }
}

/// The model's part of a file, and how text is cut into words.
pub(in crate::text) struct PieceModel {
    /// The tokens, by id.
    pub(in crate::text) tokens: Vec<(String, i32)>,
    /// The token of each byte, if characters without a token are spelled.
    pub(in crate::text) bytes: Option<[i32; 256]>,
    /// What stands for a character without a token, where none are spelled.
    pub(in crate::text) unknown: i32,
    /// Unknown characters side by side are one token.
    pub(in crate::text) fuse: bool,
    /// Pairs and what they become, the earliest first.
    pub(in crate::text) merges: Vec<((i32, i32), i32)>,
    /// Of two ASCII characters side by side, whether a merge may join them: bit b of row a.
    pub(in crate::text) joins: [u128; 128],
    /// The normalizer makes marks of spaces, and puts one before the text if this is set.
    pub(in crate::text) normalizer: Option<bool>,
    /// The pre-tokenizer makes marks of spaces, and may put one before the text.
    pub(in crate::text) splitter: Option<Before>,
    /// Every mark begins a word, also one behind a mark.
    pub(in crate::text) each: bool,
}

/// SentencePiece BPE.
#[derive(Debug)]
pub(super) struct Pieces {
    /// The words that are one token.
    whole: Words,
    /// Of two ASCII characters side by side, whether a merge ever joins them: bit b of row a.
    joins: [u128; 128],
    /// The tokens of one character.
    chars: Words,
    bytes: Option<[i32; 256]>,
    unknown: i32,
    fuse: bool,
    merges: Merges,
    normalizer: Option<bool>,
    splitter: Option<Before>,
    each: bool,
}

impl Pieces {
    pub(super) fn new(model: &PieceModel) -> Self {
        let single = model.tokens.iter().filter(|(token, _)| token.chars().count() == 1);
        let mut pieces = Self {
            whole: Words::new(std::iter::empty()),
            joins: model.joins,
            chars: Words::new(single.map(|(c, id)| (c.as_bytes(), *id))),
            bytes: model.bytes,
            unknown: model.unknown,
            fuse: model.fuse,
            merges: Merges::new(&model.merges),
            normalizer: model.normalizer,
            splitter: model.splitter,
            each: model.each,
        };
        let (mut scratch, mut ids) = (Scratch::default(), Vec::new());
        let mut is_whole = |token: &str, id: i32| {
            ids.clear();
            pieces.merge(token, &mut scratch, &mut ids);
            ids == [id]
        };
        let some = model.tokens.iter().filter(|(token, _)| !token.is_empty());
        let whole = some.filter(|(token, id)| is_whole(token, *id));
        let whole: Vec<(&[u8], i32)> = whole.map(|(token, id)| (token.as_bytes(), *id)).collect();
        pieces.whole = Words::new(whole.into_iter());
        pieces
    }

    /// The bytes of each token. `None` if merges make tokens that stand for a byte otherwise.
    pub(super) fn surfaces(model: &PieceModel) -> Option<Surfaces> {
        let tokens = model.tokens.iter().map(|(token, id)| (token.as_bytes(), *id));
        let bytes = model.bytes.as_ref().map_or(&[][..], |bytes| bytes);
        if model.merges.iter().any(|(_, made)| bytes.contains(made)) {
            return None;
        }
        let surfaces = Surfaces::new(tokens)?.with(model.unknown, 0);
        Some(bytes.iter().fold(surfaces, |surfaces, &byte| surfaces.with(byte, 1)))
    }

    /// Walks along `text`.
    pub(super) fn walk(&self, text: &str, walk: &mut Walk<'_>) -> Option<()> {
        let splitter = self.splitter.is_some_and(|before| before.holds(text, true));
        if self.normalizer.unwrap_or(splitter) {
            walk.give(SPACE.len(), 0)?;
        }
        text.chars().enumerate().try_for_each(|(at, c)| match c {
            ' ' => walk.give(SPACE.len(), at),
            _ => walk.give(c.len_utf8(), at),
        })
    }

    /// What the normalizer makes of `text`.
    pub(super) fn normalize<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.normalizer {
            None => Cow::Borrowed(text),
            Some(before) => {
                let mut marked = String::new();
                mark(text, before, &mut marked);
                Cow::Owned(marked)
            }
        }
    }

    /// Appends the ids of what the normalizer made of text that `begins` the whole, or does not.
    pub(super) fn encode(
        &self,
        normal: &str,
        begins: bool,
        scratch: &mut Scratch,
        ids: &mut Vec<i32>,
        stop: &mut Stop<'_>,
    ) -> Result<()> {
        let Some(before) = self.splitter else {
            return self.words(normal, scratch, ids, stop);
        };
        let before = before.holds(normal, begins);
        let mut marked = std::mem::take(&mut scratch.text);
        marked.clear();
        mark(normal, before, &mut marked);
        let done = self.words(&marked, scratch, ids, stop);
        scratch.text = marked;
        done
    }

    fn words(
        &self,
        text: &str,
        scratch: &mut Scratch,
        ids: &mut Vec<i32>,
        stop: &mut Stop<'_>,
    ) -> Result<()> {
        let (mut at, mut ends) = (0, [0; AHEAD]);
        while at < text.len() {
            if ids.len() >= stop.at && stop.reached(ids.len())? {
                return Ok(());
            }
            let (mut count, mut end) = (0, at);
            while count < AHEAD && end < text.len() {
                end = self.end(text, end);
                ends[count] = end;
                count += 1;
            }
            for &end in &ends[..count] {
                self.word(&text[at..end], scratch, ids);
                at = end;
            }
        }
        Ok(())
    }

    /// The end of the word at `at`: the next mark behind something else, or behind anything; or where no
    /// merge joins what stands there.
    fn end(&self, text: &str, at: usize) -> usize {
        let (bytes, mark) = (text.as_bytes(), SPACE.as_bytes());
        let mut end = at;
        while bytes[end..].starts_with(mark) {
            end += mark.len();
            if self.each {
                break;
            }
        }
        let mut before = 128;
        while end < bytes.len() {
            let b = bytes[end];
            if b < 128 && before < 128 && self.joins[usize::from(before)] >> b & 1 == 0 {
                return end;
            }
            if b == mark[0] && bytes[end..].starts_with(mark) {
                return end;
            }
            before = b;
            end += 1;
        }
        end
    }

    /// Appends the ids of a word.
    fn word(&self, word: &str, scratch: &mut Scratch, ids: &mut Vec<i32>) {
        if let Some(id) = self.whole.get(word.as_bytes()) {
            ids.push(id);
            return;
        }
        scratch.remembered(word.as_bytes(), ids, |scratch, ids| self.merge(word, scratch, ids));
    }

    /// Appends what a word becomes.
    fn merge(&self, word: &str, scratch: &mut Scratch, ids: &mut Vec<i32>) {
        let Scratch { ids: smallest, symbols, .. } = scratch;
        smallest.clear();
        self.spell(word, smallest);
        self.merges.merge(smallest.iter().copied(), symbols, ids);
    }

    /// Appends the tokens of the characters of a word, of their bytes, or the unknown.
    fn spell(&self, word: &str, ids: &mut Vec<i32>) {
        let mut after_unknown = false;
        for c in word.chars() {
            let mut utf8 = [0; 4];
            let utf8 = c.encode_utf8(&mut utf8).as_bytes();
            let unknown = match (self.chars.get(utf8), &self.bytes) {
                (Some(id), _) => {
                    ids.push(id);
                    false
                }
                (None, Some(bytes)) => {
                    ids.extend(utf8.iter().map(|&b| bytes[usize::from(b)]));
                    false
                }
                (None, None) => {
                    if !(after_unknown && self.fuse) {
                        ids.push(self.unknown);
                    }
                    true
                }
            };
            after_unknown = unknown;
        }
    }
}

/// Appends `text` with marks for its spaces, and perhaps one before it.
fn mark(text: &str, before: bool, marked: &mut String) {
    marked.reserve(text.len() + text.len() / 2 + SPACE.len());
    if before {
        marked.push_str(SPACE);
    }
    for (i, word) in text.split(' ').enumerate() {
        if i > 0 {
            marked.push_str(SPACE);
        }
        marked.push_str(word);
    }
}
