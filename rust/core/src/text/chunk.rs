//! Long documents as windows of tokens that end where sentences do.
//!
//! ```text
//! parts <- the sentences of the text, those too long for a window cut into lines, words, characters
//! at <- 0
//! while parts are left from `at` on:
//!     take as many parts from `at` as a row holds beside the prefix, counted by encoding the row
//!     if none fits: cut the first part further
//!     if the last sentence is not whole and the rest is half a row: leave it to the next window
//!     at <- as far back as the overlap allows, but so that the next window ends later than this
//! ```
//!
//! Tokens of a part by itself guess where a window ends; what a row holds is known from encoding the row.

use std::ops::Range;

use crate::text::tokenizer::{Cut, Tokenizer, Worker};
use crate::text::{Asked, bounds};
use crate::{Cancel, Error, Result, Threads};

/// Documents a block: each is work enough.
const BLOCK: usize = 4;

/// The windows of some documents, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunks {
    /// Which document each is of.
    pub documents: Vec<i64>,
    /// First character and the one after the last of each, by code points of the document.
    pub spans: Vec<i64>,
    /// Ids of each window's row, prefix and special tokens among them.
    pub tokens: Vec<i64>,
    /// For each document, the code points of its prefix that stand before its windows.
    pub prefixes: Vec<i64>,
}

/// How documents are cut.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// The most ids a row may have.
    pub max_tokens: usize,
    /// About how many of them may be the last of the window before.
    pub overlap: usize,
}

/// A token in the unit of [`Part::weight`]: parts of words weigh less than one.
const TOKEN: usize = 1024;

/// A run of text that is cut only where no window holds it.
#[derive(Debug, Clone)]
struct Part {
    range: Range<usize>,
    /// About how many ids, by the [`TOKEN`].
    weight: usize,
    /// A sentence begins here.
    opens: bool,
}

/// A document under way.
struct Document<'a> {
    tokenizer: &'a Tokenizer,
    text: &'a str,
    windows: Windows,
    cut: Cut,
    /// The prefix, and behind it the text that is counted.
    row: String,
    prefix: usize,
    ids: Vec<i32>,
    worker: Worker<'a>,
    cancel: &'a Cancel,
}

impl Tokenizer {
    /// Windows of all `texts`, each of at most so many tokens behind its document's prefix.
    ///
    /// Every character is in a window, and every document has one. A prefix of more than half a row is
    /// cut at a word. Refuses a row without room for one of the characters.
    pub fn chunk<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        prefixes: &[T],
        windows: Windows,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Chunks> {
        if !prefixes.is_empty() && prefixes.len() != texts.len() {
            return Err(Error::Length { what: "prefixes", want: texts.len(), got: prefixes.len() });
        }
        if windows.overlap * 2 > windows.max_tokens {
            let want = format!("at most half of max_tokens, {}", windows.max_tokens);
            return Err(Error::range("overlap", want, windows.overlap));
        }
        let asked = Asked { max_tokens: Some(windows.max_tokens), ..Asked::default() };
        let cut = self.cut(asked)?;
        let blocks = threads.blocks(texts.len(), BLOCK, cancel, |range| {
            let mut chunks = Chunks::default();
            for i in range {
                let row = prefixes.get(i).map_or("", AsRef::as_ref).to_owned();
                let (text, ids, worker) = (texts[i].as_ref(), Vec::new(), self.worker());
                let document = Document {
                    tokenizer: self,
                    text,
                    windows,
                    cut,
                    row,
                    prefix: 0,
                    ids,
                    worker,
                    cancel,
                };
                document.chunk(i, &mut chunks)?;
            }
            Ok(chunks)
        })?;
        Ok(blocks.into_iter().fold(Chunks::default(), Chunks::and))
    }
}

impl Document<'_> {
    /// Appends the windows of the document with the number `number`.
    fn chunk(mut self, number: usize, chunks: &mut Chunks) -> Result<()> {
        self.shorten_prefix()?;
        chunks.prefixes.push(self.row.chars().count() as i64);
        let most = self.windows.max_tokens;
        let room = most.saturating_sub(self.count(0..0)?) * TOKEN;
        let mut parts = self.parts(room)?;
        let mut chars = Chars { text: self.text, byte: 0, char: 0 };
        let (mut at, mut done) = (0, 0);
        loop {
            self.cancel.check()?;
            let mut end = self.longest(&parts, at, room)?;
            if end <= done && at < done {
                at += 1; // the overlap leaves no room for what is new
                continue;
            }
            if end == at && at < parts.len() {
                self.cut_part(&mut parts, at, number)?;
                continue;
            }
            let mut tokens = None;
            if let Some(sooner) = sentence_end(&parts, at, done, end, room) {
                // Less text may have more ids: what goes may have made all of it one unknown word.
                tokens = Some(self.count(span(&parts, at, sooner))?).filter(|&n| n <= most);
                end = if tokens.is_some() { sooner } else { end };
            }
            let range = span(&parts, at, end);
            let start = chars.seek(range.start);
            chunks.documents.push(number as i64);
            chunks.spans.extend([start, start + chars.until(range.end)]);
            chunks.tokens.push(tokens.map_or_else(|| self.count(range), Ok)? as i64);
            if end == parts.len() {
                return Ok(());
            }
            done = end;
            at = self.overlap(&mut parts, at, end);
        }
    }

    /// Leaves of the prefix as many words as half a row holds.
    fn shorten_prefix(&mut self) -> Result<()> {
        let prefix = std::mem::take(&mut self.row);
        let half = self.windows.max_tokens / 2;
        let mut fits = |text: &str| -> Result<bool> {
            self.ids.clear();
            let over = self.tokenizer.encode(
                text,
                self.cut,
                &mut self.worker,
                &mut self.ids,
                self.cancel,
            )?;
            Ok(!over && self.ids.len() <= half)
        };
        let mut kept = prefix.len();
        if !fits(&prefix)? {
            let words: Vec<usize> = bounds::words(&prefix).collect();
            let (mut low, mut high) = (0, words.len());
            while low + 1 < high {
                let middle = low.midpoint(high);
                if fits(&prefix[..words[middle]])? { low = middle } else { high = middle }
            }
            kept = words[low];
        }
        self.row.push_str(&prefix[..kept]);
        self.prefix = kept;
        Ok(())
    }

    /// The ids of a row with this text behind the prefix; one more than there may be for any more.
    fn count(&mut self, range: Range<usize>) -> Result<usize> {
        self.row.truncate(self.prefix);
        self.row.push_str(&self.text[range]);
        self.ids.clear();
        let over = self.tokenizer.encode(
            &self.row,
            self.cut,
            &mut self.worker,
            &mut self.ids,
            self.cancel,
        )?;
        Ok(if over { self.windows.max_tokens + 1 } else { self.ids.len() })
    }

    /// The sentences, and the parts of those that no row has room for.
    fn parts(&mut self, room: usize) -> Result<Vec<Part>> {
        let mut done = Vec::new();
        let mut open: Vec<Part> = Vec::new();
        for range in bounds::sentences(self.text) {
            self.ids.clear();
            let sentence = self.text[range.clone()].trim_end();
            self.tokenizer.encode(
                sentence,
                self.cut.of_text(),
                &mut self.worker,
                &mut self.ids,
                self.cancel,
            )?;
            open.push(Part { range, weight: self.ids.len() * TOKEN, opens: true });
            while let Some(part) = open.pop() {
                let parts = if part.weight > room { part.cut(self.text) } else { None };
                match parts {
                    Some(parts) => open.extend(parts.into_iter().rev()),
                    None => done.push(part),
                }
            }
        }
        Ok(done)
    }

    /// The end of the most parts from `at` on that a row has room for.
    ///
    /// Their weights say where to begin; from there on the steps grow until the end is passed.
    fn longest(&mut self, parts: &[Part], at: usize, room: usize) -> Result<usize> {
        let (mut low, mut high) = (at, parts.len() + 1);
        let mut weight = 0;
        let heavy = |part: &Part| {
            weight += part.weight;
            weight > room
        };
        let fit = parts[at..].iter().position(heavy).unwrap_or(parts.len() - at);
        let (mut probe, mut step) = (at + fit.max(1), 1);
        while low + 1 < high {
            let half = (high - low) / 2;
            if self.count(span(parts, at, probe))? <= self.windows.max_tokens {
                low = probe;
                probe = low + step.min(((high - low) / 2).max(1));
            } else {
                high = probe;
                probe = high - step.min(half.max(1)).min(high - low - 1).max(1);
            }
            step *= 2;
        }
        Ok(low)
    }

    /// Cuts a part that no row has room for.
    fn cut_part(&self, parts: &mut Vec<Part>, at: usize, number: usize) -> Result<()> {
        let Some(smaller) = parts[at].cut(self.text) else {
            let want = format!("room for each character of document {number}");
            return Err(Error::range("max_tokens", want, self.windows.max_tokens));
        };
        parts.splice(at..=at, smaller);
        Ok(())
    }

    /// Where the window after `at..end` begins: with a sentence if the overlap has room for one, else
    /// with a part or a word of the last.
    fn overlap(&self, parts: &mut [Part], at: usize, end: usize) -> usize {
        let room = self.windows.overlap * TOKEN;
        let (mut back, mut weight) = (end, 0);
        while back > at + 1 && weight + parts[back - 1].weight <= room {
            back -= 1;
            weight += parts[back].weight;
        }
        if let Some(sentence) = (back..end).find(|&i| parts[i].opens) {
            return sentence;
        }
        let last = &mut parts[end - 1];
        if back < end || room == 0 {
            return back;
        }
        let share = |start: usize| last.weight * (last.range.len() - start) / last.range.len();
        match bounds::words(&self.text[last.range.clone()]).find(|&start| share(start) <= room) {
            Some(start) if start > 0 => {
                let range = last.range.start + start..last.range.end;
                *last = Part { weight: share(start), range, opens: false };
                end - 1
            }
            _ => end,
        }
    }
}

impl Part {
    /// Its parts, with their shares of its weight by their bytes.
    fn cut(&self, text: &str) -> Option<Vec<Self>> {
        let Self { range, weight, opens } = self;
        let part = |(i, part): (usize, Range<usize>)| Self {
            weight: (weight * part.len()).div_ceil(range.len()),
            range: range.start + part.start..range.start + part.end,
            opens: *opens && i == 0,
        };
        Some(bounds::parts(&text[range.clone()])?.into_iter().enumerate().map(part).collect())
    }
}

/// The text of some parts, which lie side by side.
fn span(parts: &[Part], at: usize, end: usize) -> Range<usize> {
    if at == end { 0..0 } else { parts[at].range.start..parts[end - 1].range.end }
}

/// The end of the last whole sentence of a window that ends inside another, if that is new and leaves the
/// window half full.
fn sentence_end(parts: &[Part], at: usize, done: usize, end: usize, room: usize) -> Option<usize> {
    if parts.get(end).is_none_or(|next| next.opens) {
        return None;
    }
    let sooner = (at.max(done) + 1..end).rev().find(|&i| parts[i].opens)?;
    let weight: usize = parts[at..sooner].iter().map(|part| part.weight).sum();
    (weight * 2 >= room).then_some(sooner)
}

impl Chunks {
    /// These windows, then those of `more`.
    fn and(mut self, more: Self) -> Self {
        self.documents.extend(more.documents);
        self.spans.extend(more.spans);
        self.tokens.extend(more.tokens);
        self.prefixes.extend(more.prefixes);
        self
    }
}

/// A place in a text, by bytes and by code points.
struct Chars<'t> {
    text: &'t str,
    byte: usize,
    char: i64,
}

impl Chars<'_> {
    /// Goes on to `byte`; the code points before it.
    fn seek(&mut self, byte: usize) -> i64 {
        self.char += self.until(byte);
        self.byte = byte;
        self.char
    }

    /// The code points from here to `byte`.
    fn until(&self, byte: usize) -> i64 {
        self.text[self.byte..byte].chars().count() as i64
    }
}
