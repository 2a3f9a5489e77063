//! The engine of Magnetite: text to ids, vectors to codes, queries to the best rows.
//!
//! This crate has never heard of Python. Scores grow with similarity everywhere; order is total:
//! higher score first, then lower id. `docs/architecture.md` maps the folders to ideas.

pub mod cancel;
pub mod cluster;
pub mod cur;
pub mod dense;
pub mod error;
pub mod kernels;
pub mod matrix;
#[cfg(feature = "oracle")]
pub mod oracle;
pub mod parallel;
pub mod quantize;
pub mod rng;
pub mod static_encoder;
pub mod store;
pub mod tensors;
pub mod text;
pub mod topk;

pub use cancel::Cancel;
pub use error::{Error, Result};
pub use matrix::{Matrix, MatrixRef};
pub use parallel::Threads;
