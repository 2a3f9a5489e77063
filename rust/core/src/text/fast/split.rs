//! Where the words of GPT-2's pattern and of its successors end.
//!
//! The patterns are alternatives, the first that matches counts, and together they match everything:
//! so a word is found from its first characters, without an engine for regular expressions.

use super::classes::{Class, Classes};

/// The patterns that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::text) enum Pattern {
    /// Contractions, then letters, numbers or the rest with a space before them, then white space.
    Gpt2,
    /// Contractions in any case, letters with any one character before them, at most so many digits,
    /// the rest with line breaks after it, lines, then white space. `cl100k`: 3; Qwen: 1.
    Lines(usize),
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LINES_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LINES_1: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Pattern {
    /// The pattern that a regular expression is.
    pub(in crate::text) fn of(regex: &str) -> Option<Self> {
        match regex {
            GPT2 => Some(Self::Gpt2),
            LINES_3 => Some(Self::Lines(3)),
            LINES_1 => Some(Self::Lines(1)),
            _ => None,
        }
    }

    /// The end of the word that begins at `at`, which is not the end of `text`.
    #[inline]
    pub(super) fn end(self, text: &str, at: usize, classes: &Classes) -> usize {
        match self {
            Self::Gpt2 => gpt2(text, at, classes),
            Self::Lines(digits) => lines(text, at, digits, classes),
        }
    }
}

#[inline(always)]
fn gpt2(text: &str, at: usize, classes: &Classes) -> usize {
    let bytes = text.as_bytes();
    if bytes[at] == b'\''
        && let Some(end) = contraction(&bytes[at + 1..])
    {
        return at + 1 + end;
    }
    let start = at + usize::from(bytes[at] == b' ');
    match classes.at(text, start) {
        Some((class @ (Class::Letter | Class::Number | Class::Other), len)) => {
            run(text, start + len, class, classes)
        }
        _ => space(text, at, classes).0,
    }
}

#[inline(always)]
fn lines(text: &str, at: usize, digits: usize, classes: &Classes) -> usize {
    let bytes = text.as_bytes();
    if bytes[at] == b'\''
        && let Some(end) = contraction_in_any_case(&bytes[at + 1..])
    {
        return at + 1 + end;
    }
    let (class, len) = classes.at(text, at).expect("not the end");
    let next = classes.at(text, at + len);
    match (class, next) {
        (Class::Letter, _) => run(text, at + len, Class::Letter, classes),
        (Class::Space | Class::Other, Some((Class::Letter, more))) => {
            run(text, at + len + more, Class::Letter, classes)
        }
        (Class::Number, _) => {
            let mut end = at + len;
            for _ in 1..digits {
                match classes.at(text, end) {
                    Some((Class::Number, len)) => end += len,
                    _ => break,
                }
            }
            end
        }
        (Class::Other, _) => breaks(bytes, run(text, at + len, Class::Other, classes)),
        (_, Some((Class::Other, more))) if bytes[at] == b' ' => {
            breaks(bytes, run(text, at + len + more, Class::Other, classes))
        }
        _ => match space(text, at, classes) {
            (_, Some(after_line)) => after_line,
            (end, None) => end,
        },
    }
}

/// The end of the characters of one class from `at` on.
#[inline(always)]
fn run(text: &str, mut at: usize, class: Class, classes: &Classes) -> usize {
    while let Some((found, len)) = classes.at(text, at) {
        if found != class {
            break;
        }
        at += len;
    }
    at
}

/// The end of the line breaks from `at` on.
fn breaks(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

/// The end of the white space at `at`, its last character left to what follows if there are others
/// and something follows; and the end of its last line break.
fn space(text: &str, at: usize, classes: &Classes) -> (usize, Option<usize>) {
    let (mut end, mut last, mut line) = (at, at, None);
    while let Some((class @ (Class::Space | Class::Line), len)) = classes.at(text, end) {
        (last, end) = (end, end + len);
        if class == Class::Line {
            line = Some(end);
        }
    }
    (if end == text.len() || last == at { end } else { last }, line)
}

/// The bytes of what follows an apostrophe in a contraction.
fn contraction(rest: &[u8]) -> Option<usize> {
    match rest {
        [b's' | b't' | b'm' | b'd', ..] => Some(1),
        [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => Some(2),
        _ => None,
    }
}

/// The same in any case; the long s is an s.
fn contraction_in_any_case(rest: &[u8]) -> Option<usize> {
    match rest {
        [0xc5, 0xbf, ..] => Some(2),
        [first, second, ..] => {
            contraction(&[first.to_ascii_lowercase(), second.to_ascii_lowercase()])
        }
        [only] => contraction(&[only.to_ascii_lowercase()]),
        [] => None,
    }
}
