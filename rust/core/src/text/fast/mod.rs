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
mod split;
mod trie;
mod unigram;
mod wordpiece;
mod words;

use std::sync::{Mutex, MutexGuard};

use added::Added;
use bytes::Bytes;
use cache::{Cache, Place};
use merges::Symbols;
use pieces::Pieces;
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
    scratches: Mutex<Vec<Scratch>>,
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
        let lane = Lane::WordPiece(Box::new(WordPiece::new(&stages, vocabulary)?));
        Self::new(stages, lane, tokens)
    }

    /// A byte-level BPE.
    pub(super) fn bytes(stages: S, model: &ByteModel, tokens: Tokens) -> Option<Self> {
        Self::new(stages, Lane::Bytes(Box::new(Bytes::new(model))), tokens)
    }

    /// A Unigram behind a normalizer that takes grapheme by grapheme.
    pub(super) fn unigram(stages: S, model: UnigramModel, tokens: Tokens) -> Option<Self> {
        let lane = Lane::Unigram(Box::new(Unigram::new(&stages, model)?));
        Self::new(stages, lane, tokens)
    }

    /// A BPE of SentencePiece.
    pub(super) fn pieces(stages: S, model: &PieceModel, tokens: Tokens) -> Option<Self> {
        Self::new(stages, Lane::Pieces(Box::new(Pieces::new(model))), tokens)
    }

    fn new(stages: S, lane: Lane, Tokens { raw, normalized }: Tokens) -> Option<Self> {
        let added = |tokens: Vec<(String, Rule)>| match tokens.is_empty() {
            true => Some(None),
            false => Added::new(tokens).map(Some),
        };
        let (raw, normalized) = (added(raw)?, added(normalized)?);
        Some(Self { stages, lane, raw, normalized, scratches: Mutex::default() })
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
}
