//! Added tokens: found in the text before anything else, or in what the normalizer made of it.
//!
//! The leftmost token is taken, the longest of several; one that may only stand alone is dropped
//! inside a word; white space beside a token belongs to it where the file says so.

use aho_corasick::packed::{self, Searcher};
use aho_corasick::{AhoCorasick, MatchKind};

/// How a token may be found.
#[derive(Debug, Clone, Copy)]
pub(in crate::text) struct Rule {
    pub(in crate::text) id: i32,
    pub(in crate::text) single_word: bool,
    pub(in crate::text) lstrip: bool,
    pub(in crate::text) rstrip: bool,
}

/// Some added tokens.
#[derive(Debug)]
pub(super) struct Added {
    automaton: AhoCorasick,
    /// Says faster whether there is one at all: it looks at several places at once, not only at those
    /// where a first byte fits. `None` if the tokens are too many, or the CPU has no such instructions.
    sieve: Option<Searcher>,
    rules: Vec<Rule>,
}

impl Added {
    /// Of `tokens`, each what is looked for and how; `None` if there are none, or too many to hold.
    pub(super) fn new(tokens: Vec<(String, Rule)>) -> Option<Self> {
        let (contents, rules): (Vec<String>, Vec<Rule>) = tokens.into_iter().unzip();
        let sieve = packed::Builder::new().extend(&contents).build();
        let automaton =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(contents).ok()?;
        Some(Self { automaton, sieve, rules })
    }

    /// Whether `text` holds none of the tokens.
    #[inline]
    pub(super) fn absent(&self, text: &str) -> bool {
        match &self.sieve {
            Some(sieve) => sieve.find(text).is_none(),
            None => !self.automaton.is_match(text),
        }
    }

    /// Appends the ids of `text`: of its added tokens, and what `encode` appends for each run between
    /// them, none of which is empty.
    pub(super) fn parts<E>(
        &self,
        text: &str,
        ids: &mut Vec<i32>,
        mut encode: impl FnMut(&str, &mut Vec<i32>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut done = 0;
        for found in self.automaton.find_iter(text) {
            let Rule { id, single_word, lstrip, rstrip } = self.rules[found.pattern().as_usize()];
            let (mut start, mut end) = (found.start(), found.end());
            if single_word && (word_before(text, start) || word_after(text, end)) {
                continue;
            }
            if lstrip {
                start = text[..start].trim_end().len().max(done);
            }
            if rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            if done < start {
                encode(&text[done..start], ids)?;
            }
            ids.push(id);
            done = end;
        }
        if done < text.len() {
            encode(&text[done..], ids)?;
        }
        Ok(())
    }
}

fn word_before(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(regex_syntax::is_word_character)
}

fn word_after(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_some_and(regex_syntax::is_word_character)
}
