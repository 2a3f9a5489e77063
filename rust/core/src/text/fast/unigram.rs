//! Unigram: the pieces of a word whose scores have the largest sum.
//!
//! Kudo, "Subword regularization" (2018), as SentencePiece decodes it: one pass over the ends of
//! pieces. Words repeat, so most are remembered.

use std::borrow::Cow;

use super::chars::{Chars, SPELLED, char_len, spelled};
use super::meta::{Meta, SPACE};
use super::spans::{Surfaces, Walk};
use super::trie::Trie;
use super::{Scratch, Stages, Stop};
use crate::Result;

/// How much worse an unknown character is than the worst piece.
const PENALTY: f64 = 10.0;

/// The model's part of a file, and how text is cut into words.
pub(in crate::text) struct UnigramModel {
    /// Pieces, none of them empty, and their scores; the place of each is its id.
    pub(in crate::text) pieces: Vec<(String, f64)>,
    pub(in crate::text) unknown: i32,
    /// The piece of each byte, where what is unknown is spelled.
    pub(in crate::text) bytes: Vec<Option<i32>>,
    pub(in crate::text) meta: Meta,
}

/// Unigram behind a normalizer that takes grapheme by grapheme.
#[derive(Debug)]
pub(super) struct Unigram {
    trie: Trie,
    scores: Vec<f64>,
    unknown: i32,
    unknown_score: f64,
    bytes: Vec<Option<i32>>,
    meta: Meta,
    /// The bytes of ASCII that the normalizer leaves as they are.
    plain: [bool; 256],
    chars: Chars<Known>,
}

/// What is known of a character.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// What the normalizer makes of it; `None` if that depends on its neighbours.
    becomes: Option<[char; SPELLED]>,
    /// A space before it is a grapheme of its own,
    opens: bool,
    /// and so is one behind it.
    closes: bool,
}

impl Known {
    fn new(c: char, stages: &impl Stages) -> Self {
        let alone = stages.falls_apart(&format!(" {c}{c} "));
        let single = alone && c != '\r'; // \r and \n are one
        Self {
            becomes: single.then(|| spelled(&stages.normalize(&c.to_string()))).flatten(),
            opens: alone || stages.falls_apart(&format!(" {c}")),
            closes: alone || stages.falls_apart(&format!("{c} ")),
        }
    }
}

/// The best way to the end of a piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    score: f64,
    /// Where the last piece begins; [`NOWHERE`] until there is a way.
    from: usize,
    id: i32,
}

const NOWHERE: usize = usize::MAX;

impl Unigram {
    /// `None` if there are too many pieces.
    pub(super) fn new(stages: &impl Stages, model: UnigramModel) -> Option<Self> {
        let UnigramModel { pieces, unknown, bytes, meta } = model;
        let words = pieces.iter().enumerate().map(|(id, (piece, _))| (piece.as_bytes(), id as i32));
        let trie = Trie::new(words)?;
        let scores: Vec<f64> = pieces.iter().map(|&(_, score)| score).collect();
        let worst = scores.iter().fold(f64::INFINITY, |a, &b| if b < a { b } else { a });
        let plain = std::array::from_fn(|b| {
            let c = char::from(b as u8);
            matches!(c, ' '..='~') && stages.normalize(&c.to_string()) == c.to_string()
        });
        let (unknown_score, chars) = (worst - PENALTY, Chars::new());
        Some(Self { trie, scores, unknown, unknown_score, bytes, meta, plain, chars })
    }

    /// The bytes of each piece; of those that stand for what is unknown they depend on the text.
    pub(super) fn surfaces(model: &UnigramModel) -> Option<Surfaces> {
        let pieces = model.pieces.iter().map(|(piece, _)| piece.as_bytes()).zip(0..);
        let unknown = model.bytes.iter().flatten().chain([&model.unknown]);
        Some(unknown.fold(Surfaces::new(pieces)?, |surfaces, &id| surfaces.with(id, 0)))
    }

    /// Walks along `text`.
    pub(super) fn walk(&self, text: &str, stages: &impl Stages, walk: &mut Walk<'_>) -> Option<()> {
        let mut within = false;
        let mut give = |c: char, at: usize, walk: &mut Walk<'_>| {
            let begins = !std::mem::replace(&mut within, true);
            let marked = matches!(c, ' ' | '\u{2581}');
            match self.meta {
                Meta::Split if c.is_whitespace() => {
                    within = false;
                    return Some(());
                }
                Meta::Split | Meta::Mark { before: true } if begins && !marked => {
                    walk.give(SPACE.len(), at)?;
                }
                _ => {}
            }
            walk.give(if c == ' ' { SPACE.len() } else { c.len_utf8() }, at)
        };
        if !text.chars().all(|c| self.is_plain(c) || self.stays(c, stages)) {
            let mut origins = stages.origins(text).into_iter();
            return origins.try_for_each(|(c, at)| give(c, at, walk));
        }
        for (at, c) in text.chars().enumerate() {
            match self.is_plain(c) {
                true => give(c, at, walk)?,
                false => {
                    let made = self.known(c, stages).becomes?;
                    made.into_iter().filter(|&c| c != '\0').try_for_each(|c| give(c, at, walk))?;
                }
            }
        }
        Some(())
    }

    fn is_plain(&self, c: char) -> bool {
        c.is_ascii() && self.plain[c as usize]
    }

    /// Whether something becomes of `c`, whatever stands beside it.
    fn stays(&self, c: char, stages: &impl Stages) -> bool {
        self.known(c, stages).becomes.is_some_and(|[first, ..]| first != '\0')
    }

    /// What the normalizer makes of `text`.
    pub(super) fn normalize<'t>(&self, text: &'t str, stages: &impl Stages) -> Cow<'t, str> {
        if text.bytes().all(|b| self.plain[usize::from(b)]) {
            return Cow::Borrowed(text);
        }
        let mut normal = String::with_capacity(text.len());
        match self.spell_out(text, stages, &mut normal) {
            Some(()) => Cow::Owned(normal),
            None => Cow::Owned(stages.normalize(text)),
        }
    }

    /// Appends what the normalizer makes of `text`; `None` if a character depends on its neighbours.
    fn spell_out(&self, text: &str, stages: &impl Stages, out: &mut String) -> Option<()> {
        for c in text.chars() {
            match self.is_plain(c) {
                true => out.push(c),
                false => out.extend(self.known(c, stages).becomes?.iter().filter(|&&c| c != '\0')),
            }
        }
        Some(())
    }

    fn known(&self, c: char, stages: &impl Stages) -> Known {
        self.chars.get(c, |c| Known::new(c, stages))
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
        let mut at = 0;
        let mut begins = self.meta != Meta::Split; // there all words are alike
        loop {
            if ids.len() >= stop.at && stop.reached(ids.len())? {
                return Ok(());
            }
            let (end, plain) = self.chunk(text, at, stages);
            self.encode_chunk(&text[at..end], plain, begins, stages, scratch, ids);
            if end == text.len() {
                return Ok(());
            }
            at = end + 1;
            begins = false;
        }
    }

    /// The end of the chunk at `at`, and whether it is plain: up to a space that is a grapheme of its own,
    /// which the normalizer cannot join with anything.
    fn chunk(&self, text: &str, at: usize, stages: &impl Stages) -> (usize, bool) {
        let (bytes, mut plain, mut closes) = (text.as_bytes(), true, true);
        let mut i = at;
        while let Some(&b) = bytes.get(i) {
            if self.plain[usize::from(b)] {
                if b == b' ' && closes && self.opens(text, i + 1, stages) {
                    return (i, plain);
                }
                (closes, i) = (true, i + 1);
                continue;
            }
            let Some(c) = text[i..].chars().next() else { break };
            (plain, closes, i) = (false, self.known(c, stages).closes, i + c.len_utf8());
        }
        (bytes.len(), plain)
    }

    /// Whether a space before `at` is a grapheme that ends there.
    fn opens(&self, text: &str, at: usize, stages: &impl Stages) -> bool {
        match text.as_bytes().get(at) {
            Some(&b) if !self.plain[usize::from(b)] => {
                text[at..].chars().next().is_none_or(|c| self.known(c, stages).opens)
            }
            _ => true,
        }
    }

    /// Appends the ids of a chunk that `begins` the text or comes after a space.
    fn encode_chunk(
        &self,
        chunk: &str,
        plain: bool,
        begins: bool,
        stages: &impl Stages,
        scratch: &mut Scratch,
        ids: &mut Vec<i32>,
    ) {
        let make = |scratch: &mut Scratch, ids: &mut Vec<i32>| {
            let Scratch { word, best, text, .. } = scratch;
            let each = |word: &[u8]| self.best_pieces(word, best, ids);
            text.clear();
            match plain || self.spell_out(chunk, stages, text).is_some() {
                true if plain => self.meta.words(chunk, begins, word, each),
                true => self.meta.words(text, begins, word, each),
                false => self.meta.words(&stages.normalize(chunk), begins, word, each),
            }
        };
        match begins {
            // At the beginning of a text the same chunk may become something else.
            true => make(scratch, ids),
            false => scratch.remembered(chunk.as_bytes(), ids, make),
        }
    }

    /// Appends the ids of what the normalizer made.
    pub(super) fn encode_normal(&self, normal: &str, scratch: &mut Scratch, ids: &mut Vec<i32>) {
        let Scratch { word, best, .. } = scratch;
        self.meta.words(normal, true, word, |word| self.best_pieces(word, best, ids));
    }

    /// Appends the ids of the pieces of a word whose scores have the largest sum.
    fn best_pieces(&self, word: &[u8], best: &mut Vec<Best>, ids: &mut Vec<i32>) {
        best.clear();
        best.resize(word.len() + 1, Best { score: 0.0, from: NOWHERE, id: 0 });
        let mut at = 0;
        while at < word.len() {
            let so_far = best[at].score;
            let char_len = char_len(word[at]);
            let mut single = false;
            let mut offer = |len: usize, score: f64, id: i32| {
                let end = &mut best[at + len];
                let score = score + so_far;
                if end.from == NOWHERE || score > end.score {
                    *end = Best { score, from: at, id };
                }
            };
            self.trie.prefixes(&word[at..], |len, id| {
                single |= len == char_len;
                offer(len, self.scores[id as usize], id);
            });
            if !single {
                offer(char_len, self.unknown_score, self.unknown);
            }
            at += char_len;
        }
        self.collect(word, best, ids);
    }

    /// Follows the best way back from the end of `word`; unknown pieces side by side are one.
    fn collect(&self, word: &[u8], best: &[Best], ids: &mut Vec<i32>) {
        let first = ids.len();
        let mut end = word.len();
        while end > 0 {
            let Best { mut from, id, .. } = best[end];
            if id != self.unknown {
                ids.push(id);
            } else {
                while from > 0 && best[from].id == self.unknown {
                    from = best[from].from;
                }
                self.spell(&word[from..end], ids);
            }
            end = from;
        }
        ids[first..].reverse();
    }

    /// Appends the ids of what is unknown, last first: a piece after all, its bytes, or the unknown.
    fn spell(&self, unknown: &[u8], ids: &mut Vec<i32>) {
        let first = ids.len();
        if let Some(id) = self.trie.get(unknown) {
            ids.push(id);
            return;
        }
        for &b in unknown.iter().rev() {
            match self.bytes.get(usize::from(b)) {
                Some(&Some(id)) => ids.push(id),
                _ => {
                    ids.truncate(first);
                    ids.push(self.unknown);
                    return;
                }
            }
        }
    }
}

const _: () = assert!(SPACE.len() == 3, "the mark of a space");
