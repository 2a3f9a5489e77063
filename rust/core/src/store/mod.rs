//! Files that survive: versioned, checksummed, bounds-checked, replaced whole.
//!
//! ```text
//! DIR/MANIFEST          which segments make the index now
//! DIR/<hash>.segment    immutable, named after its content
//! DIR/LOCK              held by the one writer
//! ```
//!
//! `save` writes each segment beside the others under a name of its own, forces it to the disk, renames
//! it, forces the directory, and only then replaces the manifest in the same way. Killed at any point,
//! or out of disk, it leaves the previous manifest and everything that it names. What no manifest names
//! is swept by the next writer.

mod column;
mod lock;
mod manifest;
mod map;
mod segment;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use column::{Column, Stored};
pub use map::Number;
pub use segment::Segment;

use crate::{Cancel, Error, Result};
use lock::Lock;
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

/// Makes `directory` hold exactly `segments`, in one step that happens or does not.
///
/// The directory is made if it is missing; one that holds anything but an index of this `kind` is
/// refused, and so is one that another writer is saving to.
pub fn save<A: Serialize + DeserializeOwned>(
    directory: &Path,
    kind: &str,
    attributes: A,
    segments: &[Sections<'_>],
    cancel: &Cancel,
) -> Result<()> {
    fs::create_dir_all(directory).map_err(|source| Error::io(directory, source))?;
    expect_ours(directory)?;
    let _lock = Lock::take(directory)?;
    if let Err(Error::Format { problem, path }) = Manifest::<A>::read(directory, kind)
        && problem.starts_with("an index of kind")
    {
        return Err(Error::format(path, format!("{problem}; save elsewhere")));
    }
    let mut entries = Vec::new();
    for sections in segments {
        let (hash, bytes) = replace(directory, |out| {
            let (hash, bytes) = segment::write(out, sections, cancel)?;
            Ok((file_name(&hash), (hash, bytes)))
        })?;
        entries.push(Entry::new(&hash, bytes));
    }
    cancel.check()?;
    let manifest = Manifest { kind: kind.to_owned(), attributes, segments: entries };
    replace(directory, |out| {
        out.write_all(manifest.to_text().as_bytes())?;
        Ok((manifest::FILE.to_owned(), ()))
    })?;
    sweep(directory, &manifest);
    Ok(())
}

/// The attributes and segments of the index of `kind` in `directory`.
pub fn open<A: Serialize + DeserializeOwned>(
    directory: &Path,
    kind: &str,
    verify: Verify,
    cancel: &Cancel,
) -> Result<(A, Vec<Arc<Segment>>)> {
    loop {
        let manifest = Manifest::<A>::read(directory, kind)?;
        match open_segments(directory, &manifest, verify, cancel) {
            // A writer may have replaced the manifest and swept what the old one named.
            Err(Error::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound
                    && Manifest::<A>::read(directory, kind)?.to_text() != manifest.to_text() => {}
            opened => return Ok((manifest.attributes, opened?)),
        }
    }
}

fn open_segments<A>(
    directory: &Path,
    manifest: &Manifest<A>,
    verify: Verify,
    cancel: &Cancel,
) -> Result<Vec<Arc<Segment>>> {
    let one = |entry: &Entry| {
        let damaged = || Error::format(directory.join(manifest::FILE), "names no segment");
        let hash = entry.hash().ok_or_else(damaged)?;
        Segment::open(&directory.join(file_name(&hash)), &hash, verify, cancel).map(Arc::new)
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

/// Refuses a directory with files that no index has.
fn expect_ours(directory: &Path) -> Result<()> {
    let failed = |source| Error::io(directory, source);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let ours = [manifest::FILE, Lock::FILE].iter().any(|known| name == *known)
            || name.to_str().is_some_and(is_swept);
        if !ours {
            let reason = format!("holds {name:?}, which is no part of an index; save elsewhere");
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, reason)));
        }
    }
    Ok(())
}

fn is_swept(name: &str) -> bool {
    name.starts_with(UNFINISHED) || name.strip_suffix(SEGMENT).is_some_and(|s| s.ends_with('.'))
}

/// Writes a file under a passing name, forces it to the disk, and renames it to the name that `write`
/// returns; then forces the directory, so that the name is on the disk too.
fn replace<T>(
    directory: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<(String, T), segment::WriteError>,
) -> Result<T> {
    let failed = |source| Error::io(directory, source);
    let file =
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(directory).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file());
    let (name, result) = write(&mut out).map_err(|error| error.at(file.path()))?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(failed)?;
    drop(out);
    share(file.as_file()).map_err(failed)?;
    file.persist(directory.join(name)).map_err(|error| failed(error.error))?;
    sync(directory).map_err(failed)?;
    Ok(result)
}

/// Lets others read what a temporary file keeps private.
#[cfg(unix)]
fn share(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn share(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file; the rename is as durable as the system makes it.
#[cfg(not(unix))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes segments that the manifest does not name and files that no writer finished. Readers keep
/// what they have mapped. A file that cannot be removed waits for the next writer.
fn sweep<A>(directory: &Path, manifest: &Manifest<A>) {
    let named: Vec<_> =
        manifest.segments.iter().filter_map(|e| e.hash()).map(|h| file_name(&h)).collect();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| is_swept(name) && !named.iter().any(|n| n == name)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
