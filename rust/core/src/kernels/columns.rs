//! Many short vectors, stored so that one register holds the same coordinate of 16 of them.

/// The longest vectors that count as short.
pub const SHORT: usize = 16;

/// Vectors of at most [`SHORT`] numbers, in blocks of 16 vectors: first coordinate of all 16, second…
///
/// Filled up with zeros to a length of 1, 2, 4, 8 or 16 and to whole blocks; a zero beside a zero
/// changes no dot product and no distance.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    width: usize,
    len: usize,
    blocks: Vec<f32>,
}

impl Columns {
    /// The rows, in columns filled up to `width` numbers, a power of two that is at least their
    /// length; `None` if that is not short.
    pub fn of_width<'a>(
        rows: impl ExactSizeIterator<Item = &'a [f32]>,
        width: usize,
    ) -> Option<Self> {
        if width > SHORT || !width.is_power_of_two() {
            return None;
        }
        let len = rows.len();
        let mut blocks = vec![0.0; len.div_ceil(16) * 16 * width];
        for (j, row) in rows.enumerate() {
            let block = &mut blocks[j / 16 * 16 * width..][..16 * width];
            for (column, x) in block.chunks_exact_mut(16).zip(row) {
                column[j % 16] = *x;
            }
        }
        Some(Self { width, len, blocks })
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
}
