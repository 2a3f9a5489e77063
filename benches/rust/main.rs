//! What each part costs, one module a part: `cargo bench`, or `cargo bench -- topk` for one.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that unwraps stops with the line that broke")]

mod cluster;
mod cur;
mod dense;
mod kernels;
mod quantize;
mod text;
mod topk;

criterion::criterion_main!(
    cluster::benches,
    cur::benches,
    dense::benches,
    kernels::benches,
    quantize::benches,
    text::benches,
    topk::benches,
);
