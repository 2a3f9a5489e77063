//! What a normalizer and a pre-tokenizer make of each character, in tables that fill as they are read.

use std::sync::OnceLock;

/// Code points a page: few, since the stages are slow to ask and a text has few of the many characters.
const PAGE: usize = 32;

/// What becomes of a character, whatever stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It becomes one character of a word.
    Keep(char),
    /// It becomes some characters of a word: bytes of the page's text.
    Spell(u32, u32),
    /// It becomes one character that is a word by itself.
    Alone(char),
    /// It ends a word and is gone.
    Break,
    /// It is gone.
    Drop,
    /// What becomes of it depends on its neighbours.
    Odd,
}

/// A table of fates.
#[derive(Debug)]
pub(super) struct Chars {
    pages: Vec<OnceLock<Box<Page>>>,
}

/// The fates of [`PAGE`] code points.
#[derive(Debug)]
pub(super) struct Page {
    fates: Vec<Fate>,
    text: String,
}

/// The stages before a model, as the `tokenizers` crate runs them.
pub(in crate::text) trait Stages {
    /// What the normalizer makes of `text`.
    fn normalize(&self, text: &str) -> String;

    /// The words that the pre-tokenizer cuts `normal` into.
    fn split(&self, normal: &str) -> Vec<String>;

    /// The words that both make of `text`.
    fn words(&self, text: &str) -> Vec<String> {
        self.split(&self.normalize(text))
    }

    /// Whether `text` is composed as it is, by the tables of the crate's normalizer; false if unsure.
    fn is_composed(&self, text: &str) -> bool;

    /// Whether `c`, which the stages made, may change places with its neighbours.
    fn moves(&self, c: char) -> bool;
}

impl Chars {
    /// Tables that are still empty.
    pub(super) fn new() -> Self {
        Self { pages: (0..=char::MAX as usize / PAGE).map(|_| OnceLock::new()).collect() }
    }

    /// The fate of `c`, and the page whose text it may name.
    #[inline]
    pub(super) fn get(&self, c: char, stages: &impl Stages) -> (Fate, &Page) {
        let at = c as usize / PAGE;
        let page = self.pages[at].get_or_init(|| Box::new(Page::new(at, stages)));
        (page.fates[c as usize % PAGE], page)
    }
}

impl Page {
    fn new(at: usize, stages: &impl Stages) -> Self {
        let mut page = Self { fates: Vec::with_capacity(PAGE), text: String::new() };
        for code in at * PAGE..(at + 1) * PAGE {
            let fate = char::from_u32(code as u32).map_or(Fate::Odd, |c| page.fate(c, stages));
            page.fates.push(fate);
        }
        page
    }

    /// Reads the fate of `c` off what becomes of it between two letters.
    fn fate(&mut self, c: char, stages: &impl Stages) -> Fate {
        let words = stages.words(&format!("a{c}b"));
        if words.iter().flat_map(|word| word.chars()).any(|c| stages.moves(c)) {
            return Fate::Odd;
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["a", "b"] => Fate::Break,
            ["a", alone, "b"] => single(alone).map_or(Fate::Odd, Fate::Alone),
            [word] => match word.strip_prefix('a').and_then(|rest| rest.strip_suffix('b')) {
                Some("") => Fate::Drop,
                Some(kept) => single(kept).map_or_else(|| self.spell(kept), Fate::Keep),
                None => Fate::Odd,
            },
            _ => Fate::Odd,
        }
    }

    fn spell(&mut self, kept: &str) -> Fate {
        let start = self.text.len() as u32;
        self.text.push_str(kept);
        Fate::Spell(start, self.text.len() as u32)
    }

    /// The characters that a [`Fate::Spell`] of this page names.
    pub(super) fn spelled(&self, start: u32, end: u32) -> &str {
        &self.text[start as usize..end as usize]
    }
}

fn single(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}
