//! Letters, numbers and white space, as the regular expressions of the `tokenizers` crate see them.

use std::sync::OnceLock;

/// Code points a page.
const PAGE: usize = 128;

/// What a pattern can tell of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::text) enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`, but no line break
    Space,
    /// `\r` or `\n`
    Line,
    /// None of them.
    Other,
}

/// The classes of `text`'s characters.
pub(in crate::text) type Classify = fn(text: &str) -> Vec<Class>;

/// A table of classes that fills as it is read.
#[derive(Debug)]
pub(super) struct Classes {
    ascii: [Class; 128],
    pages: Vec<OnceLock<[Class; PAGE]>>,
    classify: Classify,
}

impl Classes {
    pub(super) fn new(classify: Classify) -> Self {
        let pages = (0..=char::MAX as usize / PAGE).map(|_| OnceLock::new()).collect();
        Self { ascii: page(0, classify), pages, classify }
    }

    /// The class of the character at `at`, and its bytes; `None` at the end.
    #[inline(always)]
    pub(super) fn at(&self, text: &str, at: usize) -> Option<(Class, usize)> {
        let byte = *text.as_bytes().get(at)?;
        if byte < 128 {
            return Some((self.ascii[usize::from(byte)], 1));
        }
        let c = text[at..].chars().next()?;
        Some((self.get(c), c.len_utf8()))
    }

    #[inline]
    fn get(&self, c: char) -> Class {
        let at = c as usize / PAGE;
        self.pages[at].get_or_init(|| page(at, self.classify))[c as usize % PAGE]
    }
}

fn page(at: usize, classify: Classify) -> [Class; PAGE] {
    // What is no character is never asked for.
    let code = |i: usize| char::from_u32((at * PAGE + i) as u32).unwrap_or('\0');
    let classes = classify(&(0..PAGE).map(code).collect::<String>());
    std::array::from_fn(|i| classes[i])
}
