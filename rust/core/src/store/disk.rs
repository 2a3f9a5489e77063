//! The only file that changes a disk: everything that a store creates, writes, forces, renames or
//! removes passes here, so that tests can record each step and refuse any of them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// One change of the disk, about to be made.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A file (or, for the first save, the directory) is made.
    Create {
        /// Its path.
        path: &'a Path,
    },
    /// Bytes are appended to a file.
    Write {
        /// Its path.
        path: &'a Path,
        /// What is appended.
        bytes: &'a [u8],
    },
    /// A file's content is forced to the disk.
    Sync {
        /// Its path.
        path: &'a Path,
    },
    /// A file takes another name in its directory, and the place of what was called so.
    Rename {
        /// Its path.
        from: &'a Path,
        /// Its new path.
        to: &'a Path,
    },
    /// The names in a directory are forced to the disk.
    SyncDirectory {
        /// Its path.
        path: &'a Path,
    },
    /// A name is removed.
    Remove {
        /// Its path.
        path: &'a Path,
    },
}

#[cfg(feature = "faults")]
mod faults {
    use std::cell::RefCell;

    use super::{Step, io};

    type Watcher = Box<dyn FnMut(&Step<'_>) -> io::Result<()>>;

    thread_local! {
        static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
    }

    /// Shows every step of this thread to `watcher` before it is done; an error it returns is what
    /// the step returns instead of being done. For tests.
    pub fn watch(watcher: Option<Watcher>) {
        WATCHER.set(watcher);
    }

    pub(super) fn ask(step: Step<'_>) -> io::Result<()> {
        // Taken out for the call, so that a watcher may look at the index that it watches.
        let Some(mut watcher) = WATCHER.take() else { return Ok(()) };
        let said = watcher(&step);
        WATCHER.set(Some(watcher));
        said
    }
}

#[cfg(feature = "faults")]
pub use faults::watch;

#[cfg(feature = "faults")]
use faults::ask;

#[cfg(not(feature = "faults"))]
#[expect(clippy::unnecessary_wraps, reason = "the watched twin can refuse")]
fn ask(_: Step<'_>) -> io::Result<()> {
    Ok(())
}

/// Makes `path` a directory if it is none, and each one above it; their names are on the disk then.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().map(|above| if above == "" { Path::new(".") } else { above });
    if let Some(above) = above {
        make_directory(above)?;
    }
    ask(Step::Create { path })?;
    match fs::create_dir(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    above.map_or(Ok(()), sync_directory)
}

/// The file at `path`, made if it is missing, to be locked.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    if !path.exists() {
        ask(Step::Create { path })?;
    }
    File::options().create(true).truncate(false).write(true).open(path)
}

/// Bytes of one write. The page cache keeps what comes at once in pages as large, where it can, and a map
/// of such a file takes one look at the page table for two megabytes in place of four kilobytes.
const PIECE: usize = 8 << 20;

/// A file that nobody knows yet; removed unless it is kept.
pub(super) struct Unfinished {
    file: NamedTempFile,
    /// What is still to be written: less than a piece.
    held: Vec<u8>,
}

impl Unfinished {
    pub(super) fn create(directory: &Path, prefix: &str) -> io::Result<Self> {
        ask(Step::Create { path: &directory.join(prefix) })?;
        let file = tempfile::Builder::new().prefix(prefix).tempfile_in(directory)?;
        Ok(Self { file, held: Vec::new() })
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    fn write_held(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        ask(Step::Write { path: self.file.path(), bytes: &self.held })?;
        self.file.as_file_mut().write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }

    /// Forces the content to the disk and gives the file its name; the name is on the disk once the
    /// directory is forced too.
    pub(super) fn keep(mut self, name: &str) -> io::Result<PathBuf> {
        self.write_held()?;
        ask(Step::Sync { path: self.path() })?;
        self.file.as_file().sync_all()?;
        share(self.file.as_file())?;
        let to = self.path().with_file_name(name);
        ask(Step::Rename { from: self.path(), to: &to })?;
        self.file.persist(&to).map_err(|error| error.error)?;
        Ok(to)
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = &bytes[..bytes.len().min(PIECE - self.held.len())];
        self.held.extend_from_slice(taken);
        if self.held.len() == PIECE {
            self.write_held()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_held()
    }
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

/// Forces the names in `path` to the disk.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    ask(Step::SyncDirectory { path })?;
    File::open(path)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file; the rename is as durable as the system makes it.
#[cfg(not(unix))]
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    ask(Step::SyncDirectory { path })
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    ask(Step::Remove { path })?;
    fs::remove_file(path)
}
