//! Text to ids: fast paths of our own and, where there is none, the `tokenizers` crate; batches of ids.

pub mod batch;
mod fast;
mod recognize;
mod rows;
mod tokenizer;
mod tokens;

pub use rows::Rows;
pub use tokenizer::{Asked, Tokenizer};
pub use tokens::{Padding, Ragged, Tokens, Width};
