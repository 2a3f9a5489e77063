//! Text to ids: the `tokenizers` crate under our own threads, and batches of the ids.

pub mod batch;
mod tokenizer;
mod tokens;

pub use tokenizer::{Asked, Tokenizer};
pub use tokens::{Padding, Ragged, Tokens, Width};
