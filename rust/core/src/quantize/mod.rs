//! Vectors as short codes, and scores read from tables.
//!
//! A product quantizer cuts a vector into parts and names, for each part, the nearest of 16 or 256
//! centroids. A query makes one table of scores a part; the score of a code is a sum of look-ups. With
//! 16 centroids the tables shrink to bytes, and [`Packed`] codes are summed 32 at a time
//! by [`crate::kernels::Kernels::scan`]. `scalar` keeps each number of its own, in two bytes or one.

mod codes;
mod product;
mod scalar;
mod table;

pub use crate::kernels::to_bytes;
pub use codes::{Codes, Packed};
pub use product::{Bits, ProductQuantizer};
pub use scalar::{LARGEST_HALF, to_half};
pub use table::{ByteTables, Table};
