//! Many short vectors, stored so that one register holds the same coordinate of 16 of them.

use crate::MatrixRef;

/// The longest vectors that count as short.
pub const SHORT: usize = 16;

/// Vectors of at most [`SHORT`] numbers, in blocks of 16 vectors: first coordinate of all 16, second…
///
/// Filled up with zeros to a length of 1, 2, 4, 8 or 16 and to whole blocks; a zero beside a zero
/// changes no dot product and no distance.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    dim: usize,
    width: usize,
    len: usize,
    blocks: Vec<f32>,
}

impl Columns {
    /// The rows, in columns; `None` if they are not short.
    pub fn new(rows: MatrixRef<'_>) -> Option<Self> {
        Self::of_width(rows, rows.dim().next_power_of_two())
    }

    /// The rows, in columns filled up to `width` numbers, a power of two that is at least their
    /// length; `None` if that is not short.
    pub fn of_width(rows: MatrixRef<'_>, width: usize) -> Option<Self> {
        let (dim, len) = (rows.dim(), rows.rows());
        if width > SHORT || width < dim || !width.is_power_of_two() {
            return None;
        }
        let mut blocks = vec![0.0; len.div_ceil(16) * 16 * width];
        for (j, row) in rows.iter().enumerate() {
            for (d, x) in row.iter().enumerate() {
                blocks[(j / 16 * width + d) * 16 + j % 16] = *x;
            }
        }
        Some(Self { dim, width, len, blocks })
    }

    /// How many vectors.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many with those that fill the last block.
    pub(super) fn padded_len(&self) -> usize {
        self.len.next_multiple_of(16)
    }

    /// Numbers stored of each vector.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Block after block, coordinate after coordinate.
    pub fn blocks(&self) -> &[f32] {
        &self.blocks
    }

    /// `query` filled up with zeros; panics unless it is as long as the vectors.
    pub(super) fn padded(&self, query: &[f32]) -> [f32; SHORT] {
        assert_eq!(query.len(), self.dim, "a query is as long as the vectors");
        let mut padded = [0.0; SHORT];
        padded[..query.len()].copy_from_slice(query);
        padded
    }
}
