//! One writer at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::disk;
use crate::{Error, Result};

/// The right to change a directory; given back when dropped, or by the kernel when the process dies.
///
/// A child that is forked meanwhile inherits the open file, and with it the lock: so the lock is given
/// back by name, not by closing, and by the process that took it.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    process: u32,
}

impl Lock {
    pub(super) const FILE: &str = "LOCK";

    /// Takes the lock of `directory`, or refuses at once if another writer holds it.
    pub(super) fn take(directory: &Path) -> Result<Self> {
        let path = directory.join(Self::FILE);
        let file = disk::lock_file(&path).map_err(|source| Error::io(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, process: std::process::id() }),
            Err(TryLockError::WouldBlock) => {
                let reason = "another writer has this index open; write when it is done, or open it for reading";
                Err(Error::io(path, io::Error::other(reason)))
            }
            Err(TryLockError::Error(source)) => Err(Error::io(path, source)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // What fails here, the kernel does when the last copy of the file is closed.
            let _ = self.file.unlock();
        }
    }
}
