//! Writers that are killed, writers that race, readers that read on meanwhile.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use magnetite_core::dense::{Build, Index, Names, NewIds, Search, Writer};
use magnetite_core::store::Verify;
use magnetite_core::{Cancel, Error, Matrix, Threads, rng::Rng};

use crate::history::{History, State, full, state};

/// Commits of a writer that nobody kills.
const COMMITS: usize = 30;
const CHILD: &str = "MAGNETITE_TEST_WRITER";

/// Memory where there is some: what a killed process wrote stays there like on a disk.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[test]
#[ignore = "the process that the next test kills"]
fn a_writer_to_be_killed() {
    let Ok(root) = std::env::var(CHILD) else { return };
    let root = Path::new(&root);
    let mut acknowledged = std::fs::File::create(root.join("acknowledged")).unwrap();
    let mut history = History::new(&root.join("index"), 0);
    for _ in 0..COMMITS {
        history.step().unwrap();
        acknowledged.write_all(b".").unwrap();
    }
}

fn start(root: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "together::a_writer_to_be_killed", "--ignored"])
        .env(CHILD, root)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_committed_state() {
    let kills = if full() { 1200 } else { 30 };
    let root = directory();
    let mut states: Vec<State> = vec![None];
    let mut history = History::new(&root.path().join("whole"), 0);
    for _ in 0..COMMITS {
        history.step().unwrap();
        states.push(state(&root.path().join("whole")).unwrap());
    }
    let began = Instant::now();
    std::fs::create_dir(root.path().join("first")).unwrap();
    assert!(start(&root.path().join("first")).wait().unwrap().success());
    let whole = began.elapsed();

    let mut rng = Rng::new(3, 0);
    let mut midway = 0;
    for kill in 0..kills {
        let root = root.path().join(kill.to_string());
        std::fs::create_dir(&root).unwrap();
        let mut child = start(&root);
        std::thread::sleep(whole.mul_f64(rng.unit()));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = std::fs::read(root.join("acknowledged")).map_or(0, |dots| dots.len());
        let path = root.join("index");
        let found = state(&path).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        let allowed = &states[acknowledged..(acknowledged + 2).min(states.len())];
        assert!(allowed.contains(&found), "kill {kill} after {acknowledged} commits");
        History::new(&path, 99).step().unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        state(&path).unwrap();
        midway += usize::from((1..COMMITS).contains(&acknowledged));
        std::fs::remove_dir_all(&root).unwrap();
    }
    eprintln!("{kills} kills, {midway} between the first commit and the last");
}

#[test]
fn of_writers_that_race_for_the_lock_one_wins_and_the_others_are_told() {
    let root = directory();
    let path = root.path().join("index");
    snapshot(0, None).save(&path, &Cancel::new()).unwrap();
    let (inside, won) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let told = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    match Writer::open(&path, Verify::Lazy, &Cancel::new()) {
                        Ok(writer) => {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two writers");
                            won.fetch_add(1, Ordering::SeqCst);
                            std::thread::sleep(Duration::from_micros(200));
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(writer);
                        }
                        Err(Error::Io { path, .. }) => {
                            assert!(path.ends_with("LOCK"), "{path:?}");
                            told.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert!(won.into_inner() > 0 && told.into_inner() > 0);
}

const ROWS: i64 = 40;

/// The index as of `version`: every row says which one, in one part or in several.
fn snapshot(version: usize, previous: Option<&Index>) -> Index {
    let ids: Vec<i64> = (0..ROWS).collect();
    let rows = |count: usize| Matrix::new(vec![version as f32; count * 3], 3).unwrap();
    let (threads, cancel) = (Threads::ONE, &Cancel::new());
    let Some(previous) = previous else {
        let rows = rows(ids.len());
        let ids = NewIds::Numbers(&ids);
        return Index::build(rows.view(), ids, &Build::default(), threads, cancel).unwrap();
    };
    let mut index = previous.clone();
    for part in ids.chunks(10 + version % 31) {
        let rows = rows(part.len());
        index = index.upsert(rows.view(), Names::Numbers(part), threads, cancel).unwrap();
    }
    if version.is_multiple_of(5) { index.compact(threads, cancel).unwrap() } else { index }
}

/// The version that an index is of; every row must say the same.
fn version(index: &Index) -> usize {
    let queries = Matrix::new(vec![1.0; 3], 3).unwrap();
    let search = Search { k: 2 * ROWS as usize, ..Search::default() };
    let hits = index.search(queries.view(), &search, Threads::ONE, &Cancel::new()).unwrap();
    assert_eq!(hits.counts, [ROWS], "rows of one snapshot");
    let found = &hits.scores[..ROWS as usize];
    assert!(found.iter().all(|score| *score == found[0]), "rows of several snapshots: {found:?}");
    (found[0] / 3.0) as usize
}

#[test]
fn eight_readers_always_see_one_snapshot_whatever_the_writer_does() {
    let time = Duration::from_secs(if full() { 180 } else { 3 });
    let root = directory();
    let path = root.path().join("index");
    let mut writer = Writer::create(&path, &snapshot(0, None), &Cancel::new()).unwrap();
    let (done, committed, read) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let (done, committed, read, path) = (&done, &committed, &read, &path);
            scope.spawn(move || {
                let verify = if reader % 2 == 0 { Verify::Full } else { Verify::Lazy };
                let mut held = Index::open(path, verify, &Cancel::new()).unwrap();
                let mut last = version(&held);
                while !done.load(Ordering::SeqCst) {
                    let least = committed.load(Ordering::SeqCst);
                    let now = match reader % 4 < 2 {
                        true => Index::open(path, verify, &Cancel::new()).unwrap(),
                        false => held.reopen(path, verify, &Cancel::new()).unwrap(),
                    };
                    let seen = version(&now);
                    assert!(seen >= least.max(last), "saw {seen} after {least} and {last}");
                    // The one held so far is still what it was, though its files may be gone.
                    assert_eq!(version(&held), last);
                    (held, last) = (now, seen);
                    read.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let began = Instant::now();
        while began.elapsed() < time {
            let number = committed.load(Ordering::SeqCst) + 1;
            let next = snapshot(number, Some(writer.index()));
            writer.commit(&next, &Cancel::new()).unwrap();
            committed.store(number, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
    eprintln!("{} commits, {} snapshots read", committed.into_inner(), read.into_inner());
}
