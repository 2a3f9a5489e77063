//! Text to ids: fast paths of our own and, where there is none, the `tokenizers` crate; batches of ids.

pub mod batch;
pub mod columns;
mod fast;
mod recognize;
mod rows;
mod tokenizer;
mod tokens;

pub use rows::{Rows, WINDOW};
pub use tokenizer::{Asked, BLOCK, Tokenizer};
pub use tokens::{Padding, Ragged, Tokens, Width};
