//! Files that survive: versioned, checksummed, bounds-checked, replaced whole.
//!
//! ```text
//! DIR/MANIFEST          which segments make the index now
//! DIR/<hash>.segment    immutable, named after its content
//! DIR/LOCK              held by the one writer
//! ```
//!
//! Segments are written beside the others and renamed to their names; replacing the manifest is the one
//! step by which a commit happens (`writer`). Killed at any point, or out of disk, a writer leaves the
//! previous manifest and everything that it names. What no manifest names is swept by the next writer.
//! Somebody who has more to commit than an index keeps the manifest instead (`open_as`).

mod column;
mod disk;
mod lock;
mod manifest;
mod map;
mod segment;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use column::{Column, Stored};
pub use disk::Step;
#[cfg(feature = "faults")]
pub use disk::watch;
pub use map::Number;
pub use segment::Segment;
pub use writer::Writer;

use crate::{Cancel, Error, Result};
use manifest::{Entry, Manifest};

/// When the checksums of a segment are compared with its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// All of them at open.
    Full,
    /// The structure at open, each block at its first touch.
    Lazy,
}

/// The sections of one segment: name and bytes.
pub type Sections<'a> = Vec<(&'a str, &'a [u8])>;

const SEGMENT: &str = "segment";
const UNFINISHED: &str = ".unfinished-";

/// The attributes and segments of the index of `kind` in `directory`. Those of `known` that it still
/// names are taken as they are.
pub fn open<A: Serialize + DeserializeOwned>(
    directory: &Path,
    kind: &str,
    known: &[Arc<Segment>],
    verify: Verify,
    cancel: &Cancel,
) -> Result<(A, Vec<Arc<Segment>>)> {
    loop {
        let manifest = Manifest::<A>::read(directory, kind)?;
        match open_segments(directory, &manifest, known, verify, cancel) {
            // A writer may have replaced the manifest and swept what the old one named.
            Err(Error::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound
                    && Manifest::<A>::read(directory, kind)?.to_text() != manifest.to_text() => {}
            opened => return Ok((manifest.attributes, opened?)),
        }
    }
}

/// The same by a `manifest` that the caller keeps.
pub fn open_as<A: Serialize + DeserializeOwned>(
    directory: &Path,
    kind: &str,
    manifest: &str,
    known: &[Arc<Segment>],
    verify: Verify,
    cancel: &Cancel,
) -> Result<(A, Vec<Arc<Segment>>)> {
    let manifest = Manifest::<A>::parse_of(directory, manifest, kind)?;
    let segments = open_segments(directory, &manifest, known, verify, cancel)?;
    Ok((manifest.attributes, segments))
}

fn open_segments<A>(
    directory: &Path,
    manifest: &Manifest<A>,
    known: &[Arc<Segment>],
    verify: Verify,
    cancel: &Cancel,
) -> Result<Vec<Arc<Segment>>> {
    let one = |entry: &Entry| {
        let damaged = || Error::format(directory.join(manifest::FILE), "names no segment");
        let hash = entry.hash().ok_or_else(damaged)?;
        let path = directory.join(file_name(&hash));
        match known.iter().find(|known| known.hash() == &hash && known.path() == path) {
            Some(known) => Ok(Arc::clone(known)),
            None => Segment::open(&path, &hash, verify, cancel).map(Arc::new),
        }
    };
    manifest.segments.iter().map(one).collect()
}

/// The bytes of a segment file with these sections: what `save` would write.
pub fn segment_bytes(sections: &Sections<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    segment::write(&mut bytes, sections, &Cancel::new()).expect("memory takes every write");
    bytes
}

fn file_name(hash: &segment::Hash) -> String {
    format!("{}.{SEGMENT}", &blake3::Hash::from_bytes(*hash).to_hex()[..32])
}
