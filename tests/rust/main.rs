//! What the engine promises, held against its slow twins. One binary, one module a part.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the line that broke")]

mod cluster;
mod commit;
mod costs;
mod crash;
mod cur;
mod dense;
mod disk;
mod filter;
mod flat;
mod foundation;
mod history;
mod kernels;
mod quantize;
mod static_encoder;
mod store;
mod text;
mod together;
mod tune;
mod verify;
mod write;
