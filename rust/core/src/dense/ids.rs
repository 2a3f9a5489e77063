//! What the caller calls a row.
//!
//! Rows are kept in the order of their ids, so the lower row is the lower id, and the one tie rule of
//! `topk` serves numbers and text alike.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::store::{Column, Sections, Segment};
use crate::{Error, Result};

/// Ids as they come: one a row.
#[derive(Debug, Clone, Copy)]
pub enum NewIds<'a> {
    /// Row `i` is called `i`; rows that are added later go on from there.
    Rows,
    /// All different, none negative.
    Numbers(&'a [i64]),
    /// All different.
    Text(&'a [String]),
}

impl NewIds<'_> {
    /// How many, if they are given.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Self::Rows => None,
            Self::Numbers(numbers) => Some(numbers.len()),
            Self::Text(texts) => Some(texts.len()),
        }
    }

    /// How an index that begins with these calls its rows: one that counts them may name others later.
    pub(super) fn kind(&self) -> IdKind {
        match self {
            Self::Rows | Self::Numbers(_) => IdKind::Numbers,
            Self::Text(_) => IdKind::Text,
        }
    }
}

/// Ids that mean rows which are there, or may be.
#[derive(Debug, Clone, Copy)]
pub enum Names<'a> {
    /// Of an index whose rows are called by numbers.
    Numbers(&'a [i64]),
    /// Of an index whose rows are called by text. None at all fits every index.
    Text(&'a [String]),
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name<'a> {
    Number(i64),
    Text(&'a str),
}

impl<'a> Name<'a> {
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) => None,
        }
    }

    /// The number, or what marks a missing one.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Number(number) => number,
            Self::Text(_) => -1,
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(out, "{number}"),
            Self::Text(text) => write!(out, "{text:?}"),
        }
    }
}

impl<'a> Names<'a> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Text(texts) => texts.len(),
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Name<'a>> {
        (0..self.len()).map(move |i| match self {
            Self::Numbers(numbers) => Name::Number(numbers[i]),
            Self::Text(texts) => Name::Text(&texts[i]),
        })
    }

    /// Refuses text for an index of numbers, and the other way round.
    pub(super) fn expect_kind(self, what: &'static str, kind: IdKind) -> Result<()> {
        match (self, kind) {
            (Self::Text([]) | Self::Numbers([]), _) | (Self::Text(_), IdKind::Text) => Ok(()),
            (Self::Numbers(_), IdKind::Rows | IdKind::Numbers) => Ok(()),
            (Self::Text(_), _) => Err(Error::range(what, "numbers, as this index has", "text")),
            (_, IdKind::Text) => Err(Error::range(what, "text, as this index has", "numbers")),
        }
    }
}

/// Names of rows, ascending.
#[derive(Debug)]
pub(super) enum Ids {
    Rows,
    Numbers(Column<i64>),
    /// Row `i` is `bytes[starts[i]..starts[i + 1]]`.
    Text {
        starts: Column<u64>,
        bytes: Column<u8>,
    },
}

impl Ids {
    /// The ids in ascending order and the row of `vectors` that each belongs to.
    pub(super) fn build(ids: NewIds<'_>, rows: usize) -> Result<(Self, Vec<usize>)> {
        match ids {
            NewIds::Rows => Ok((Self::Rows, (0..rows).collect())),
            NewIds::Numbers(numbers) => {
                expect_one_a_row(numbers.len(), rows)?;
                if let Some(negative) = numbers.iter().find(|&&id| id < 0) {
                    return Err(Error::range(
                        "ids",
                        "at least 0 (-1 marks a missing hit)",
                        negative,
                    ));
                }
                let order = ascending(numbers, i64::cmp)?;
                let sorted = order.iter().map(|&row| numbers[row]).collect();
                Ok((Self::Numbers(Column::Owned(sorted)), order))
            }
            NewIds::Text(texts) => {
                expect_one_a_row(texts.len(), rows)?;
                let order = ascending(texts, |a: &String, b| a.as_bytes().cmp(b.as_bytes()))?;
                let names = order.iter().map(|&row| Name::Text(&texts[row]));
                let ids = Self::sorted(IdKind::Text, names);
                Ok((ids, order))
            }
        }
    }

    /// Those of no rows.
    pub(super) fn none(kind: IdKind) -> Self {
        Self::sorted(kind, std::iter::empty())
    }

    /// `names`, which are ascending and of the kind.
    pub(super) fn sorted<'a>(kind: IdKind, names: impl Iterator<Item = Name<'a>>) -> Self {
        if kind != IdKind::Text {
            return Self::Numbers(Column::Owned(names.map(Name::number).collect()));
        }
        let (mut starts, mut bytes) = (vec![0], Vec::new());
        for text in names.filter_map(Name::text) {
            bytes.extend_from_slice(text.as_bytes());
            starts.push(bytes.len() as u64);
        }
        Self::Text { starts: Column::Owned(starts), bytes: Column::Owned(bytes) }
    }

    pub(super) fn kind(&self) -> IdKind {
        match self {
            Self::Rows => IdKind::Rows,
            Self::Numbers(_) => IdKind::Numbers,
            Self::Text { .. } => IdKind::Text,
        }
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        match self {
            Self::Rows => {}
            Self::Numbers(numbers) => sections.push(("ids", numbers.bytes()?)),
            Self::Text { starts, bytes } => {
                sections.push(("id starts", starts.bytes()?));
                sections.push(("id bytes", bytes.bytes()?));
            }
        }
        Ok(())
    }

    pub(super) fn open(kind: IdKind, segment: &Arc<Segment>, rows: usize) -> Result<Self> {
        Ok(match kind {
            IdKind::Rows => Self::Rows,
            IdKind::Numbers => Self::Numbers(Column::open(segment, "ids", Some(rows))?),
            IdKind::Text => Self::Text {
                starts: Column::open(segment, "id starts", rows.checked_add(1))?,
                bytes: Column::open_any(segment, "id bytes")?,
            },
        })
    }

    /// What row `row` is called.
    pub(super) fn name(&self, row: usize) -> Result<Name<'_>> {
        Ok(match self.text(row)? {
            Some(text) => Name::Text(text),
            None => Name::Number(self.number(row)?),
        })
    }

    /// The row of `rows` that is called `name`, if there is one.
    pub(super) fn find(&self, name: Name<'_>, rows: usize) -> Result<Option<usize>> {
        if let (Self::Rows, Name::Number(number)) = (self, name) {
            return Ok(usize::try_from(number).ok().filter(|&row| row < rows));
        }
        let (mut low, mut high) = (0, rows);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.name(middle)?.cmp(&name) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(Some(middle)),
                Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// The number that row `row` is called.
    pub(super) fn number(&self, row: usize) -> Result<i64> {
        match self {
            Self::Numbers(numbers) => Ok(numbers.get(row..row + 1)?[0]),
            _ => Ok(row as i64),
        }
    }

    /// The text that row `row` is called; `None` if rows are called by numbers.
    pub(super) fn text(&self, row: usize) -> Result<Option<&str>> {
        let Self::Text { starts, bytes } = self else { return Ok(None) };
        let &[from, to] = starts.get(row..row + 2)? else { unreachable!("a range of two") };
        let text = bytes.get(from as usize..to as usize)?;
        let text = std::str::from_utf8(text).map_err(|_| bytes.refuse("an id is not UTF-8"))?;
        Ok(Some(text))
    }

    /// Refuses names that do not ascend, are negative or are no text.
    pub(super) fn check(&self, rows: usize) -> Result<()> {
        let refuse = |problem: String| match self {
            Self::Rows => Error::format("memory", problem),
            Self::Numbers(numbers) => numbers.refuse(problem),
            Self::Text { bytes, .. } => bytes.refuse(problem),
        };
        if let Self::Text { starts, bytes } = self
            && (starts.get(0..1)?, starts.get(rows..rows + 1)?) != (&[0], &[bytes.len() as u64])
        {
            return Err(refuse("the ids do not fill their section".to_owned()));
        }
        let mut last = None;
        for row in 0..rows {
            let name = self.name(row)?;
            if matches!(name, Name::Number(..0)) || last.is_some_and(|last| last >= name) {
                return Err(refuse(format!("the id of row {row} is not above the one before")));
            }
            last = Some(name);
        }
        Ok(())
    }
}

/// How rows are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdKind {
    /// By their place in the build.
    Rows,
    /// By 64-bit numbers.
    Numbers,
    /// By text.
    Text,
}

fn expect_one_a_row(got: usize, want: usize) -> Result<()> {
    if got == want { Ok(()) } else { Err(Error::Length { what: "ids", want, got }) }
}

/// The places of `ids` in ascending order; refuses an id that comes twice.
fn ascending<T: std::fmt::Debug>(
    ids: &[T],
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<Vec<usize>> {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    if !ids.is_sorted_by(|a, b| compare(a, b) == Ordering::Less) {
        order.sort_by(|&a, &b| compare(&ids[a], &ids[b]));
    }
    let twice = order.windows(2).find(|pair| compare(&ids[pair[0]], &ids[pair[1]]).is_eq());
    match twice {
        Some(pair) => {
            Err(Error::range("ids", "all different", format!("{:?} twice", ids[pair[0]])))
        }
        None => Ok(order),
    }
}
