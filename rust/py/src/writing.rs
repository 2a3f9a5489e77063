//! Who may replace the snapshot of an index, and where a change is kept.

use std::path::PathBuf;
use std::sync::Arc;

use magnetite_core::dense::{self, Writer};
use magnetite_core::{Cancel, Error, Result};

/// Who may replace the snapshot.
pub(crate) struct Writing {
    pub(crate) to: To,
    /// What a batch began with.
    pub(crate) before: Option<Arc<dense::Index>>,
}

pub(crate) enum To {
    /// Anybody; nothing is kept beyond memory.
    Memory,
    /// Nobody.
    Nowhere,
    /// The one writer of the directory.
    Directory(Box<Writer>),
    /// The same, but the caller keeps the manifest: changes stay in memory until they are prepared.
    Kept(Box<Writer>),
}

impl Writing {
    pub(crate) fn expect_writable(&self, path: Option<&PathBuf>) -> Result<()> {
        match (&self.to, path) {
            (To::Nowhere, path) => {
                let reason = "opened for reading; open it with writable=True to change it";
                let path = path.cloned().unwrap_or_default();
                Err(Error::io(path, std::io::Error::other(reason)))
            }
            _ => Ok(()),
        }
    }

    /// Commits `next` if there is a directory; returns it as it lies there.
    pub(crate) fn commit(
        &mut self,
        next: &dense::Index,
        cancel: &Cancel,
    ) -> Result<Option<dense::Index>> {
        let To::Directory(writer) = &mut self.to else { return Ok(None) };
        writer.commit(next, cancel)?;
        Ok(Some(writer.index().clone()))
    }

    /// Writes `next` down for a caller who keeps the manifest; returns it as it lies there, and that.
    pub(crate) fn prepare(
        &mut self,
        next: &dense::Index,
        cancel: &Cancel,
    ) -> Result<(dense::Index, String)> {
        let manifest = self.writer()?.prepare(next, cancel)?;
        Ok((self.writer()?.index().clone(), manifest))
    }

    /// Removes what `manifest`, which the caller keeps from now on, does not name.
    pub(crate) fn settle(&mut self, manifest: &str) -> Result<()> {
        self.writer()?.settle(manifest)
    }

    fn writer(&mut self) -> Result<&mut Writer> {
        match &mut self.to {
            To::Directory(writer) | To::Kept(writer) => Ok(writer),
            To::Memory | To::Nowhere => {
                Err(Error::io("", std::io::Error::other("not open for writing in a directory")))
            }
        }
    }

    /// Removes what a batch put down.
    pub(crate) fn forget(&self) {
        if let To::Directory(writer) = &self.to {
            writer.sweep();
        }
    }
}
