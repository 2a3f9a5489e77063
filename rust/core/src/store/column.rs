//! Numbers of an index, whether just built or lying in a segment.

use std::ops::Range;
use std::sync::Arc;

use super::Segment;
use super::map::{self, Number};
use crate::{Error, Result};

/// An immutable run of numbers: owned by a fresh index, or a section of an open segment.
#[derive(Debug)]
pub enum Column<T> {
    /// In memory.
    Owned(Vec<T>),
    /// In a segment, whose blocks are checked as they are touched.
    Stored(Stored),
}

/// A section of a segment and how many numbers it holds.
#[derive(Debug)]
pub struct Stored {
    segment: Arc<Segment>,
    section: usize,
    count: usize,
}

impl<T: Number> Column<T> {
    /// Section `name`, which must hold `count` numbers; `None` is a count that overflowed.
    pub fn open(segment: &Arc<Segment>, name: &str, count: Option<usize>) -> Result<Self> {
        let column = Self::open_any(segment, name)?;
        match count {
            Some(want) if want == column.len() => Ok(column),
            Some(want) => {
                let problem = format!("section `{name}` must hold {want} numbers");
                Err(segment.refuse(format!("{problem}; got {}", column.len())))
            }
            None => Err(segment.refuse(format!("section `{name}` has an impossible length"))),
        }
    }

    /// Section `name`, however many numbers it holds.
    pub fn open_any(segment: &Arc<Segment>, name: &str) -> Result<Self> {
        let (section, count) = segment.find::<T>(name)?;
        Ok(Self::Stored(Stored { segment: Arc::clone(segment), section, count }))
    }

    /// How many numbers.
    pub fn len(&self) -> usize {
        match self {
            Self::Owned(numbers) => numbers.len(),
            Self::Stored(stored) => stored.count,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers `range`, whose blocks hold their checksums. A range that is not there is a
    /// [`Error::Format`] of the file that led to it.
    #[inline]
    pub fn get(&self, range: Range<usize>) -> Result<&[T]> {
        match self {
            Self::Owned(numbers) => Ok(&numbers[range]),
            Self::Stored(stored) => stored.segment.numbers(stored.section, range),
        }
    }

    /// Numbers `range` if they are there, whatever their checksums say: for looking ahead, not for use.
    #[inline]
    pub(crate) fn peek(&self, range: Range<usize>) -> &[T] {
        let found = match self {
            Self::Owned(numbers) => numbers.get(range),
            Self::Stored(stored) => stored.segment.peek(stored.section, range),
        };
        found.unwrap_or_default()
    }

    /// All numbers.
    pub fn all(&self) -> Result<&[T]> {
        self.get(0..self.len())
    }

    /// All numbers as the bytes that a segment stores.
    pub fn bytes(&self) -> Result<&[u8]> {
        self.all().map(map::as_bytes)
    }

    /// A refusal of what the file says, naming it.
    pub fn refuse(&self, problem: impl std::fmt::Display) -> Error {
        match self {
            Self::Stored(stored) => stored.segment.refuse(problem),
            Self::Owned(_) => Error::format("memory", problem.to_string()),
        }
    }
}
