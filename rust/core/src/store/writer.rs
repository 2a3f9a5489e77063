//! The one writer of a directory.
//!
//! ```text
//! commit    each new segment: write, force, rename
//!           force the directory
//!           manifest: write, force, rename over the previous one     <- here it happens
//!           force the directory
//!           remove what the manifest does not name
//! ```
//!
//! Until the last rename readers find the previous manifest and everything that it names. A step that
//! fails undoes what was done. If forcing the directory fails after the rename, nobody can say which
//! manifest a power cut would leave; then the previous one is put back, and if that fails too the
//! writer refuses to go on.
//!
//! A manifest may also be kept elsewhere, by a caller who has more to commit with it: [`Writer::prepare`]
//! is the first two lines, [`Writer::settle`] the last one, and what lies between is the caller's.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::{self, Unfinished};
use super::lock::Lock;
use super::manifest::{self, Entry, Manifest};
use super::segment::{self, Segment};
use super::{SEGMENT, Sections, UNFINISHED, Verify, file_name};
use crate::{Cancel, Error, Result};

/// The right to change the index in a directory.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    kind: String,
    _lock: Lock,
    /// What the directory holds: the text of the manifest and the files that it names.
    manifest: Option<String>,
    named: Vec<String>,
    /// A child that inherits the lock by `fork` must not write.
    process: u32,
    /// The directory may hold another manifest than `manifest`.
    lost: bool,
}

impl Writer {
    /// Takes the lock of `directory`, which is made if it is missing; one that holds anything but an
    /// index of this `kind` is refused, and so is one that another writer holds.
    pub fn open<A>(directory: &Path, kind: &str) -> Result<Self>
    where
        A: Serialize + DeserializeOwned,
    {
        let lock = lock(directory)?;
        let (manifest, named) = match Manifest::<A>::read(directory, kind) {
            Ok(manifest) => (Some(manifest.to_text()), manifest.file_names()),
            // A manifest that cannot be read is replaced, but not one of another kind.
            Err(Error::Format { problem, path }) if problem.starts_with("an index of kind") => {
                return Err(Error::format(path, format!("{problem}; save elsewhere")));
            }
            Err(Error::Io { path, source }) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Io { path, source });
            }
            Err(_) => (None, Vec::new()),
        };
        Ok(Self::new(directory, kind, lock, manifest, named))
    }

    /// Takes the lock of `directory`, whose manifest the caller keeps; there it is `manifest`.
    pub fn open_as<A>(directory: &Path, kind: &str, manifest: &str) -> Result<Self>
    where
        A: Serialize + DeserializeOwned,
    {
        let manifest = Manifest::<A>::parse_of(directory, manifest, kind)?;
        let lock = lock(directory)?;
        Ok(Self::new(directory, kind, lock, None, manifest.file_names()))
    }

    fn new(
        directory: &Path,
        kind: &str,
        lock: Lock,
        manifest: Option<String>,
        named: Vec<String>,
    ) -> Self {
        let (directory, kind) = (directory.to_owned(), kind.to_owned());
        let process = std::process::id();
        Self { directory, kind, _lock: lock, manifest, named, process, lost: false }
    }

    /// Whether the directory has a manifest, be it damaged.
    pub fn holds_index(&self) -> bool {
        self.directory.join(manifest::FILE).exists()
    }

    /// Where.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A segment of `sections`, on the disk, but part of the index only once it is committed.
    pub fn write(&self, sections: &Sections<'_>, cancel: &Cancel) -> Result<Arc<Segment>> {
        self.expect_usable()?;
        let failed = |source| Error::io(&self.directory, source);
        let mut file = Unfinished::create(&self.directory, UNFINISHED).map_err(failed)?;
        let written = segment::write(&mut file, sections, cancel);
        let (hash, _) = written.map_err(|error| error.at(file.path()))?;
        let path = file.keep(&file_name(&hash)).map_err(failed)?;
        // Just written: a block is compared with its checksum when it is first touched.
        Segment::open(&path, &hash, Verify::Lazy, cancel).map(Arc::new)
    }

    /// Makes the directory hold exactly `segments`, which [`Writer::write`] made or which were there,
    /// in one step that happens or does not.
    pub fn commit<A: Serialize + DeserializeOwned>(
        &mut self,
        attributes: A,
        segments: &[Arc<Segment>],
        cancel: &Cancel,
    ) -> Result<()> {
        let manifest = self.prepared(attributes, segments, cancel)?;
        let text = manifest.to_text();
        let failed = |source| Error::io(&self.directory, source);
        self.replace_manifest(&text).map_err(failed)?;
        if let Err(source) = disk::sync_directory(&self.directory) {
            self.lost = self.put_back().is_err();
            return Err(failed(source));
        }
        self.manifest = Some(text);
        self.named = manifest.file_names();
        self.sweep();
        Ok(())
    }

    /// The manifest of exactly `segments`, which are on the disk for good, for a caller who keeps it.
    pub fn prepare<A: Serialize + DeserializeOwned>(
        &self,
        attributes: A,
        segments: &[Arc<Segment>],
        cancel: &Cancel,
    ) -> Result<String> {
        Ok(self.prepared(attributes, segments, cancel)?.to_text())
    }

    fn prepared<A: Serialize + DeserializeOwned>(
        &self,
        attributes: A,
        segments: &[Arc<Segment>],
        cancel: &Cancel,
    ) -> Result<Manifest<A>> {
        self.expect_usable()?;
        cancel.check()?;
        let segments = segments.iter().map(|segment| Entry::new(segment)).collect();
        disk::sync_directory(&self.directory)
            .map_err(|source| Error::io(&self.directory, source))?;
        Ok(Manifest { kind: self.kind.clone(), attributes, segments })
    }

    /// Removes what `manifest`, which the caller keeps from now on, does not name.
    pub fn settle<A>(&mut self, manifest: &str) -> Result<()>
    where
        A: Serialize + DeserializeOwned,
    {
        self.named = Manifest::<A>::parse_of(&self.directory, manifest, &self.kind)?.file_names();
        self.sweep();
        Ok(())
    }

    fn replace_manifest(&self, text: &str) -> io::Result<()> {
        let mut file = Unfinished::create(&self.directory, UNFINISHED)?;
        file.write_all(text.as_bytes())?;
        file.keep(manifest::FILE).map(drop)
    }

    fn put_back(&self) -> io::Result<()> {
        match &self.manifest {
            Some(text) => self.replace_manifest(text)?,
            None => disk::remove(&self.directory.join(manifest::FILE))?,
        }
        disk::sync_directory(&self.directory)
    }

    /// Removes segments that the manifest does not name and files that no writer finished. Readers
    /// keep what they have mapped. A file that cannot be removed waits for the next writer.
    pub fn sweep(&self) {
        if self.expect_usable().is_err() {
            return;
        }
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let swept = |name: &str| is_swept(name) && !self.named.iter().any(|n| n == name);
            if name.to_str().is_some_and(swept) {
                let _ = disk::remove(&entry.path());
            }
        }
    }

    fn expect_usable(&self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::io(&self.directory, io::Error::other(reason)));
        if self.process != std::process::id() {
            return refuse("opened for writing by the parent process; open the index again");
        }
        if self.lost {
            return refuse("a failed commit could not be undone; open the index again");
        }
        Ok(())
    }
}

impl<A> Manifest<A> {
    fn file_names(&self) -> Vec<String> {
        self.segments.iter().filter_map(Entry::hash).map(|hash| file_name(&hash)).collect()
    }
}

/// Makes `directory` if it is missing and takes its lock.
fn lock(directory: &Path) -> Result<Lock> {
    disk::make_directory(directory).map_err(|source| Error::io(directory, source))?;
    expect_ours(directory)?;
    Lock::take(directory)
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
