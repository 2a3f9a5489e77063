//! Whatever the bytes, reading them as safetensors, and as a static encoder, ends in a result or a refusal.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use magnetite_core::static_encoder::StaticEncoder;
use magnetite_core::tensors::Tensors;
use magnetite_core::text::Ragged;
use magnetite_core::{Cancel, Threads};

fuzz_target!(|data: &[u8]| {
    let Ok(tensors) = Tensors::parse(data, Path::new("fuzz")) else { return };
    let Ok(encoder) = StaticEncoder::new(tensors) else { return };
    let last = i32::try_from(encoder.vocab_size() - 1).unwrap_or(i32::MAX);
    let (ids, starts) = ([0, last, last], [0, 1, 1, 3]);
    let ids = Ragged::new(&ids, &starts).expect("three rows");
    let _ = encoder.encode(ids, Threads::ONE, &Cancel::new());
});
