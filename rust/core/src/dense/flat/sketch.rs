//! Every row in bytes, as `kernels::sketch` compares it with queries.

use std::ops::Range;
use std::sync::Arc;

use crate::dense::rows::{Rows, Storage};
use crate::dense::score::BLOCK;
use crate::kernels::{rest, to_bytes};
use crate::store::{Column, Sections, Segment};
use crate::{Cancel, Result, Threads};

/// Every row in bytes.
#[derive(Debug)]
pub(super) struct Sketch {
    /// Bytes and scales, unless the rows are kept as such themselves.
    own: Option<(Column<i8>, Column<f32>)>,
    /// ρ of each row.
    rests: Column<f32>,
}

/// Some rows in bytes.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    pub(super) bytes: &'a [i8],
    pub(super) scales: &'a [f32],
    pub(super) rests: &'a [f32],
}

impl Sketch {
    pub(super) fn new(rows: &Rows, threads: Threads, cancel: &Cancel) -> Result<Self> {
        let (n, dim) = (rows.len(), rows.dim());
        let own = rows.bytes(0..n)?.is_none();
        let mut bytes = vec![0i8; if own { n * dim } else { 0 }];
        let mut scaled = vec![[0.0f32; 2]; n];
        if own {
            let both = (&mut bytes[..], &mut scaled[..]);
            threads.pairs_mut(both, (dim, 1), BLOCK, cancel, |first, bytes, scaled| {
                let mut row = vec![0.0; dim];
                for ((bytes, out), i) in bytes.chunks_exact_mut(dim).zip(scaled).zip(first..) {
                    rows.read(i, &mut row)?;
                    let scale = to_bytes(&row, bytes);
                    *out = [scale, rest(&row, bytes, scale)];
                }
                Ok(())
            })?;
        } else {
            threads.chunks_mut(&mut scaled, 1, BLOCK, cancel, |first, scaled| {
                let mut row = vec![0.0; dim];
                for (out, i) in scaled.iter_mut().zip(first..) {
                    rows.read(i, &mut row)?;
                    let (bytes, scales) = rows.bytes(i..i + 1)?.expect("kept as bytes");
                    *out = [scales[0], rest(&row, bytes, scales[0])];
                }
                Ok(())
            })?;
        }
        let rests = Column::Owned(scaled.iter().map(|[_, rest]| *rest).collect());
        let scales = scaled.iter().map(|[scale, _]| *scale).collect();
        let own = own.then(|| (Column::Owned(bytes), Column::Owned(scales)));
        Ok(Self { own, rests })
    }

    pub(super) fn open(
        segment: &Arc<Segment>,
        storage: Storage,
        rows: usize,
        dim: usize,
    ) -> Result<Self> {
        let own = match storage {
            Storage::Int8 => None,
            Storage::F32 | Storage::F16 => Some((
                Column::open(segment, "bytes", rows.checked_mul(dim))?,
                Column::open(segment, "scales", Some(rows))?,
            )),
        };
        Ok(Self { own, rests: Column::open(segment, "rests", Some(rows))? })
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        if let Some((bytes, scales)) = &self.own {
            sections.extend([("bytes", bytes.bytes()?), ("scales", scales.bytes()?)]);
        }
        sections.push(("rests", self.rests.bytes()?));
        Ok(())
    }

    /// Whether the sketch of row `i` of `rows`, whose numbers are `row`, is what [`Sketch::new`] makes.
    pub(super) fn is_of(&self, rows: &Rows, i: usize, row: &[f32]) -> Result<bool> {
        let kept = self.get(rows, i..i + 1)?;
        let mut bytes = kept.bytes.to_vec();
        let scale = if self.own.is_some() { to_bytes(row, &mut bytes) } else { kept.scales[0] };
        let made = [scale, rest(row, &bytes, scale)].map(f32::to_bits);
        Ok(bytes == kept.bytes && made == [kept.scales[0], kept.rests[0]].map(f32::to_bits))
    }

    /// The sketch of `range` of `rows`.
    pub(super) fn get<'a>(&'a self, rows: &'a Rows, range: Range<usize>) -> Result<Bytes<'a>> {
        let dim = rows.dim();
        let (bytes, scales) = match &self.own {
            Some((bytes, scales)) => {
                (bytes.get(range.start * dim..range.end * dim)?, scales.get(range.clone())?)
            }
            None => rows.bytes(range.clone())?.expect("opened or built with rows of bytes"),
        };
        Ok(Bytes { bytes, scales, rests: self.rests.get(range)? })
    }
}
