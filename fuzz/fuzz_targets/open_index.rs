//! Whatever the bytes, opening and searching them ends in a result or a refusal.
//!
//! The input is taken as a segment file, and then as sections under checksums that hold, so that the
//! fuzzer need not find a BLAKE3 of its own: name length, name, 4 bytes of length, bytes, repeated.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use magnetite_core::dense::{Index, Search};
use magnetite_core::store::{Sections, Segment, Verify, segment_bytes};
use magnetite_core::{Cancel, Matrix, Threads};

fuzz_target!(|data: &[u8]| {
    open(data);
    if let Some(sections) = sections(data) {
        open(&segment_bytes(&sections));
    }
});

fn open(bytes: &[u8]) {
    for verify in [Verify::Full, Verify::Lazy] {
        let Ok(segment) = Segment::from_bytes(Path::new("fuzz"), bytes, verify) else { continue };
        let Ok(index) = Index::from_segment(&segment.into()) else { continue };
        let queries = Matrix::new(vec![1.0; 2 * index.dim()], index.dim()).expect("whole rows");
        let search = Search { k: 100, ..Search::default() };
        let _ = index.search(queries.view(), &search, Threads::ONE, &Cancel::new());
    }
}

fn sections(data: &[u8]) -> Option<Sections<'_>> {
    let mut rest = data;
    let mut sections = Sections::new();
    while let Some((&length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(length))?;
        let (length, after) = after.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let (bytes, after) = after.split_at_checked(length)?;
        sections.push((std::str::from_utf8(name).ok()?, bytes));
        rest = after;
    }
    Some(sections)
}
