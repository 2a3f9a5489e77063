//! The tokenizer of a file: a fast path where the file is recognised, else the `tokenizers` crate.
//!
//! This file, `pairs`, `frame` and `recognize` alone name the crate. Its stages are called one by one,
//! without its rayon and without building its `Encoding`, which holds seven vectors a text of which we
//! want one. Where characters are asked for and the fast path does not know them, the `Encoding` is built,
//! so that post-processors move the offsets as they do in Hugging Face's own call.
//!
//! The flag to stop is polled between the words of a text. What the crate does with a text whole
//! (normalize, split, build the `Encoding`) cannot be interrupted, so a [`LONG`] text goes to a thread
//! of its own, which is left behind where the call is cancelled: it ends with the step it is in.

use std::path::Path;
use std::sync::Arc;

use tokenizers::{
    Encoding, Model, NormalizedString, OffsetReferential, OffsetType, PaddingDirection,
    PaddingStrategy, PostProcessor, PreTokenizedString, PreTokenizer, TruncationDirection,
    TruncationParams,
};

use crate::parallel::apart;
use crate::text::fast::{Fast, Loan, Stop};
use crate::text::frame::{Frame, Part, push};
use crate::text::recognize;
use crate::text::{Padding, Rows, Tokens, Width};
use crate::{Cancel, Error, Result, Threads};

/// Texts a block: some ten microseconds of sentences, and fine enough for two threads to end together after
/// a few hundred paragraphs.
pub const BLOCK: usize = 8;

/// Bytes of a text that the crate's slowest steps take some 10 ms for; beside them a thread costs nothing.
pub(super) const LONG: usize = 1 << 16;

/// The widest rectangle that a file may ask for: a hostile one must not empty the memory.
const WIDEST: usize = 1 << 20;

/// A tokenizer as its `tokenizer.json` defines it; immutable, so any thread may use it.
#[derive(Debug)]
pub struct Tokenizer {
    json: String,
    pub(super) stages: Arc<Stages>,
    pub(super) limit: Option<TruncationParams>,
    padding: Padding,
}

/// What turns one text into ids; shared with the threads of long texts.
#[derive(Debug)]
pub(super) struct Stages {
    pub(super) all: tokenizers::Tokenizer,
    pub(super) fast: Option<Fast<recognize::Stages>>,
    /// By [`Around`].
    frames: [Frame; 3],
}

/// What the caller wants of a call.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// At most this many ids a row, special tokens among them; `None`: as the file says.
    pub max_tokens: Option<usize>,
    /// Put the file's special tokens around each text.
    pub special_tokens: bool,
    /// Give the characters of each id.
    pub offsets: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self { max_tokens: None, special_tokens: true, offsets: false }
    }
}

/// [`Asked`], held against this tokenizer: how many ids of the text itself may stay, and which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(super) most: usize,
    pub(super) keep: TruncationDirection,
    pub(super) around: Around,
}

/// What comes around the ids of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    /// Nothing: they are half of a pair.
    Nothing,
    /// What the post-processor does without special tokens: most do nothing.
    Bare,
    /// The file's special tokens.
    Special,
}

/// What a thread has on loan from a fast path, for as many texts as it has.
pub(crate) type Worker<'t> = Option<Loan<'t>>;

impl Cut {
    /// The text's ids alone, all of them.
    pub(super) fn of_text(self) -> Self {
        Self { most: usize::MAX, around: Around::Nothing, ..self }
    }

    /// Appends the ids of `text`, as far as they matter; how many there are too many.
    fn encode(
        self,
        (fast, loan): (&Fast<recognize::Stages>, &mut Loan<'_>),
        text: &str,
        ids: &mut Vec<i32>,
        cancel: &Cancel,
    ) -> Result<usize> {
        let first = ids.len();
        let enough = match self.keep {
            TruncationDirection::Right => first.saturating_add(self.most).saturating_add(1),
            TruncationDirection::Left => usize::MAX,
        };
        fast.encode(text, loan.scratch(), ids, Stop::new(enough, cancel))?;
        Ok((ids.len() - first).saturating_sub(self.most))
    }

    /// Appends the ids that stay and the characters of each, spaces at their ends among them; how many were
    /// cut. `None` if only the crate knows.
    pub(super) fn encode_offsets(
        self,
        (fast, loan): (&Fast<recognize::Stages>, &mut Loan<'_>),
        text: &str,
        (ids, offsets): (&mut Vec<i32>, &mut Vec<i64>),
        cancel: &Cancel,
    ) -> Result<Option<usize>> {
        let (first, place) = (ids.len(), offsets.len());
        let over = self.encode((fast, loan), text, ids, cancel)?;
        let walked = match self.keep {
            TruncationDirection::Right => ids.len() - over,
            TruncationDirection::Left => ids.len(),
        };
        if !fast.spans(text, &ids[first..walked], walked == ids.len(), offsets) {
            return Ok(None);
        }
        self.shorten(over, first, ids);
        if let TruncationDirection::Left = self.keep {
            offsets.drain(place..place + 2 * over);
        }
        Ok(Some(over))
    }

    /// Drops `over` of the ids behind `first` from the side that does not stay.
    fn shorten(self, over: usize, first: usize, ids: &mut Vec<i32>) {
        match self.keep {
            TruncationDirection::Right => ids.truncate(ids.len() - over),
            TruncationDirection::Left => drop(ids.drain(first..first + over)),
        }
    }
}

impl Around {
    fn of(special_tokens: bool) -> Self {
        if special_tokens { Self::Special } else { Self::Bare }
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let json = String::from_utf8(bytes)
            .map_err(|e| Error::format(path, format!("not UTF-8, so no tokenizer.json: {e}")))?;
        Self::from_json(json, path)
    }

    /// Takes the text of a `tokenizer.json`; `origin` is what an error names.
    pub fn from_json(json: String, origin: &Path) -> Result<Self> {
        let refuse = |problem: String| {
            Error::format(origin, format!("not a tokenizer.json that can be used: {problem}"))
        };
        let mut stages = parse(&json).map_err(refuse)?;
        let frame = |special| caught(|| Frame::new(&stages, false, special)).map_err(refuse);
        let frames = [Frame(vec![(Part::First, 0)]), frame(false)?, frame(true)?];
        let padding = padding(&stages);
        if padding.wide(0).max(padding.multiple) > WIDEST {
            return Err(refuse(format!("padding to more than {WIDEST} tokens")));
        }
        let limit = stages.get_truncation().cloned();
        if let Some(limit) = &limit {
            let special = frames[Around::Special as usize].added();
            if limit.max_length <= special || limit.stride >= limit.max_length - special {
                let TruncationParams { max_length, stride, .. } = limit;
                return Err(refuse(format!(
                    "truncation to {max_length} tokens with stride {stride} and {special} special \
                     tokens leaves no room for text"
                )));
            }
        }
        stages.with_padding(None);
        stages.with_truncation(None).map_err(|e| refuse(e.to_string()))?;
        let plain = frames.iter().all(Frame::is_plain);
        let fast = recognize::recognize(&stages, &json).filter(|_| plain);
        Ok(Self { json, stages: Arc::new(Stages { all: stages, fast, frames }), limit, padding })
    }

    /// The text that this tokenizer was made from.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// What turns text into ids: the family of the fast path, or "tokenizers" for the crate.
    pub fn engine(&self) -> &'static str {
        self.stages.fast.as_ref().map_or("tokenizers", Fast::name)
    }

    /// How rows are padded: as the file says where the call left the length to the file; where it
    /// gave one, the file's id and side, and no wider than the longest row.
    pub fn padding(&self, asked: Asked) -> Padding {
        match asked.max_tokens {
            None => self.padding,
            Some(_) => Padding { width: Width::Longest, multiple: 1, ..self.padding },
        }
    }

    /// One more than the largest id: the rows that a table of this tokenizer's vectors needs.
    pub fn vocab_size(&self) -> usize {
        let vocab = self.stages.all.get_vocab(true);
        vocab.into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// The id of a token, added tokens first.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.stages.all.token_to_id(token)
    }

    /// The token of an id, added tokens first.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.stages.all.id_to_token(id)
    }

    /// The text of some ids, as the file's decoder joins it.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        caught(|| self.stages.all.decode(ids, skip_special_tokens)).map_err(Error::Tokenizer)
    }

    /// The ids of every text, in order, the same for any number of threads.
    ///
    /// Without `max_tokens` they are Hugging Face's `encode_batch` of the same file less its
    /// padding. Any truncation strategy cuts a single text; an overflow is reported, not returned.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        asked: Asked,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Tokens> {
        let blocks = self.encode_blocks(texts, asked, threads, cancel)?;
        Ok(Tokens::join(blocks, Tokens::empty(asked.offsets)))
    }

    /// The same, as rows that are still to be written into rectangles. No offsets.
    pub fn encode_rows<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        asked: Asked,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Rows> {
        let asked = Asked { offsets: false, ..asked };
        let blocks = self.encode_blocks(texts, asked, threads, cancel)?;
        Ok(Rows::new(blocks, texts.len(), self.padding(asked)))
    }

    /// Rows of no texts, to which those of several calls may be appended.
    pub fn no_rows(&self, asked: Asked) -> Rows {
        Rows::new(Vec::new(), 0, self.padding(asked))
    }

    fn encode_blocks<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        asked: Asked,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Tokens>> {
        let cut = self.cut(asked)?;
        threads.blocks(texts.len(), BLOCK, cancel, |range| {
            let (mut block, mut worker) = (Tokens::empty(asked.offsets), self.worker());
            for (row, text) in texts[range].iter().enumerate() {
                cancel.check()?;
                let text = text.as_ref();
                block.ids.reserve(text.len().min(LONG) / 4);
                let truncated = match &mut block.offsets {
                    None => self.encode(text, cut, &mut worker, &mut block.ids, cancel)?,
                    Some(offsets) => {
                        let rows = (&mut block.ids, offsets);
                        self.encode_offsets(text, cut, &mut worker, rows, cancel)?
                    }
                };
                if truncated {
                    block.truncated.push(row as i64);
                }
                block.starts.push(block.ids.len() as i64);
            }
            Ok(block)
        })
    }

    /// Holds what is asked against the file: its own limit, and the special tokens' share.
    pub(crate) fn cut(&self, asked: Asked) -> Result<Cut> {
        let around = Around::of(asked.special_tokens);
        let special = self.stages.frames[around as usize].added();
        Ok(Cut { most: self.room(asked, special)?, keep: self.keeps(), around })
    }

    /// The side of a text that stays where it is cut.
    pub(super) fn keeps(&self) -> TruncationDirection {
        self.limit.as_ref().map_or(TruncationDirection::Right, |limit| limit.direction)
    }

    /// How many ids the text may have beside so many `special` tokens.
    pub(super) fn room(&self, asked: Asked, special: usize) -> Result<usize> {
        let file = self.limit.as_ref().map(|limit| limit.max_length);
        match asked.max_tokens.or(file) {
            None => Ok(usize::MAX),
            Some(max) if max > special => Ok(max - special),
            Some(max) => {
                let want = format!("more than the {special} special tokens of every row");
                Err(Error::range("max_tokens", want, max))
            }
        }
    }

    /// What a thread needs for its texts.
    pub(crate) fn worker(&self) -> Worker<'_> {
        self.stages.worker()
    }

    /// Appends the ids of `text`; true if it was cut.
    pub(crate) fn encode(
        &self,
        text: &str,
        cut: Cut,
        worker: &mut Worker<'_>,
        ids: &mut Vec<i32>,
        cancel: &Cancel,
    ) -> Result<bool> {
        let polls = |fast: &Fast<_>| fast.polls(text);
        if text.len() < LONG || self.stages.fast.as_ref().is_some_and(polls) {
            return self.stages.encode(text, cut, worker, ids, cancel);
        }
        let (stages, text) = (Arc::clone(&self.stages), text.to_owned());
        let (found, truncated) = apart(cancel, move |cancel| {
            let mut ids = Vec::new();
            let truncated = stages.encode(&text, cut, &mut stages.worker(), &mut ids, cancel)?;
            Ok((ids, truncated))
        })?;
        ids.extend(found);
        Ok(truncated)
    }

    /// The same, with the characters of each id.
    fn encode_offsets(
        &self,
        text: &str,
        cut: Cut,
        worker: &mut Worker<'_>,
        (ids, offsets): (&mut Vec<i32>, &mut Vec<i64>),
        cancel: &Cancel,
    ) -> Result<bool> {
        if text.len() < LONG {
            return self.stages.encode_offsets(text, cut, worker, (ids, offsets), cancel);
        }
        let (stages, text) = (Arc::clone(&self.stages), text.to_owned());
        let (found, places, truncated) = apart(cancel, move |cancel| {
            let (mut ids, mut offsets) = (Vec::new(), Vec::new());
            let (rows, mut worker) = ((&mut ids, &mut offsets), stages.worker());
            let truncated = stages.encode_offsets(&text, cut, &mut worker, rows, cancel)?;
            Ok((ids, offsets, truncated))
        })?;
        ids.extend(found);
        offsets.extend(places);
        Ok(truncated)
    }
}

impl Stages {
    fn frame(&self, cut: Cut) -> &Frame {
        &self.frames[cut.around as usize]
    }

    fn worker(&self) -> Worker<'_> {
        self.fast.as_ref().map(Fast::lend)
    }

    /// Appends the ids of `text`; true if it was cut.
    fn encode(
        &self,
        text: &str,
        cut: Cut,
        worker: &mut Worker<'_>,
        ids: &mut Vec<i32>,
        cancel: &Cancel,
    ) -> Result<bool> {
        match (&self.fast, worker) {
            (Some(fast), Some(loan)) => self.encode_fast((fast, loan), text, cut, ids, cancel),
            _ => self.encode_slow(text, cut, ids, cancel),
        }
    }

    /// The same, by a fast path and what it lent.
    fn encode_fast(
        &self,
        (fast, loan): (&Fast<recognize::Stages>, &mut Loan<'_>),
        text: &str,
        cut: Cut,
        ids: &mut Vec<i32>,
        cancel: &Cancel,
    ) -> Result<bool> {
        let after = self.frame(cut).begin(ids);
        let first = ids.len();
        let over = cut.encode((fast, loan), text, ids, cancel)?;
        cut.shorten(over, first, ids);
        push(after, ids);
        Ok(over > 0)
    }

    /// The same, with the characters of each id; `None`, and nothing, if only the crate knows them.
    fn encode_offsets_fast(
        &self,
        (fast, loan): (&Fast<recognize::Stages>, &mut Loan<'_>),
        text: &str,
        cut: Cut,
        (ids, offsets): (&mut Vec<i32>, &mut Vec<i64>),
        cancel: &Cancel,
    ) -> Result<Option<bool>> {
        let (begun, places) = (ids.len(), offsets.len());
        let after = self.frame(cut).begin(ids);
        let first = ids.len();
        offsets.resize(places + 2 * (first - begun), 0);
        let Some(over) = cut.encode_offsets((fast, loan), text, (ids, offsets), cancel)? else {
            ids.truncate(begun);
            offsets.truncate(places);
            return Ok(None);
        };
        fast.trim(&ids[first..], &mut offsets[places + 2 * (first - begun)..]);
        push(after, ids);
        offsets.resize(places + 2 * (ids.len() - begun), 0);
        Ok(Some(over > 0))
    }

    /// The same, by the crate.
    fn encode_slow(
        &self,
        text: &str,
        cut: Cut,
        ids: &mut Vec<i32>,
        cancel: &Cancel,
    ) -> Result<bool> {
        let pieces = self.tokenize(text, cut, cancel)?;
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::None);
        let tokens = || splits.iter().flat_map(|(_, _, tokens)| tokens.iter().flatten());
        let count = splits.iter().map(|(_, _, tokens)| tokens.as_ref().map_or(0, Vec::len)).sum();
        let skip = match cut.keep {
            TruncationDirection::Left => usize::saturating_sub(count, cut.most),
            TruncationDirection::Right => 0,
        };
        for &(part, _) in &self.frame(cut).0 {
            match part {
                Part::Token(id) => ids.push(signed(id)?),
                _ => {
                    for token in tokens().skip(skip).take(cut.most) {
                        ids.push(signed(token.id)?);
                    }
                }
            }
        }
        Ok(count > cut.most)
    }

    /// The same, with the characters of each id.
    fn encode_offsets(
        &self,
        text: &str,
        cut: Cut,
        worker: &mut Worker<'_>,
        (ids, offsets): (&mut Vec<i32>, &mut Vec<i64>),
        cancel: &Cancel,
    ) -> Result<bool> {
        if let (Some(fast), Some(loan)) = (&self.fast, worker) {
            let rows = (&mut *ids, &mut *offsets);
            if let Some(truncated) =
                self.encode_offsets_fast((fast, loan), text, cut, rows, cancel)?
            {
                return Ok(truncated);
            }
        }
        let pieces = self.tokenize(text, cut, cancel)?;
        cancel.check()?;
        let (encoding, truncated) = caught(|| {
            let encoding = pieces.into_encoding(None, 0, OffsetType::Char)?;
            self.frame_encoding(encoding, cut)
        })
        .map_err(Error::Tokenizer)?;
        append(&encoding, ids, offsets)?;
        Ok(truncated)
    }

    /// Added tokens, normalizer, pre-tokenizer, model. Stops at one token more than may stay, which
    /// tells whether there were more: a megabyte cut to 256 tokens costs little beyond its split.
    pub(super) fn tokenize(
        &self,
        text: &str,
        cut: Cut,
        cancel: &Cancel,
    ) -> Result<PreTokenizedString> {
        let all = &self.all;
        let polled = || cancel.check().map_err(|error| error.to_string());
        let pieces = || {
            let mut pieces =
                all.get_added_vocabulary().extract_and_normalize(all.get_normalizer(), text);
            polled()?;
            if let Some(splitter) = all.get_pre_tokenizer() {
                splitter.pre_tokenize(&mut pieces)?;
            }
            let word = |word: &NormalizedString| {
                polled()?;
                all.get_model().tokenize(word.get())
            };
            match cut.most {
                usize::MAX => pieces.tokenize(word)?,
                most => pieces.tokenize_with_limit(word, most + 1, cut.keep)?,
            }
            Ok(pieces)
        };
        caught(pieces).map_err(|problem| cancel.check().err().unwrap_or(Error::Tokenizer(problem)))
    }

    /// Cuts, then lets the post-processor add its tokens and move the offsets; true if it was cut.
    fn frame_encoding(
        &self,
        mut encoding: Encoding,
        cut: Cut,
    ) -> tokenizers::Result<(Encoding, bool)> {
        let truncated = encoding.len() > cut.most;
        encoding.truncate(cut.most, 0, cut.keep);
        encoding.take_overflowing();
        if let Some(processor) = self.all.get_post_processor() {
            encoding = processor.process(encoding, None, cut.around == Around::Special)?;
        }
        Ok((encoding, truncated))
    }
}

fn parse(json: &str) -> Result<tokenizers::Tokenizer, String> {
    // Of text that is no JSON the crate's decoders would make a panic.
    serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(|e| e.to_string())?;
    caught(|| json.parse())
}

/// What the crate answers, or why it does not: a file whose parts contradict each other (a template
/// with an unknown token, a pattern that matches nothing) makes it panic, here or at the first text.
pub(super) fn caught<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    // Sound: `work` owns what it changes; the crate's caches hold whole entries or none.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err("the definition contradicts itself; its library panicked".into()),
    }
}

fn padding(stages: &tokenizers::Tokenizer) -> Padding {
    stages.get_padding().map_or_else(Padding::default, |asked| Padding {
        id: asked.pad_id.into(),
        type_id: asked.pad_type_id.into(),
        left: matches!(asked.direction, PaddingDirection::Left),
        width: match asked.strategy {
            PaddingStrategy::BatchLongest => Width::Longest,
            PaddingStrategy::Fixed(width) => Width::AtLeast(width),
        },
        multiple: asked.pad_to_multiple_of.unwrap_or(1).max(1),
    })
}

/// Appends the ids of a row and their characters.
pub(super) fn append(
    encoding: &Encoding,
    ids: &mut Vec<i32>,
    offsets: &mut Vec<i64>,
) -> Result<()> {
    for &id in encoding.get_ids() {
        ids.push(signed(id)?);
    }
    offsets.extend(encoding.get_offsets().iter().flat_map(|&(a, b)| [a as i64, b as i64]));
    Ok(())
}

pub(super) fn signed(id: u32) -> Result<i32> {
    i32::try_from(id).map_err(|_| Error::Tokenizer(format!("id {id} does not fit 31 bits")))
}
