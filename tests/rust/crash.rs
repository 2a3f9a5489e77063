//! A loss of power at any step leaves a committed state, and no commit that was acknowledged is lost.
//!
//! `MAGNETITE_TEST_FULL=1` runs as many histories and losses as `docs/trust.md` states.

use std::io;
use std::path::Path;

use magnetite_core::store;
use magnetite_core::{Error, rng::Rng};

use crate::disk::{Disk, Done, Luck, Recorder, lay_out};
use crate::history::{self, History, State, state};

/// Histories, and random losses after each step of one.
fn size() -> (u64, usize) {
    if history::full() { (40, 10) } else { (4, 2) }
}

/// A state that a writer was told is committed, and after how many steps.
struct Commit {
    steps: usize,
    state: State,
}

/// Runs a history under the recorder.
fn record(root: &Path, seed: u64) -> (Vec<Done>, Vec<Commit>) {
    let path = root.join("index");
    let recorder = Recorder::start();
    let mut commits = vec![Commit { steps: 0, state: None }];
    let mut history = History::new(&path, seed);
    for _ in 0..history::LENGTH {
        history.step().unwrap();
        commits.push(Commit { steps: recorder.len(), state: state(&path).unwrap() });
    }
    (recorder.steps(), commits)
}

#[test]
fn a_loss_of_power_after_any_step_leaves_a_committed_state_and_loses_no_acknowledged_one() {
    let (histories, losses) = size();
    let mut states = 0;
    for seed in 0..histories {
        let from = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        let (steps, commits) = record(from.path(), seed);
        let mut disk = Disk::new(from.path(), &from.path().join("index"));
        let mut rng = Rng::new(seed, 1);
        for done in 0..=steps.len() {
            let last = commits.iter().rposition(|commit| commit.steps <= done).unwrap();
            let allowed = &commits[last..(last + 2).min(commits.len())];
            let random = std::iter::repeat_n(Luck::Random, losses);
            for luck in [Luck::None, Luck::All].into_iter().chain(random) {
                lay_out(&disk.crash(luck, &mut rng), from.path(), to.path());
                let say = format!("history {seed}, {luck:?} after {:?}", &steps[..done].last());
                expect_committed(&to.path().join("index"), allowed, &say);
                states += 1;
            }
            if let Some(step) = steps.get(done) {
                disk.step(step);
            }
        }
    }
    eprintln!("{states} states of {histories} histories");
}

/// The directory holds one of the `allowed` states, whole, and the next commit works.
fn expect_committed(path: &Path, allowed: &[Commit], say: &str) {
    let found = state(path).unwrap_or_else(|error| panic!("{say}: {error}"));
    assert!(allowed.iter().any(|commit| commit.state == found), "{say}: another state");
    let mut next = History::new(path, 99);
    next.step().unwrap_or_else(|error| panic!("{say}: the next commit: {error}"));
    state(path).unwrap_or_else(|error| panic!("{say}: after the next commit: {error}"));
}

/// Lets `before` steps pass and fails the next with `code`.
fn refuse(before: usize, code: i32) {
    let mut left = before;
    store::watch(Some(Box::new(move |_| {
        left = left.wrapping_sub(1);
        if left == usize::MAX { Err(io::Error::from_raw_os_error(code)) } else { Ok(()) }
    })));
}

#[test]
fn a_step_that_the_system_refuses_is_an_error_that_names_the_path_and_changes_nothing() {
    const ENOSPC: i32 = 28;
    const EROFS: i32 = 30;
    const EIO: i32 = 5;
    let (histories, _) = size();
    let mut refused = 0;
    for (seed, code) in (0..histories).flat_map(|s| [ENOSPC, EROFS, EIO].map(|code| (s, code))) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("index");
        let mut history = History::new(&path, seed);
        for _ in 0..history::LENGTH {
            let mut before = 0;
            loop {
                let was = state(&path).unwrap();
                refuse(before, code);
                let result = history.step();
                store::watch(None);
                match result {
                    Ok(()) => break,
                    Err(Error::Io { path: named, source }) => {
                        assert_eq!(
                            source.raw_os_error(),
                            Some(code),
                            "{source:?} at step {before} of {seed}"
                        );
                        assert!(named.starts_with(root.path()), "{named:?}");
                    }
                    Err(other) => panic!("{other:?}"),
                }
                let now = state(&path).unwrap();
                assert!(now == was, "step {before} of seed {seed} refused with {code}");
                refused += 1;
                before += 1;
            }
        }
        // What failed left nothing behind that the next commit does not sweep.
        history.step().unwrap();
        let stray = |name: &str| name.starts_with('.');
        for entry in std::fs::read_dir(&path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!stray(&name), "{name}");
        }
    }
    eprintln!("{refused} refused steps");
}
