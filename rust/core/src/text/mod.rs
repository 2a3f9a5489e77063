//! Text to ids: fast paths of our own and, where there is none, the `tokenizers` crate; batches of ids.

pub mod batch;
mod bounds;
mod chunk;
pub mod columns;
mod fast;
mod frame;
mod pairs;
mod recognize;
mod rows;
mod tokenizer;
mod tokens;
#[cfg(test)]
mod twins;

pub use chunk::{Chunks, Windows};
pub use pairs::Strategy;
pub use rows::{Rows, WINDOW};
pub use tokenizer::{Asked, BLOCK, Tokenizer};
pub use tokens::{Padding, Ragged, Tokens, Width};
