//! Lists of like rows, each row kept twice: as a short code and as it is.
//!
//! ```text
//! build    turn the rows to their principal axes; centroids by k-means along the first of them;
//!          each row to its nearest; what is left of it to a 4-bit code, along most of them
//! search   turn the query; for each query:
//!            rank the lists by the score their rows may have, take the first `probes`
//!            scan their codes 16 at a time, keep the `rescore` best
//!            score those exactly, keep the `k` best
//! ```
//!
//! Under dot and cosine a code stands for x − c: q·x = q·c + q·(x − c), so that one table serves all
//! lists and only a constant is a list's own. Under l2 it stands for x itself, for the same reason.
//! Positions number the rows in the order of their lists; `rows` leads back to the order of ids.

mod axes;
mod build;
mod check;
mod coarse;
mod filtered;
mod scan;
mod search;
mod select;
mod together;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::rows::{Rows, Storage};
use super::score::Metric;
use crate::Result;
use crate::quantize::{Bits, ByteTables, Packed, ProductQuantizer};
use crate::store::{Column, Sections, Segment};
use axes::Axes;
use coarse::Coarse;

/// How to build the lists; what is `None` follows from the number of rows and columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lists {
    /// How many lists; 4√rows if `None`.
    pub lists: Option<usize>,
    /// Parts of a code, half a byte each, for four of the principal axes; as many as hold 95 % of the rows'
    /// energy if `None`.
    pub parts: Option<usize>,
}

/// The shape, as a segment states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    lists: usize,
    parts: usize,
    /// Axes that codes lie along.
    columns: usize,
    /// Axes that centroids lie along.
    near: usize,
}

/// Where a list begins.
#[derive(Debug, Clone, Copy)]
struct Bound {
    /// The position of its first row.
    position: usize,
    /// Its first byte among the codes.
    code: usize,
}

/// Rows in lists.
#[derive(Debug)]
pub(super) struct Ivf {
    metric: Metric,
    dim: usize,
    axes: Axes,
    /// The axes in the order of the quantizer's columns.
    columns: Vec<u32>,
    quantizer: ProductQuantizer,
    codebooks: Column<f32>,
    coarse: Coarse,
    starts: Column<u64>,
    /// The same once more, and where the last ends.
    bounds: Vec<Bound>,
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
        let Shape { lists, parts, columns, near } = shape;
        if lists == 0
            || parts > ByteTables::PARTS
            || columns > dim
            || !(1..=columns).contains(&near)
        {
            return Err(segment.refuse(format!("a shape of {shape:?} is out of range")));
        }
        let refuse = |error| segment.refuse(error);
        let codebooks: Column<f32> =
            Column::open(segment, "codebooks", columns.checked_mul(Bits::Four.centroids()))?;
        let quantizer =
            ProductQuantizer::new(columns, parts, Bits::Four, codebooks.all()?.to_vec())
                .map_err(refuse)?;
        let starts: Column<u64> = Column::open(segment, "list starts", lists.checked_add(1))?;
        let ends = starts.all()?;
        let ascending = ends.is_sorted() && ends[0] == 0 && ends[lists] == rows as u64;
        if !ascending {
            return Err(segment.refuse("the lists do not hold the rows"));
        }
        let bounds = bounds(ends, parts);
        Ok(Self {
            metric,
            dim,
            axes: Axes::open(segment, columns, dim)?,
            columns: column_order(columns, parts),
            quantizer,
            codebooks,
            coarse: Coarse::open(metric, segment, lists, near)?,
            codes: Column::open(segment, "codes", bounds.last().map(|end| end.code))?,
            bounds,
            starts,
            rows: Column::open(segment, "rows", Some(rows))?,
            positions: OnceLock::new(),
            vectors: Rows::open(segment, storage, rows, dim)?,
        })
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        self.axes.sections(sections)?;
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
        Shape {
            lists: self.lists(),
            parts: self.quantizer.parts(),
            columns: self.axes.len(),
            near: self.coarse.columns(),
        }
    }

    pub(super) fn lists(&self) -> usize {
        self.coarse.lists()
    }

    /// Writes the first numbers of row `row`.
    pub(super) fn read(&self, row: usize, out: &mut [f32]) -> Result<()> {
        let position = self.positions_of_rows()?[row] as usize;
        self.vectors.read(position, out)
    }

    /// Where the codes of `list` lie.
    #[inline]
    fn code_range(&self, list: usize) -> Range<usize> {
        self.bounds[list].code..self.bounds[list + 1].code
    }

    #[inline]
    fn positions(&self, list: usize) -> Range<usize> {
        self.bounds[list].position..self.bounds[list + 1].position
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

/// `columns` axes dealt out to `parts`, to and fro, so that each part gets some of much energy and some
/// of little: part after part its axes.
fn column_order(columns: usize, parts: usize) -> Vec<u32> {
    let part = |column: usize| match (column / parts, column % parts) {
        (round, place) if round % 2 == 0 => place,
        (_, place) => parts - 1 - place,
    };
    let mut order: Vec<u32> = (0..columns as u32).collect();
    order.sort_by_key(|&column| part(column as usize));
    order
}

/// Where lists with these ends begin, each with codes in blocks of its own, and where the last ends.
fn bounds(ends: &[u64], parts: usize) -> Vec<Bound> {
    let mut last = Bound { position: 0, code: 0 };
    let mut bounds = vec![last];
    bounds.extend(ends[1..].iter().map(|&end| {
        let position = end as usize;
        last = Bound { position, code: last.code + Packed::size(position - last.position, parts) };
        last
    }));
    bounds
}
