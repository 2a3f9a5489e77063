//! Lists of like rows, each row kept twice: as a short code and as it is.
//!
//! ```text
//! build    centroids by k-means; each row to its nearest; what is left of it to a 4-bit code
//! search   for each query:
//!            rank the lists by the score their rows may have, take the first `probes`
//!            scan their codes 32 at a time, keep the `rescore` best
//!            score those exactly, keep the `k` best
//! ```
//!
//! Under dot and cosine a code stands for x − c: q·x = q·c + q·(x − c), so that one table serves all
//! lists and only a constant is a list's own. Under l2 it stands for x itself, for the same reason.
//! Positions number the rows in the order of their lists; `rows` leads back to the order of ids.

mod build;
mod check;
mod coarse;
mod filtered;
mod search;
mod select;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::rows::{Rows, Storage};
use super::score::Metric;
use crate::Result;
use crate::quantize::{Bits, ByteTables, Packed, ProductQuantizer};
use crate::store::{Column, Sections, Segment};
use coarse::Coarse;

/// How to build the lists; what is `None` follows from the number of rows and columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lists {
    /// How many lists; 4√rows if `None`.
    pub lists: Option<usize>,
    /// Parts of a code, half a byte each; one for four columns if `None`.
    pub parts: Option<usize>,
}

/// The shape, as a segment states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    lists: usize,
    parts: usize,
}

/// Rows in lists.
#[derive(Debug)]
pub(super) struct Ivf {
    metric: Metric,
    dim: usize,
    quantizer: ProductQuantizer,
    codebooks: Column<f32>,
    coarse: Coarse,
    /// List `l` holds positions `starts[l]..starts[l + 1]`.
    starts: Column<u64>,
    /// Where the codes of each list begin; each list fills whole blocks.
    code_starts: Vec<usize>,
    codes: Column<u8>,
    /// The row at each position.
    rows: Column<u32>,
    /// The position of each row, once somebody asks.
    positions: OnceLock<Vec<u32>>,
    /// The numbers of the row at each position.
    vectors: Rows,
}

impl Ivf {
    pub(super) fn open(
        metric: Metric,
        storage: Storage,
        shape: Shape,
        segment: &Arc<Segment>,
        rows: usize,
        dim: usize,
    ) -> Result<Self> {
        let Shape { lists, parts } = shape;
        if lists == 0 || parts > ByteTables::PARTS {
            return Err(segment.refuse(format!("{lists} lists of {parts} parts are out of range")));
        }
        let refuse = |error| segment.refuse(error);
        let codebooks: Column<f32> =
            Column::open(segment, "codebooks", dim.checked_mul(Bits::Four.centroids()))?;
        let quantizer = ProductQuantizer::new(dim, parts, Bits::Four, codebooks.all()?.to_vec())
            .map_err(refuse)?;
        let starts: Column<u64> = Column::open(segment, "list starts", lists.checked_add(1))?;
        let ends = starts.all()?;
        let ascending = ends.is_sorted() && ends[0] == 0 && ends[lists] == rows as u64;
        if !ascending {
            return Err(segment.refuse("the lists do not hold the rows"));
        }
        let code_starts = code_starts(ends, parts);
        Ok(Self {
            metric,
            dim,
            quantizer,
            codebooks,
            coarse: Coarse::open(metric, shape, segment, dim)?,
            codes: Column::open(segment, "codes", code_starts.last().copied())?,
            code_starts,
            starts,
            rows: Column::open(segment, "rows", Some(rows))?,
            positions: OnceLock::new(),
            vectors: Rows::open(segment, storage, rows, dim)?,
        })
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        self.coarse.sections(sections)?;
        sections.extend([
            ("codebooks", self.codebooks.bytes()?),
            ("list starts", self.starts.bytes()?),
            ("rows", self.rows.bytes()?),
            ("codes", self.codes.bytes()?),
        ]);
        self.vectors.sections(sections)
    }

    pub(super) fn shape(&self) -> Shape {
        Shape { lists: self.lists(), parts: self.quantizer.parts() }
    }

    pub(super) fn lists(&self) -> usize {
        self.coarse.lists()
    }

    /// Writes the first numbers of row `row`.
    pub(super) fn read(&self, row: usize, out: &mut [f32]) -> Result<()> {
        let position = self.positions_of_rows()?[row] as usize;
        self.vectors.read(position, out)
    }

    fn codes_of(&self, list: usize) -> Result<&[u8]> {
        self.codes.get(self.code_starts[list]..self.code_starts[list + 1])
    }

    fn positions(&self, list: usize) -> Result<Range<usize>> {
        let ends = self.starts.get(list..list + 2)?;
        Ok(ends[0] as usize..ends[1] as usize)
    }

    /// The position of each row, by row; found at the first call.
    fn positions_of_rows(&self) -> Result<&[u32]> {
        if self.positions.get().is_none() {
            let rows = self.rows.all()?;
            let mut positions = vec![u32::MAX; rows.len()];
            for (position, &row) in (0u32..).zip(rows) {
                let place = positions.get_mut(row as usize).filter(|place| **place == u32::MAX);
                *place.ok_or_else(|| self.rows.refuse("a row is in two places"))? = position;
            }
            let _ = self.positions.set(positions);
        }
        Ok(self.positions.get().expect("set above, or by another thread"))
    }
}

/// Where the codes of lists with these ends begin, and where the last end.
fn code_starts(ends: &[u64], parts: usize) -> Vec<usize> {
    let mut at = 0;
    let mut starts = vec![0];
    starts.extend(ends.windows(2).map(|ends| {
        at += Packed::size((ends[1] - ends[0]) as usize, parts);
        at
    }));
    starts
}
