//! Whatever the tokenizer.json, loading it and encoding with it ends in a result or a refusal.
//!
//! The input is taken as a whole file, and then as changes to a file that works: place, bytes dropped,
//! bytes put in their stead, repeated.
#![no_main]

use std::path::Path;
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use magnetite_core::text::{Asked, Tokenizer};
use magnetite_core::{Cancel, Threads};

const FILES: [&str; 3] = [
    include_str!("../../tests/golden/tokenizers/wordpiece.json"),
    include_str!("../../tests/golden/tokenizers/byte_level_bpe.json"),
    include_str!("../../tests/golden/tokenizers/unigram.json"),
];

fuzz_target!(|data: &[u8]| {
    // libfuzzer's hook ends the process at a panic, also at one that is caught: the tokenizers crate
    // panics over files that contradict themselves, and the loader makes refusals of that.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    load(data.to_vec());
    if let Some((&first, changes)) = data.split_first() {
        load(changed(FILES[usize::from(first) % FILES.len()], changes));
    }
});

fn load(file: Vec<u8>) {
    let Ok(json) = String::from_utf8(file) else { return };
    let loaded = std::panic::catch_unwind(|| {
        let Ok(tokenizer) = Tokenizer::from_json(json, Path::new("fuzz")) else { return };
        for (offsets, max_tokens) in [(false, None), (true, Some(4))] {
            let asked = Asked { offsets, max_tokens, ..Asked::default() };
            let texts = ["", "Licensed works, é👍 [MASK]", "\0\u{301}"];
            let _ = tokenizer.encode_batch(&texts, asked, Threads::ONE, &Cancel::new());
        }
    });
    if loaded.is_err() {
        std::process::abort();
    }
}

fn changed(file: &str, mut changes: &[u8]) -> Vec<u8> {
    let mut file = file.as_bytes().to_vec();
    while let [high, low, dropped, put, rest @ ..] = changes {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % file.len();
        let end = (at + usize::from(dropped % 32)).min(file.len());
        let (new, rest) = rest.split_at(usize::from(put % 16).min(rest.len()));
        file.splice(at..end, new.iter().copied());
        changes = rest;
        if file.is_empty() {
            break;
        }
    }
    file
}
