//! Unigram: the pieces of a word whose scores have the largest sum.
//!
//! Kudo, "Subword regularization" (2018), as SentencePiece decodes it: one pass over the ends of
//! pieces. Words repeat, so most are remembered.

use std::borrow::Cow;

use super::meta::{Meta, SPACE};
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

/// Unigram behind a normalizer that leaves plain text as it is.
#[derive(Debug)]
pub(super) struct Unigram {
    trie: Trie,
    scores: Vec<f64>,
    unknown: i32,
    unknown_score: f64,
    bytes: Vec<Option<i32>>,
    meta: Meta,
    plain: [bool; 256],
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
        let unknown_score = worst - PENALTY;
        Some(Self { trie, scores, unknown, unknown_score, bytes, meta, plain })
    }

    /// What the normalizer makes of `text`.
    pub(super) fn normalize<'t>(&self, text: &'t str, stages: &impl Stages) -> Cow<'t, str> {
        match text.bytes().all(|b| self.plain[usize::from(b)]) {
            true => Cow::Borrowed(text),
            false => Cow::Owned(stages.normalize(text)),
        }
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
            let (end, plain) = self.chunk(text.as_bytes(), at);
            self.encode_chunk(&text[at..end], plain, begins, stages, scratch, ids);
            if end == text.len() {
                return Ok(());
            }
            at = end + 1;
            begins = false;
        }
    }

    /// The end of the chunk at `at`, and whether it is plain: up to a space between plain characters,
    /// which the normalizer cannot join with anything.
    fn chunk(&self, bytes: &[u8], at: usize) -> (usize, bool) {
        let mut plain = true;
        for (i, &b) in bytes.iter().enumerate().skip(at) {
            if b == b' ' && (i == 0 || self.plain[usize::from(bytes[i - 1])]) {
                let next = bytes.get(i + 1);
                if self.plain[usize::from(b)] && next.is_none_or(|&b| self.plain[usize::from(b)]) {
                    return (i, plain);
                }
            }
            plain &= self.plain[usize::from(b)];
        }
        (bytes.len(), plain)
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
            let Scratch { word, best, .. } = scratch;
            let each = |word: &[u8]| self.best_pieces(word, best, ids);
            match plain {
                true => self.meta.words(chunk, begins, word, each),
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

/// The bytes of the character that begins with `first`.
fn char_len(first: u8) -> usize {
    match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

const _: () = assert!(SPACE.len() == 3, "the mark of a space");
