//! What a normalizer and a pre-tokenizer make of each character, in tables that fill as they are read.

use std::sync::OnceLock;

/// Code points a page.
const PAGE: usize = 256;

/// The most characters of a [`Fate::Spell`].
pub(super) const SPELLED: usize = 3;

/// What becomes of a character, whatever stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It becomes one character of a word.
    Keep(char),
    /// It becomes a few characters of a word; NULs fill the rest.
    Spell([char; SPELLED]),
    /// It becomes one character that is a word by itself.
    Alone(char),
    /// It ends a word and is gone.
    Break,
    /// It is gone.
    Drop,
    /// What becomes of it depends on its neighbours.
    Odd,
}

/// A table of what is known of characters, fates mostly. Each is asked for when its character is first
/// met: the stages are slow to ask, and a text has few of the many characters.
#[derive(Debug)]
pub(super) struct Chars<T = Fate> {
    pages: Vec<OnceLock<Box<Page<T>>>>,
}

type Page<T> = [OnceLock<T>; PAGE];

/// The stages before a model, as the `tokenizers` crate runs them.
pub(in crate::text) trait Stages {
    /// What the normalizer makes of `text`.
    fn normalize(&self, text: &str) -> String;

    /// The characters that the normalizer makes of `text`, each with the number of the one that it comes
    /// from.
    fn origins(&self, text: &str) -> Vec<(char, usize)>;

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

    /// Whether each character of `text` is a grapheme of its own.
    fn falls_apart(&self, text: &str) -> bool;
}

impl<T: Copy> Chars<T> {
    /// Tables that are still empty.
    pub(super) fn new() -> Self {
        Self { pages: (0..=char::MAX as usize / PAGE).map(|_| OnceLock::new()).collect() }
    }

    /// What is known of `c`; `ask` is asked the first time.
    #[inline]
    pub(super) fn get(&self, c: char, ask: impl FnOnce(char) -> T) -> T {
        let page = &self.pages[c as usize / PAGE];
        let page = page.get_or_init(|| Box::new([const { OnceLock::new() }; PAGE]));
        *page[c as usize % PAGE].get_or_init(|| ask(c))
    }
}

/// Reads the fate of `c` off what becomes of it between two letters.
pub(super) fn fate(c: char, stages: &impl Stages) -> Fate {
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
            Some(kept) => single(kept).map_or_else(|| spell(kept), Fate::Keep),
            None => Fate::Odd,
        },
        _ => Fate::Odd,
    }
}

/// What the normalizer makes of `c`, read off what becomes of it between two letters; `None` if that
/// depends on its neighbours.
pub(super) fn normal(c: char, stages: &impl Stages) -> Option<[char; SPELLED]> {
    let normal = stages.normalize(&format!("a{c}b"));
    let made = normal.strip_prefix('a')?.strip_suffix('b')?;
    if made.chars().any(|c| stages.moves(c)) { None } else { spelled(made) }
}

fn spell(kept: &str) -> Fate {
    spelled(kept).map_or(Fate::Odd, Fate::Spell)
}

/// The characters of `text` with NULs behind them; `None` if they are more, or one is a NUL.
pub(super) fn spelled(text: &str) -> Option<[char; SPELLED]> {
    let mut chars = ['\0'; SPELLED];
    if text.chars().count() > SPELLED || text.contains('\0') {
        return None;
    }
    chars.iter_mut().zip(text.chars()).for_each(|(place, c)| *place = c);
    Some(chars)
}

fn single(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

/// The bytes of the character that begins with `first`.
pub(super) fn char_len(first: u8) -> usize {
    match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}
