//! Fast paths for the tokenizers that nearly every encoder has, with the ids of the `tokenizers` crate.
//!
//! A file is recognised by the structure of what the crate read from it (`text/recognize.rs`), never
//! by its name, and only if all of it is understood. What depends on Unicode tables is read off the
//! crate's own stages, so that there is nothing that could differ from them.

mod added;
mod bytes;
mod cache;
mod chars;
mod classes;
mod joins;
mod merges;
mod meta;
mod pieces;
mod prefixes;
mod spans;
mod split;
mod trie;
mod unigram;
mod wordpiece;
mod words;

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard};

use added::Added;
use bytes::Bytes;
use cache::{Cache, Place};
use merges::Symbols;
use pieces::Pieces;
use spans::{Surfaces, Walk};
use unigram::{Best, Unigram};
use wordpiece::WordPiece;

pub(super) use added::Rule;
pub(super) use bytes::ByteModel;
pub(super) use chars::Stages;
pub(super) use classes::Class;
pub(super) use meta::Meta;
pub(super) use pieces::{Before, PieceModel};
pub(super) use split::Pattern;
pub(super) use unigram::UnigramModel;
pub(super) use wordpiece::Vocabulary;

use crate::{Cancel, Result, parallel};

/// Ids between two looks at the flag to stop: well below a millisecond of work.
const POLL: usize = 4096;

/// Words that are cut before they are looked up, so that the look-ups do not wait for each other.
const AHEAD: usize = 32;

/// The most caches that are kept while nobody uses them.
const KEPT: usize = 16;

/// Looks at a lock that is held for some ten nanoseconds.
const LOOKS: usize = 1000;

/// A file that was recognised.
#[derive(Debug)]
pub(super) struct Fast<S> {
    stages: S,
    lane: Lane,
    raw: Option<Added>,
    normalized: Option<Added>,
    /// Unless only the crate knows the characters of ids.
    spans: Option<Spans>,
    scratches: Mutex<Vec<Scratch>>,
}

/// What it takes to know the characters of each id.
#[derive(Debug)]
struct Spans {
    surfaces: Surfaces,
    ends: Ends,
}

/// What a post-processor does to spaces at the ends of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// Nothing: they are among the token's characters.
    Kept,
    /// They are none of them.
    Trimmed {
        /// But for a single one, since it was put before the text.
        prefix_space: bool,
    },
}

/// The added tokens of a file.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Looked for in the text.
    pub(super) raw: Vec<(String, Rule)>,
    /// Looked for in what the normalizer made of it.
    pub(super) normalized: Vec<(String, Rule)>,
}

/// What comes between added tokens: one variant a family.
#[derive(Debug)]
enum Lane {
    WordPiece(Box<WordPiece>),
    Bytes(Box<Bytes>),
    Unigram(Box<Unigram>),
    Pieces(Box<Pieces>),
}

/// What a thread needs for a text; lent to one at a time, so that nothing is shared or locked.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Who had it last, and has it again: its cache lies beside another core, else.
    seat: Option<usize>,
    cache: Cache,
    word: Vec<u8>,
    text: String,
    symbols: Symbols,
    ids: Vec<i32>,
    best: Vec<Best>,
}

/// A [`Scratch`] on loan: it goes back where it came from when this is dropped.
#[derive(Debug)]
pub(crate) struct Loan<'f> {
    kept: &'f Mutex<Vec<Scratch>>,
    scratch: Option<Scratch>,
}

impl Loan<'_> {
    pub(super) fn scratch(&mut self) -> &mut Scratch {
        self.scratch.as_mut().expect("it goes back when this is dropped")
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let (Some(scratch), Some(mut kept)) = (self.scratch.take(), look(self.kept))
            && kept.len() < KEPT
        {
            kept.push(scratch);
        }
    }
}

/// What is kept, unless somebody has it for long: a forked child may find the lock taken by a thread
/// that it does not have.
fn look(kept: &Mutex<Vec<Scratch>>) -> Option<MutexGuard<'_, Vec<Scratch>>> {
    (0..LOOKS).find_map(|_| {
        std::hint::spin_loop();
        kept.try_lock().ok()
    })
}

impl Scratch {
    /// Appends what `word` becomes: the ids that are remembered, else what `make` appends.
    #[inline]
    fn remembered(
        &mut self,
        word: &[u8],
        ids: &mut Vec<i32>,
        make: impl FnOnce(&mut Self, &mut Vec<i32>),
    ) {
        let place = Place::of(word);
        if let Some(known) = place.as_ref().and_then(|place| self.cache.get(place)) {
            ids.extend_from_slice(known);
            return;
        }
        let first = ids.len();
        make(self, ids);
        if let Some(place) = &place {
            self.cache.put(place, &ids[first..]);
        }
    }
}

/// When to stop: enough ids, or the caller's wish, looked at every [`POLL`] ids.
pub(super) struct Stop<'c> {
    at: usize,
    enough: usize,
    cancel: &'c Cancel,
}

impl<'c> Stop<'c> {
    /// Stops once there are `enough` ids.
    pub(super) fn new(enough: usize, cancel: &'c Cancel) -> Self {
        Self { at: 0, enough, cancel }
    }

    /// Whether there are enough ids, of which there are `count`.
    #[cold]
    fn reached(&mut self, count: usize) -> Result<bool> {
        self.cancel.check()?;
        self.at = self.enough.min(count + POLL);
        Ok(count >= self.enough)
    }
}

impl<S: Stages> Fast<S> {
    /// A WordPiece behind `stages`, which treat each character by itself.
    pub(super) fn word_piece(stages: S, vocabulary: &Vocabulary, tokens: Tokens) -> Option<Self> {
        let lane = WordPiece::new(&stages, vocabulary)?;
        let surfaces = lane.surfaces(vocabulary);
        Self::new(stages, Lane::WordPiece(Box::new(lane)), tokens, surfaces)
    }

    /// A byte-level BPE.
    pub(super) fn bytes(stages: S, model: &ByteModel, tokens: Tokens) -> Option<Self> {
        let surfaces = Bytes::surfaces(model);
        Self::new(stages, Lane::Bytes(Box::new(Bytes::new(model))), tokens, surfaces)
    }

    /// A Unigram behind a normalizer that takes grapheme by grapheme.
    pub(super) fn unigram(stages: S, model: UnigramModel, tokens: Tokens) -> Option<Self> {
        let surfaces = Unigram::surfaces(&model);
        let lane = Lane::Unigram(Box::new(Unigram::new(&stages, model)?));
        Self::new(stages, lane, tokens, surfaces)
    }

    /// A BPE of SentencePiece.
    pub(super) fn pieces(stages: S, model: &PieceModel, tokens: Tokens) -> Option<Self> {
        let surfaces = Pieces::surfaces(model);
        Self::new(stages, Lane::Pieces(Box::new(Pieces::new(model))), tokens, surfaces)
    }

    fn new(
        stages: S,
        lane: Lane,
        Tokens { raw, normalized }: Tokens,
        surfaces: Option<Surfaces>,
    ) -> Option<Self> {
        let added = |tokens: Vec<(String, Rule)>| match tokens.is_empty() {
            true => Some(None),
            false => Added::new(tokens).map(Some),
        };
        let (raw, normalized) = (added(raw)?, added(normalized)?);
        let spans = surfaces.map(|surfaces| Spans { surfaces, ends: Ends::Kept });
        Some(Self { stages, lane, raw, normalized, spans, scratches: Mutex::default() })
    }

    /// The same before a post-processor that does this to spaces at the ends of tokens; `None` if that is
    /// not known.
    pub(super) fn before(mut self, ends: Option<Ends>) -> Self {
        let spells = matches!(self.lane, Lane::Bytes(_));
        let ends = ends.filter(|&ends| ends == Ends::Kept || spells);
        self.spans = self.spans.zip(ends).map(|(spans, ends)| Spans { ends, ..spans });
        self
    }

    /// What the family is called.
    pub(super) fn name(&self) -> &'static str {
        match self.lane {
            Lane::WordPiece(_) => "wordpiece",
            Lane::Bytes(_) => "byte-level bpe",
            Lane::Unigram(_) => "unigram",
            Lane::Pieces(_) => "sentencepiece bpe",
        }
    }

    /// Whether the flag to stop is looked at often enough in `text`, however long: no step takes it
    /// whole, no word of it is merged whole and nothing of it goes to the crate.
    pub(super) fn polls(&self, text: &str) -> bool {
        matches!(self.lane, Lane::WordPiece(_)) && self.normalized.is_none() && text.is_ascii()
    }

    /// Something to work with for as many texts as a thread has.
    pub(super) fn lend(&self) -> Loan<'_> {
        let seat = parallel::seat();
        let scratch = look(&self.scratches).and_then(|mut kept| {
            let own = kept.iter().rposition(|scratch| scratch.seat == seat);
            own.or(kept.len().checked_sub(1)).map(|at| kept.swap_remove(at))
        });
        let scratch = Scratch { seat, ..scratch.unwrap_or_default() };
        Loan { kept: &self.scratches, scratch: Some(scratch) }
    }

    /// Appends the ids of `text`, at least as many as are `enough` if it has them.
    pub(super) fn encode(
        &self,
        text: &str,
        scratch: &mut Scratch,
        ids: &mut Vec<i32>,
        mut stop: Stop<'_>,
    ) -> Result<()> {
        if text.is_empty() {
            return Ok(()); // nothing is put before nothing
        }
        let Some(raw) = self.raw.as_ref().filter(|raw| !raw.absent(text)) else {
            return self.part(text, true, scratch, ids, &mut stop);
        };
        raw.parts(text, ids, |part, ids| {
            self.part(part, part.as_ptr() == text.as_ptr(), scratch, ids, &mut stop)
        })
    }

    /// The same of a part without tokens that are found before it is normalized; it `begins` the text
    /// or does not.
    fn part(
        &self,
        text: &str,
        begins: bool,
        scratch: &mut Scratch,
        ids: &mut Vec<i32>,
        stop: &mut Stop<'_>,
    ) -> Result<()> {
        let tokens = self.normalized.as_ref();
        match &self.lane {
            Lane::WordPiece(lane) => {
                if let Some(tokens) = tokens {
                    let normal = lane.normalize(text, &self.stages);
                    if !tokens.absent(&normal) {
                        return tokens.parts(&normal, ids, |part, ids| {
                            lane.encode_normal(part, &self.stages, ids);
                            Ok(())
                        });
                    }
                }
                lane.encode(text, &self.stages, scratch, ids, stop)
            }
            Lane::Unigram(lane) => {
                if let Some(tokens) = tokens {
                    let normal = lane.normalize(text, &self.stages);
                    if !tokens.absent(&normal) {
                        return tokens.parts(&normal, ids, |part, ids| {
                            lane.encode_normal(part, scratch, ids);
                            Ok(())
                        });
                    }
                }
                lane.encode(text, &self.stages, scratch, ids, stop)
            }
            Lane::Bytes(lane) => {
                let normal = lane.normalize(text, &self.stages);
                match tokens.filter(|tokens| !tokens.absent(&normal)) {
                    None => lane.encode(&normal, scratch, ids, stop),
                    Some(tokens) => tokens
                        .parts(&normal, ids, |part, ids| lane.encode(part, scratch, ids, stop)),
                }
            }
            Lane::Pieces(lane) => {
                let normal = lane.normalize(text);
                match tokens.filter(|tokens| !tokens.absent(&normal)) {
                    None => lane.encode(&normal, begins, scratch, ids, stop),
                    Some(tokens) => tokens.parts(&normal, ids, |part, ids| {
                        let begins = begins && part.as_ptr() == normal.as_ptr();
                        lane.encode(part, begins, scratch, ids, stop)
                    }),
                }
            }
        }
    }

    /// Appends the first character of each of `ids`, which `text` begins with, and the one after the last;
    /// false, and nothing, if only the crate knows them. `all`: the text has no more.
    pub(super) fn spans(&self, text: &str, ids: &[i32], all: bool, spans: &mut Vec<i64>) -> bool {
        let Some(Spans { surfaces, .. }) = &self.spans else { return false };
        let first = spans.len();
        let mut walk = Walk::new(ids, surfaces, spans);
        let along = self.walk(text, &mut walk);
        let done = walk.is_done() && (along.is_some() || !all);
        if !done {
            spans.truncate(first);
        }
        done
    }

    /// Walks along a text without added tokens, until nobody takes its characters.
    fn walk(&self, text: &str, walk: &mut Walk<'_>) -> Option<()> {
        let holds = |tokens: &Option<Added>, text: &str| {
            tokens.as_ref().is_some_and(|tokens| !tokens.absent(text))
        };
        let normal = match &self.lane {
            _ if text.is_empty() => return Some(()), // nothing is put before nothing
            _ if holds(&self.raw, text) => return walk.astray(),
            Lane::WordPiece(lane) => {
                self.normalized.as_ref().map(|_| lane.normalize(text, &self.stages))
            }
            Lane::Unigram(lane) => {
                self.normalized.as_ref().map(|_| lane.normalize(text, &self.stages))
            }
            Lane::Pieces(lane) => self.normalized.as_ref().map(|_| lane.normalize(text)),
            Lane::Bytes(lane) => Some(lane.normalize(text, &self.stages)),
        };
        if normal.as_ref().is_some_and(|normal| holds(&self.normalized, normal)) {
            return walk.astray();
        }
        match &self.lane {
            Lane::WordPiece(lane) => lane.walk(text, &self.stages, walk),
            Lane::Unigram(lane) => lane.walk(text, &self.stages, walk),
            Lane::Pieces(lane) => lane.walk(text, walk),
            Lane::Bytes(_) if matches!(normal, Some(Cow::Owned(_))) => walk.astray(),
            Lane::Bytes(lane) => lane.walk(text, walk),
        }
    }

    /// Moves `spans` of `ids` as the post-processor does.
    pub(super) fn trim(&self, ids: &[i32], spans: &mut [i64]) {
        if let Some(Spans { surfaces, ends: Ends::Trimmed { prefix_space } }) = &self.spans {
            surfaces.trim(ids, spans, *prefix_space);
        }
    }
}
