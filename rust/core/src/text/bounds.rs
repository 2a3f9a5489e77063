//! Where text may be cut: at paragraphs and sentences, at lines, at words, at what looks like a character.
//!
//! Boundaries are Unicode's (UAX #29), with two differences. A line break alone is a space to sentences,
//! since text is wrapped; a blank line ends one. And a word has the punctuation beside it and the space
//! after it, so that no cut comes before a comma or behind a bracket.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Not ASCII, and no cut comes behind one.
const OPENERS: &str = "«‹“‘„‚¿¡「『（《【〈〔［｛";

/// The sentences of `text`, each with the white space after it; together all of it.
pub(super) fn sentences(text: &str) -> Vec<Range<usize>> {
    let unwrapped = unwrap(text);
    let starts = unwrapped.split_sentence_bound_indices().map(|(at, _)| at);
    let letters = |range: &Range<usize>| text[range.clone()].contains(|c: char| !c.is_whitespace());
    // A sentence of spaces (lines between paragraphs) belongs to the one before it.
    ranges(starts, text.len()).into_iter().fold(Vec::new(), |mut all: Vec<Range<usize>>, range| {
        match all.last_mut() {
            Some(last) if !letters(&range) => last.end = range.end,
            _ => all.push(range),
        }
        all
    })
}

/// The parts of `text`, of which there are several: lines, else words, else characters.
///
/// `None` if it is one code point, or none.
pub(super) fn parts(text: &str) -> Option<Vec<Range<usize>>> {
    let several = |starts: &mut dyn Iterator<Item = usize>| {
        let ranges = ranges(starts, text.len());
        (ranges.len() > 1).then_some(ranges)
    };
    several(
        &mut text.split_inclusive('\n').map(|line| line.as_ptr() as usize - text.as_ptr() as usize),
    )
    .or_else(|| several(&mut words(text)))
    .or_else(|| several(&mut text.grapheme_indices(true).map(|(at, _)| at)))
    .or_else(|| several(&mut text.char_indices().map(|(at, _)| at)))
}

/// Where the words of `text` begin.
pub(super) fn words(text: &str) -> impl Iterator<Item = usize> {
    let begins = |&(at, word): &(usize, &str)| match text[..at].chars().next_back() {
        None => true,
        Some(before) if before.is_whitespace() => !word.starts_with(char::is_whitespace),
        Some(before) => {
            word.starts_with(char::is_alphanumeric)
                && (before.is_alphanumeric() || (!before.is_ascii() && !OPENERS.contains(before)))
        }
    };
    text.split_word_bound_indices().filter(begins).map(|(at, _)| at)
}

/// Runs that begin at `starts`, the first at 0.
fn ranges(starts: impl Iterator<Item = usize>, end: usize) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = starts.map(|start| start..end).collect();
    for i in 1..ranges.len() {
        ranges[i - 1].end = ranges[i].start;
    }
    ranges
}

/// `text` with spaces for the line breaks that are no blank line; as long as it is.
fn unwrap(text: &str) -> String {
    let mut unwrapped = String::with_capacity(text.len());
    let mut lines = text.split('\n').peekable();
    let blank = |line: &str| line.trim().is_empty();
    while let Some(line) = lines.next() {
        let Some(next) = lines.peek() else {
            unwrapped.push_str(line);
            break;
        };
        match line.strip_suffix('\r') {
            Some(line) => {
                unwrapped.push_str(line);
                unwrapped.push(' ');
            }
            None => unwrapped.push_str(line),
        }
        unwrapped.push(if blank(line) || blank(next) { '\n' } else { ' ' });
    }
    unwrapped
}
