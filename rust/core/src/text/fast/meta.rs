//! Words as SentencePiece sees them: each begins with a mark that stands for a space.

/// The mark, U+2581.
pub(super) const SPACE: &str = "\u{2581}";

/// How text is cut into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::text) enum Meta {
    /// At white space, which is gone; each word then begins with the mark.
    Split,
    /// Every space becomes a mark, which begins a word; so does a mark before the text, if `before`
    /// and there is none.
    Mark {
        /// Put a mark before text that begins with none.
        before: bool,
    },
}

impl Meta {
    /// Gives the words of `normal`, which `begins` a text or comes after a space.
    pub(super) fn words(
        self,
        normal: &str,
        begins: bool,
        buffer: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]),
    ) {
        match self {
            Self::Split => {
                for word in normal.split_whitespace() {
                    marked(word, !word.starts_with(SPACE), buffer, &mut each);
                }
            }
            Self::Mark { before } => {
                let starts = normal.is_empty() || normal.starts_with([' ', '\u{2581}']);
                marked(normal, !begins || (before && !starts), buffer, &mut each);
            }
        }
    }
}

/// Gives the words of `text` with spaces made marks, and perhaps a mark before it.
fn marked(text: &str, before: bool, buffer: &mut Vec<u8>, each: &mut impl FnMut(&[u8])) {
    buffer.clear();
    if before {
        buffer.extend_from_slice(SPACE.as_bytes());
    }
    for &b in text.as_bytes() {
        match b {
            b' ' => buffer.extend_from_slice(SPACE.as_bytes()),
            _ => buffer.push(b),
        }
    }
    let mut first = 0;
    for at in 1..buffer.len() {
        if buffer[at..].starts_with(SPACE.as_bytes()) {
            each(&buffer[first..at]);
            first = at;
        }
    }
    if !buffer.is_empty() {
        each(&buffer[first..]);
    }
}
