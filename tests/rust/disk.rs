//! A disk that loses power: what may lie on it after any prefix of recorded steps.
//!
//! The model is the weakest that POSIX allows and journals come close to:
//! - bytes of a file are sure once the file was forced (`fsync`); of those written since, any suffix
//!   may be missing and any block may read as zeros;
//! - a name (made, moved or removed) is sure once its directory was forced; of the changes since, any
//!   subset may have happened, in order; of a rename, the new name may be there beside the old one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use magnetite_core::rng::Rng;
use magnetite_core::store::{self, Step};

/// A block that reaches the disk whole or not at all; small, since the files of the tests are.
const BLOCK: usize = 64;

/// A step that was done.
#[derive(Debug, Clone)]
pub(crate) enum Done {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    SyncDirectory(PathBuf),
    Remove(PathBuf),
}

impl Done {
    fn new(step: &Step<'_>) -> Self {
        match *step {
            Step::Create { path } => Self::Create(path.into()),
            Step::Write { path, bytes } => Self::Write(path.into(), bytes.into()),
            Step::Sync { path } => Self::Sync(path.into()),
            Step::Rename { from, to } => Self::Rename(from.into(), to.into()),
            Step::SyncDirectory { path } => Self::SyncDirectory(path.into()),
            Step::Remove { path } => Self::Remove(path.into()),
        }
    }
}

/// Keeps every step of this thread until it is dropped.
pub(crate) struct Recorder(Rc<RefCell<Vec<Done>>>);

impl Recorder {
    pub(crate) fn start() -> Self {
        let steps = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&steps);
        store::watch(Some(Box::new(move |step| {
            kept.borrow_mut().push(Done::new(step));
            Ok(())
        })));
        Self(steps)
    }

    /// How many steps so far.
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn steps(self) -> Vec<Done> {
        self.0.take()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        store::watch(None);
    }
}

/// What of the steps since the last force survives a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Luck {
    None,
    All,
    Random,
}

/// Contents by path; a directory has none.
pub(crate) type Survivors = BTreeMap<PathBuf, Option<Vec<u8>>>;

#[derive(Debug, Clone, Default)]
struct File {
    bytes: Vec<u8>,
    sure: usize,
}

#[derive(Debug, Clone)]
enum Change {
    Name(PathBuf, usize),
    Move(PathBuf, PathBuf, usize),
    Unname(PathBuf),
}

impl Change {
    fn within(&self, directory: &Path) -> bool {
        let (Self::Name(path, _) | Self::Move(path, _, _) | Self::Unname(path)) = self;
        path.parent() == Some(directory)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>, both: bool) {
        match self {
            Self::Name(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Move(from, to, file) => {
                if !both && names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            Self::Unname(path) => {
                names.remove(path);
            }
        }
    }
}

/// A disk below `root`, which is there for sure and is empty at first; of what is made there,
/// `directory` is a directory.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    root: PathBuf,
    directory: PathBuf,
    files: Vec<File>,
    /// As the running system sees them.
    now: BTreeMap<PathBuf, usize>,
    sure: BTreeMap<PathBuf, usize>,
    pending: Vec<Change>,
}

impl Disk {
    pub(crate) fn new(root: &Path, directory: &Path) -> Self {
        let (now, sure) = Default::default();
        let (root, directory) = (root.into(), directory.into());
        Self { root, directory, files: Vec::new(), now, sure, pending: Vec::new() }
    }

    /// Does one step.
    pub(crate) fn step(&mut self, step: &Done) {
        match step {
            Done::Create(path) => {
                self.file(path);
            }
            Done::Write(path, bytes) => {
                let file = self.file(path);
                self.files[file].bytes.extend(bytes);
            }
            Done::Sync(path) => {
                let file = self.file(path);
                self.files[file].sure = self.files[file].bytes.len();
            }
            Done::Rename(from, to) => {
                let file = self.file(from);
                self.change(Change::Move(from.clone(), to.clone(), file));
            }
            Done::Remove(path) => self.change(Change::Unname(path.clone())),
            Done::SyncDirectory(directory) => {
                let (forced, rest) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|c| c.within(directory));
                self.pending = rest;
                let forced: Vec<Change> = forced;
                forced.iter().for_each(|change| change.apply(&mut self.sure, false));
            }
        }
    }

    /// The file called `path`, made if there is none: a passing name is seen at its first write.
    fn file(&mut self, path: &Path) -> usize {
        if let Some(&file) = self.now.get(path) {
            return file;
        }
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.change(Change::Name(path.to_owned(), file));
        file
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now, false);
        self.pending.push(change);
    }

    /// What a loss of power leaves: contents of files, `None` of the directory, by their paths.
    pub(crate) fn crash(&self, luck: Luck, rng: &mut Rng) -> Survivors {
        let mut names = self.sure.clone();
        for change in &self.pending {
            let (happens, both) = match luck {
                Luck::None => (false, false),
                Luck::All => (true, false),
                Luck::Random => (rng.below(2) == 0, rng.below(8) == 0),
            };
            if happens {
                change.apply(&mut names, both);
            }
        }
        // What is in a directory whose own name was lost is lost with it.
        let there = |path: &Path| path == self.root || names.contains_key(path);
        let found = names.iter().filter(|(path, _)| path.parent().is_some_and(there));
        let file = |(path, &file): (&PathBuf, &usize)| {
            let bytes = (*path != self.directory).then(|| self.files[file].survives(luck, rng));
            (path.clone(), bytes)
        };
        found.map(file).collect()
    }
}

impl File {
    fn survives(&self, luck: Luck, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        match luck {
            Luck::All => {}
            Luck::None => bytes.truncate(self.sure),
            Luck::Random => {
                let unsure = bytes.len() - self.sure;
                match rng.below(4) {
                    0 => {}
                    1 => bytes.truncate(self.sure),
                    2 => bytes.truncate(self.sure + rng.below(unsure + 1)),
                    _ => {
                        for block in bytes[self.sure..].chunks_mut(BLOCK) {
                            if rng.below(2) == 0 {
                                block.fill(0);
                            }
                        }
                    }
                }
            }
        }
        bytes
    }
}

/// Puts `files`, whose paths lie under `from`, under `to`, which is emptied first.
pub(crate) fn lay_out(files: &Survivors, from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for (path, bytes) in files {
        let path = to.join(path.strip_prefix(from).unwrap());
        match bytes {
            None => std::fs::create_dir(path).unwrap(),
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
        }
    }
}
