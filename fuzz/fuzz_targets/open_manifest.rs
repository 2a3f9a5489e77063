//! Whatever the manifest beside whatever segment, opening the directory ends in a result or a refusal.
//!
//! The input is taken as the whole file, and then as JSON under a first line whose checksum holds.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use magnetite_core::dense::{Build, Index, NewIds, Search};
use magnetite_core::store::Verify;
use magnetite_core::{Cancel, Matrix, Threads};

/// An index of four rows, two of them gone, whose manifest is replaced by every input.
static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let rows = Matrix::new((0..8).map(|x| x as f32).collect(), 2).expect("whole rows");
    let (threads, cancel) = (Threads::ONE, Cancel::new());
    let index = Index::build(rows.view(), NewIds::Rows, &Build::default(), threads, &cancel);
    index.and_then(|index| index.save(directory.path(), &cancel)).expect("a small index");
    directory
});

fuzz_target!(|data: &[u8]| {
    let directory = DIRECTORY.path();
    open(directory, data);
    let head = format!("magnetite-manifest 1 {}\n", blake3::hash(data));
    open(directory, &[head.as_bytes(), data].concat());
});

fn open(directory: &Path, manifest: &[u8]) {
    std::fs::write(directory.join("MANIFEST"), manifest).expect("a writable directory");
    for verify in [Verify::Full, Verify::Lazy] {
        let Ok(index) = Index::open(directory, verify, &Cancel::new()) else { continue };
        let queries = Matrix::new(vec![1.0; index.dim()], index.dim()).expect("whole rows");
        let _ = index.search(queries.view(), &Search::default(), Threads::ONE, &Cancel::new());
    }
}
