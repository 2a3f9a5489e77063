//! Byte-level BPE: text cut into words by a known pattern, words merged from their bytes.
//!
//! Nine words of ten are tokens themselves and lie in one table; what others become is remembered.

use std::borrow::Cow;

use super::classes::{Classes, Classify};
use super::joins::Joins;
use super::merges::{Merges, Symbols};
use super::spans::{Surfaces, Walk};
use super::split::Pattern;
use super::words::Words;
use super::{AHEAD, Scratch, Stages, Stop};
use crate::Result;

/// The model's part of a file, and what stands before it.
pub(in crate::text) struct ByteModel {
    /// Tokens as bytes, by id.
    pub(in crate::text) tokens: Vec<(Vec<u8>, i32)>,
    /// The token of each byte.
    pub(in crate::text) bytes: [i32; 256],
    /// Pairs and what they become, the earliest first.
    pub(in crate::text) merges: Vec<((i32, i32), i32)>,
    /// A word that is a token is that token, whatever its merges say.
    pub(in crate::text) ignore_merges: bool,
    pub(in crate::text) pattern: Pattern,
    /// A space is put before text that begins with none.
    pub(in crate::text) prefix_space: bool,
    /// The normalizer composes characters.
    pub(in crate::text) composes: bool,
    pub(in crate::text) classify: Classify,
}

/// Byte-level BPE.
#[derive(Debug)]
pub(super) struct Bytes {
    /// The words that are one token.
    whole: Words,
    /// Parts of words need not be the token that a whole word would be.
    ignore_merges: bool,
    bytes: [i32; 256],
    merges: Merges,
    joins: Joins,
    classes: Classes,
    pattern: Pattern,
    prefix_space: bool,
    composes: bool,
}

impl Bytes {
    pub(super) fn new(model: &ByteModel) -> Self {
        let merges = Merges::new(&model.merges);
        let (mut symbols, mut ids) = (Symbols::default(), Vec::new());
        let mut is_whole = |token: &[u8], id: i32| {
            ids.clear();
            merges.merge(
                token.iter().map(|&b| model.bytes[usize::from(b)]),
                &mut symbols,
                &mut ids,
            );
            ids == [id]
        };
        let some = model.tokens.iter().filter(|(token, _)| !token.is_empty());
        let whole: Vec<(&[u8], i32)> = some
            .filter(|(token, id)| model.ignore_merges || is_whole(token, *id))
            .map(|(token, id)| (&token[..], *id))
            .collect();
        let tokens = model.tokens.iter().map(|(token, id)| (&token[..], *id));
        Self {
            whole: Words::new(whole.iter().copied()),
            ignore_merges: model.ignore_merges,
            bytes: model.bytes,
            merges,
            joins: Joins::new(&model.merges, tokens),
            classes: Classes::new(model.classify),
            pattern: model.pattern,
            prefix_space: model.prefix_space,
            composes: model.composes,
        }
    }

    /// What the normalizer makes of `text`.
    pub(super) fn normalize<'t>(&self, text: &'t str, stages: &impl Stages) -> Cow<'t, str> {
        match !self.composes || text.is_ascii() || stages.is_composed(text) {
            true => Cow::Borrowed(text),
            false => Cow::Owned(stages.normalize(text)),
        }
    }

    /// The bytes of each token.
    pub(super) fn surfaces(model: &ByteModel) -> Option<Surfaces> {
        Surfaces::new(model.tokens.iter().map(|(token, id)| (&token[..], *id)))
    }

    /// Walks along `text`, which the normalizer leaves as it is.
    pub(super) fn walk(&self, text: &str, walk: &mut Walk<'_>) -> Option<()> {
        if self.prefix_space && !text.starts_with(' ') {
            walk.give(1, 0)?;
        }
        text.chars().enumerate().try_for_each(|(at, c)| walk.give(c.len_utf8(), at))
    }

    /// Appends the ids of what the normalizer made.
    pub(super) fn encode(
        &self,
        text: &str,
        scratch: &mut Scratch,
        ids: &mut Vec<i32>,
        stop: &mut Stop<'_>,
    ) -> Result<()> {
        if !self.prefix_space || text.starts_with(' ') {
            return self.words(text, scratch, ids, stop);
        }
        let mut spaced = std::mem::take(&mut scratch.text);
        spaced.clear();
        spaced.push(' ');
        spaced.push_str(text);
        let done = self.words(&spaced, scratch, ids, stop);
        scratch.text = spaced;
        done
    }

    fn words(
        &self,
        text: &str,
        scratch: &mut Scratch,
        ids: &mut Vec<i32>,
        stop: &mut Stop<'_>,
    ) -> Result<()> {
        let mut at = 0;
        let mut ends = [0; AHEAD];
        while at < text.len() {
            if ids.len() >= stop.at && stop.reached(ids.len())? {
                return Ok(());
            }
            let (mut count, mut end) = (0, at);
            while count < AHEAD && end < text.len() {
                end = self.pattern.end(text, end, &self.classes);
                ends[count] = end;
                count += 1;
            }
            for &end in &ends[..count] {
                let word = &text.as_bytes()[at..end];
                match self.whole.get(word) {
                    Some(id) => ids.push(id),
                    None => self.parts(word, scratch, ids),
                }
                at = end;
            }
        }
        Ok(())
    }

    /// Appends the ids of a word that is more than one token.
    #[inline(never)]
    fn parts(&self, word: &[u8], scratch: &mut Scratch, ids: &mut Vec<i32>) {
        scratch.remembered(word, ids, |scratch, ids| {
            if word.is_ascii() {
                return self.merge(word, scratch, ids);
            }
            self.joins.parts(word, |part| match self.whole.get(part) {
                Some(id) if !self.ignore_merges => ids.push(id),
                _ if part.len() == word.len() => self.merge(part, scratch, ids),
                _ => scratch.remembered(part, ids, |scratch, ids| self.merge(part, scratch, ids)),
            });
        });
    }

    fn merge(&self, part: &[u8], scratch: &mut Scratch, ids: &mut Vec<i32>) {
        let bytes = part.iter().map(|&b| self.bytes[usize::from(b)]);
        self.merges.merge(bytes, &mut scratch.symbols, ids);
    }
}
