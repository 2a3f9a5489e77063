//! Which characters of a text each id stands for, as the `tokenizers` crate counts them.
//!
//! Ids come first; then a [`Walk`] goes once along the text. Each character gives as many bytes as it
//! has once it is normalized, each id takes as many as its token has, and stands for the first character
//! that it took from up to the last. Where the bytes do not add up, or it is not known how many an id
//! takes, there is no walk, and the crate is asked.

/// What is known of the token of each id.
#[derive(Debug)]
pub(super) struct Surfaces {
    table: Vec<Surface>,
    /// Bytes of a token that are not of the text, unless it begins a word.
    prefix: usize,
    /// The id that stands for a whole word; -1 if there is none.
    unknown: i32,
}

/// A token as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Surface {
    /// Its bytes; 0 where that depends on the text.
    len: u16,
    /// Spaces at its beginning.
    before: u8,
    /// Spaces at its end.
    after: u8,
}

/// Ids beyond the number of tokens that a table is still made for.
const HOLES: usize = 1 << 16;

impl Surface {
    /// `None` if it is too long for a table.
    fn of(token: &[u8]) -> Option<Self> {
        let spaces =
            |bytes: &mut dyn Iterator<Item = &u8>| bytes.take_while(|&&b| b == b' ').count();
        Some(Self {
            len: u16::try_from(token.len()).ok()?,
            before: u8::try_from(spaces(&mut token.iter())).ok()?,
            after: u8::try_from(spaces(&mut token.iter().rev())).ok()?,
        })
    }
}

impl Surfaces {
    /// Of tokens and their ids. `None` if two tokens of one id differ, or a table would be too large.
    pub(super) fn new<'t>(tokens: impl Iterator<Item = (&'t [u8], i32)> + Clone) -> Option<Self> {
        let most = tokens.clone().map(|(_, id)| id as usize).max().unwrap_or(0);
        if most > tokens.clone().count() + HOLES {
            return None;
        }
        let mut table: Vec<Option<Surface>> = vec![None; most + 1];
        for (token, id) in tokens {
            let surface = Surface::of(token)?;
            if table[id as usize].replace(surface).is_some_and(|other| other != surface) {
                return None;
            }
        }
        let table = table.into_iter().map(Option::unwrap_or_default).collect();
        Some(Self { table, prefix: 0, unknown: -1 })
    }

    /// The same for pieces of words: those behind the first have a `prefix` of so many bytes, and
    /// `unknown` stands for a word.
    pub(super) fn of_words(self, prefix: usize, unknown: i32) -> Self {
        Self { prefix, unknown, ..self }
    }

    /// The same, where `id` takes so many bytes; 0 where that depends on the text.
    pub(super) fn with(mut self, id: i32, len: u16) -> Self {
        if let Some(surface) = self.table.get_mut(id as usize) {
            surface.len = len;
        }
        self
    }

    #[inline(always)]
    fn get(&self, id: i32) -> Surface {
        self.table.get(id as usize).copied().unwrap_or_default()
    }

    /// Takes the spaces at the ends of tokens out of their `spans`, as byte-level post-processors do: one
    /// space that was put before the text stays, if they know of it.
    pub(super) fn trim(&self, ids: &[i32], spans: &mut [i64], prefix_space: bool) {
        for (i, (&id, span)) in ids.iter().zip(spans.as_chunks_mut::<2>().0).enumerate() {
            let Surface { before, after, .. } = self.get(id);
            let kept = (i == 0 || span[0] == 0) && prefix_space && before == 1;
            if !kept {
                span[0] = (span[0] + i64::from(before)).min(span[1]);
            }
            if span[1] >= i64::from(after) {
                span[1] = (span[1] - i64::from(after)).max(span[0]);
            }
        }
    }
}

/// A way along a text, whose characters are shared out among ids.
#[derive(Debug)]
pub(super) struct Walk<'w> {
    ids: &'w [i32],
    surfaces: &'w Surfaces,
    /// First character and the one after the last of each id so far.
    spans: &'w mut Vec<i64>,
    /// Bytes that the last of them still takes.
    left: usize,
    /// No id has taken anything of this word.
    begins: bool,
}

/// More bytes than a word has, even when a text has been taken off: all up to its end.
const ALL: usize = usize::MAX / 2;

impl<'w> Walk<'w> {
    pub(super) fn new(ids: &'w [i32], surfaces: &'w Surfaces, spans: &'w mut Vec<i64>) -> Self {
        Self { ids, surfaces, spans, left: 0, begins: true }
    }

    /// Character number `at` gives so many bytes. `None` if nobody takes them: the walk is over.
    #[inline(always)]
    pub(super) fn give(&mut self, mut bytes: usize, at: usize) -> Option<()> {
        while bytes > 0 {
            if self.left == 0 {
                self.next(at)?;
            }
            let taken = bytes.min(self.left);
            (bytes, self.left) = (bytes - taken, self.left - taken);
            *self.spans.last_mut()? = at as i64 + 1;
        }
        Some(())
    }

    /// The next id begins at character number `at`.
    #[inline(always)]
    fn next(&mut self, at: usize) -> Option<()> {
        let (&id, rest) = self.ids.split_first()?;
        let len = usize::from(self.surfaces.get(id).len);
        self.left = match self.begins {
            true if id == self.surfaces.unknown => ALL,
            true => len,
            false => len.saturating_sub(self.surfaces.prefix),
        };
        if self.left == 0 {
            return self.astray();
        }
        (self.ids, self.begins) = (rest, false);
        self.spans.extend([at as i64, 0]);
        Some(())
    }

    /// A word ends: no id takes from it and from what follows.
    #[inline(always)]
    pub(super) fn end_word(&mut self) -> Option<()> {
        self.begins = true;
        if self.left > ALL / 2 {
            self.left = 0;
        }
        if self.left == 0 { Some(()) } else { self.astray() }
    }

    /// Ends a walk on a way that is not known.
    #[cold]
    pub(super) fn astray(&mut self) -> Option<()> {
        self.left = 1;
        None
    }

    /// Whether all ids have their bytes.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0 && self.ids.is_empty()
    }
}
