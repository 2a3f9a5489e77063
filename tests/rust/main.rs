//! What the engine promises, held against its slow twins. One binary, one module a part.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the line that broke")]

mod cluster;
mod commit;
mod dense;
mod filter;
mod flat;
mod foundation;
mod kernels;
mod quantize;
mod static_encoder;
mod store;
mod text;
mod tune;
mod write;
