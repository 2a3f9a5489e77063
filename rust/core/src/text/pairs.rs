//! Two texts in one row, as cross-encoders read them: a question and a passage.

use std::sync::Arc;

use tokenizers::{Encoding, OffsetType, PostProcessor, TruncationDirection, TruncationStrategy};

use crate::parallel::apart;
use crate::text::Tokens;
use crate::text::frame::{Frame, Part};
use crate::text::tokenizer::{
    Around, Asked, BLOCK, Cut, LONG, Stages, Tokenizer, Worker, append, caught, signed,
};
use crate::{Cancel, Error, Result, Threads};

/// Which of two texts is cut where both are too long for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The longer, until it is as short as the other; then both.
    LongestFirst,
    /// The first; the second stays whole.
    OnlyFirst,
    /// The second; the first stays whole.
    OnlySecond,
}

/// What is asked of each pair.
#[derive(Debug, Clone)]
struct Asks {
    frame: Frame,
    /// Ids of both texts together that a row has room for.
    most: usize,
    keep: TruncationDirection,
    strategy: Strategy,
    special_tokens: bool,
}

impl Tokenizer {
    /// The ids of `first[i]` and `second[i]` in one row, with the types that the file gives them.
    ///
    /// They are Hugging Face's `encode_batch` of the pairs, less its padding. Without `strategy` that of
    /// the file counts, else [`Strategy::LongestFirst`]. Refuses a pair whose text that must stay whole
    /// leaves no room for the other.
    pub fn encode_pairs<T: AsRef<str> + Sync>(
        &self,
        first: &[T],
        second: &[T],
        asked: Asked,
        strategy: Option<Strategy>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Tokens> {
        if first.len() != second.len() {
            return Err(Error::Length { what: "second", want: first.len(), got: second.len() });
        }
        let asks = self.asks(asked, strategy)?;
        let blocks = threads.blocks(first.len(), BLOCK, cancel, |range| {
            let mut block = Tokens::of_pairs(asked.offsets);
            let mut hands = (self.worker(), [Vec::new(), Vec::new()]);
            for (row, i) in range.enumerate() {
                cancel.check()?;
                let texts = [first[i].as_ref(), second[i].as_ref()];
                let done = match asked.offsets {
                    false => self.pair(texts, &asks, &mut hands, &mut block, cancel)?,
                    true => {
                        self.pair_with_offsets(texts, &asks, &mut hands.0, &mut block, cancel)?
                    }
                };
                let truncated = done.ok_or_else(|| asks.no_room(i))?;
                if truncated {
                    block.truncated.push(row as i64);
                }
                block.starts.push(block.ids.len() as i64);
            }
            Ok(block)
        })?;
        Ok(Tokens::join(blocks, Tokens::of_pairs(asked.offsets)))
    }

    fn asks(&self, asked: Asked, strategy: Option<Strategy>) -> Result<Asks> {
        let frame = caught(|| Frame::new(&self.stages.all, true, asked.special_tokens));
        let frame = frame.map_err(Error::Tokenizer)?;
        let of_file = self.limit.as_ref().map(|limit| match limit.strategy {
            TruncationStrategy::LongestFirst => Strategy::LongestFirst,
            TruncationStrategy::OnlyFirst => Strategy::OnlyFirst,
            TruncationStrategy::OnlySecond => Strategy::OnlySecond,
        });
        Ok(Asks {
            most: self.room(asked, frame.added())?,
            frame,
            keep: self.keeps(),
            strategy: strategy.or(of_file).unwrap_or(Strategy::LongestFirst),
            special_tokens: asked.special_tokens,
        })
    }

    /// Appends the ids of a pair and their types: whether a text was cut, `None` if that is no help.
    fn pair(
        &self,
        texts: [&str; 2],
        asks: &Asks,
        (worker, buffers): &mut (Worker<'_>, [Vec<i32>; 2]),
        block: &mut Tokens,
        cancel: &Cancel,
    ) -> Result<Option<bool>> {
        let mut count = |i: usize, most: usize| {
            buffers[i].clear();
            let cut = Cut { most, keep: asks.keep, around: Around::Nothing };
            let over = self.encode(texts[i], cut, worker, &mut buffers[i], cancel)?;
            Ok(buffers[i].len() + usize::from(over))
        };
        let counts = asks.counts(&mut count)?;
        let Some(kept) = asks.kept(counts) else { return Ok(None) };
        let [first, second] = &*buffers;
        let texts = [asks.side(first, kept[0]), asks.side(second, kept[1])];
        asks.lay(texts.map(|ids| (ids, &[][..])), block)?;
        Ok(Some(counts != kept))
    }

    /// The same, with the characters of each id in its own text.
    fn pair_with_offsets(
        &self,
        texts: [&str; 2],
        asks: &Asks,
        worker: &mut Worker<'_>,
        block: &mut Tokens,
        cancel: &Cancel,
    ) -> Result<Option<bool>> {
        let done = if texts.iter().all(|text| text.len() < LONG) {
            if let Some(done) = self.stages.known_pair(texts, asks, worker, block, cancel)? {
                return Ok(done);
            }
            self.stages.pair(texts, asks, cancel)?
        } else {
            let (stages, asks) = (Arc::clone(&self.stages), asks.clone());
            let texts = texts.map(str::to_owned);
            apart(cancel, move |cancel| stages.pair([&texts[0], &texts[1]], &asks, cancel))?
        };
        let Some((encoding, truncated)) = done else { return Ok(None) };
        let Tokens { ids, offsets, type_ids, .. } = block;
        let types = type_ids.as_mut().expect("a block of pairs");
        let offsets = offsets.as_mut().expect("a block with offsets");
        append(&encoding, ids, offsets)?;
        types.extend(encoding.get_type_ids().iter().map(|&kind| kind as i32));
        Ok(Some(truncated))
    }
}

impl Stages {
    /// Appends the row of a pair whose characters the fast path knows; `None`, and nothing, if it does not.
    fn known_pair(
        &self,
        texts: [&str; 2],
        asks: &Asks,
        worker: &mut Worker<'_>,
        block: &mut Tokens,
        cancel: &Cancel,
    ) -> Result<Option<Option<bool>>> {
        let (Some(fast), Some(loan)) = (&self.fast, worker) else { return Ok(None) };
        let mut made = [const { (Vec::new(), Vec::new()) }; 2];
        let mut known = true;
        let mut count = |i: usize, most: usize| {
            let (ids, spans) = &mut made[i];
            ids.clear();
            spans.clear();
            let cut = Cut { most, keep: asks.keep, around: Around::Nothing };
            let over = cut.encode_offsets((fast, loan), texts[i], (ids, spans), cancel)?;
            known &= over.is_some();
            Ok(ids.len() + usize::from(over > Some(0)))
        };
        let counts = asks.counts(&mut count)?;
        if !known {
            return Ok(None);
        }
        let Some(kept) = asks.kept(counts) else { return Ok(Some(None)) };
        let [first, second] = &mut made;
        for ((ids, spans), kept) in [first, second].into_iter().zip(kept) {
            *ids = asks.side(ids, kept).to_vec();
            *spans = asks.side(spans, 2 * kept).to_vec();
            fast.trim(ids, spans);
        }
        asks.lay(made.each_ref().map(|(ids, spans)| (&ids[..], &spans[..])), block)?;
        Ok(Some(Some(counts != kept)))
    }

    /// The row of a pair as the crate makes it, and whether a text was cut.
    fn pair(
        &self,
        texts: [&str; 2],
        asks: &Asks,
        cancel: &Cancel,
    ) -> Result<Option<(Encoding, bool)>> {
        let mut made = [Encoding::default(), Encoding::default()];
        let mut count = |i: usize, most: usize| {
            let cut = Cut { most, keep: asks.keep, around: Around::Nothing };
            let pieces = self.tokenize(texts[i], cut, cancel)?;
            made[i] = caught(|| pieces.into_encoding(None, i as u32, OffsetType::Char))
                .map_err(Error::Tokenizer)?;
            Ok(made[i].len())
        };
        let counts = asks.counts(&mut count)?;
        let Some(kept) = asks.kept(counts) else { return Ok(None) };
        for (encoding, kept) in made.iter_mut().zip(kept) {
            encoding.truncate(kept, 0, asks.keep);
            encoding.take_overflowing();
        }
        let [first, second] = made;
        let framed = caught(|| match self.all.get_post_processor() {
            Some(processor) => processor.process(first, Some(second), asks.special_tokens),
            None => Ok(Encoding::merge([first, second], false)),
        });
        Ok(Some((framed.map_err(Error::Tokenizer)?, counts != kept)))
    }
}

impl Asks {
    /// How many ids both texts have, as far as it matters; `count` makes those of one, at most one more
    /// than the number that it is given.
    fn counts(&self, count: &mut impl FnMut(usize, usize) -> Result<usize>) -> Result<[usize; 2]> {
        let mut both = |most| Ok([count(0, most)?, count(1, most)?]);
        let counts = both(self.most)?;
        // Both halves of the room are taken; the longer text has the larger, so count to the end.
        let halves = counts.iter().all(|&count| count > self.most) && self.most % 2 == 1;
        if halves && self.strategy == Strategy::LongestFirst {
            both(usize::MAX)
        } else {
            Ok(counts)
        }
    }

    /// How many ids of each text stay; `None` if the one that may be cut has none to spare.
    fn kept(&self, [first, second]: [usize; 2]) -> Option<[usize; 2]> {
        let most = self.most;
        if first.saturating_add(second) <= most {
            return Some([first, second]);
        }
        match self.strategy {
            Strategy::LongestFirst => {
                let short = first.min(second).min(most / 2);
                Some(if first > second { [most - short, short] } else { [short, most - short] })
            }
            Strategy::OnlyFirst => (second < most).then(|| [most - second, second]),
            Strategy::OnlySecond => (first < most).then(|| [first, most - first]),
        }
    }

    /// Appends a row of two texts, of each its ids and their characters, if the block has those.
    fn lay(&self, [first, second]: [(&[i32], &[i64]); 2], block: &mut Tokens) -> Result<()> {
        let Tokens { ids, offsets, type_ids, .. } = block;
        let types = type_ids.as_mut().expect("a block of pairs");
        for &(part, kind) in &self.frame.0 {
            let (own, spans) = match part {
                Part::Token(id) => (&[signed(id)?][..], &[0, 0][..]),
                Part::First => first,
                Part::Second => second,
            };
            ids.extend_from_slice(own);
            if let Some(offsets) = offsets {
                offsets.extend_from_slice(spans);
            }
            types.resize(ids.len(), kind);
        }
        Ok(())
    }

    /// The numbers that stay.
    fn side<'i, T>(&self, ids: &'i [T], kept: usize) -> &'i [T] {
        match self.keep {
            TruncationDirection::Right => &ids[..kept],
            TruncationDirection::Left => &ids[ids.len() - kept..],
        }
    }

    fn no_room(&self, pair: usize) -> Error {
        let want = format!("more, or the other text cut: one text of pair {pair} fills the row");
        Error::range("max_tokens", want, self.most + self.frame.added())
    }
}
