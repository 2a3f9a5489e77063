//! Files that survive: what was saved is read, and nothing else is.

use std::path::Path;

use magnetite_core::dense::{Build, Hits, Index, Kind, Lists, NewIds, Search};
use magnetite_core::store::{Segment, Verify};
use magnetite_core::{Cancel, Error, Result, Threads, rng::Rng};
use proptest::prelude::*;

use crate::dense::{gaussian, texts};

fn small(ids: NewIds<'_>, rows: usize) -> Index {
    small_of(Kind::Flat, ids, rows)
}

fn small_of(kind: Kind, ids: NewIds<'_>, rows: usize) -> Index {
    let vectors = gaussian(rows, 5, 1);
    let build = Build { kind, ..Build::default() };
    Index::build(vectors.view(), ids, &build, Threads::ONE, &Cancel::new()).unwrap()
}

/// One of each kind of index and of ids: every section that there is.
fn one_of_each() -> Vec<Index> {
    let (numbers, texts) = ((10..27).collect::<Vec<i64>>(), texts(17));
    let lists = Kind::Ivf(Lists { lists: Some(3), parts: Some(2) });
    vec![
        small(NewIds::Rows, 12),
        small(NewIds::Numbers(&numbers), 17),
        small(NewIds::Text(&texts), 17),
        small_of(lists, NewIds::Rows, 17),
    ]
}

/// Everything that a caller can see of an index: itself, and a search that touches all of it.
fn use_all(index: &Index) -> Result<(usize, Hits<'_>)> {
    let queries = gaussian(3, index.dim(), 2);
    let search = Search { k: index.len().max(1), probes: Some(usize::MAX), ..Search::default() };
    let hits = index.search(queries.view(), &search, Threads::ONE, &Cancel::new())?;
    Ok((index.len(), hits))
}

/// Opens `bytes` in both ways and uses the index; `Ok` if either the result is that of `wanted` or
/// the bytes were refused as what they are.
fn holds(bytes: &[u8], wanted: &(usize, Hits<'_>)) -> std::result::Result<(), String> {
    for verify in [Verify::Full, Verify::Lazy] {
        let opened = Segment::from_bytes(Path::new("x"), bytes, verify)
            .and_then(|segment| Index::from_segment(&segment.into()));
        let got = opened.as_ref().map_err(|e| e.to_string()).and_then(|index| {
            let checked = use_all(index);
            match checked {
                Err(Error::Format { .. }) => Err("refused".to_owned()),
                other => Ok(other),
            }
        });
        match (&opened, got) {
            (Err(Error::Format { .. }), _) => {}
            (Err(error), _) => return Err(format!("{error:?}")),
            (_, Err(_)) => {}
            (_, Ok(Ok(got))) if got == *wanted => {}
            (_, Ok(other)) => return Err(format!("{verify:?}: {other:?}")),
        }
    }
    Ok(())
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused_or_changes_nothing() {
    for index in one_of_each() {
        let (bytes, wanted) = (index.to_segment().unwrap(), use_all(&index).unwrap());
        holds(&bytes, &wanted).unwrap();
        for length in 0..bytes.len() {
            holds(&bytes[..length], &wanted).unwrap();
        }
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            holds(&bytes, &wanted).unwrap_or_else(|problem| panic!("bit {bit}: {problem}"));
        }
    }
}

#[test]
fn bytes_overwritten_at_random_are_refused_or_change_nothing() {
    let all = one_of_each();
    let all: Vec<_> = all.iter().map(|i| (i.to_segment().unwrap(), use_all(i).unwrap())).collect();
    let mut rng = Rng::new(5, 0);
    for case in 0..60_000 {
        let (original, wanted) = &all[case % all.len()];
        let mut bytes = original.clone();
        for _ in 0..=rng.below(4) {
            let (at, length) = (rng.below(bytes.len()), 1 + rng.below(16));
            // Numbers at the ends of their ranges reach further than random ones.
            let fill = [0, 0xFF, 0x7F, 0x80, rng.bits() as u8][rng.below(5)];
            bytes.iter_mut().skip(at).take(length).for_each(|byte| *byte = fill);
        }
        if rng.below(4) == 0 {
            bytes.extend(std::iter::repeat_n(0, 1 + rng.below(200)));
        }
        holds(&bytes, wanted).unwrap_or_else(|problem| panic!("case {case}: {problem}"));
    }
}

/// The sections of an index, changed, under checksums that hold.
#[test]
fn hostile_sections_under_right_checksums_never_panic() {
    let mut rng = Rng::new(6, 0);
    for index in one_of_each() {
        let bytes = index.to_segment().unwrap();
        let segment = Segment::from_bytes(Path::new("x"), &bytes, Verify::Full).unwrap();
        let sections: Vec<(String, Vec<u8>)> = segment
            .sections()
            .map(|(name, bytes)| (name.to_owned(), bytes.unwrap().to_vec()))
            .collect();
        for _ in 0..10_000 {
            let mut sections = sections.clone();
            let changed = rng.below(sections.len());
            let (_, bytes) = &mut sections[changed];
            change(&mut rng, bytes);
            let borrowed = sections.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect();
            let bytes = magnetite_core::store::segment_bytes(&borrowed);
            let segment = Segment::from_bytes(Path::new("x"), &bytes, Verify::Full).unwrap();
            if let Ok(index) = Index::from_segment(&segment.into())
                && let Err(error) = use_all(&index)
            {
                assert!(matches!(error, Error::Format { .. } | Error::Range { .. }), "{error:?}");
            }
        }
    }
}

/// Overwrites, shortens or lengthens `bytes`, or changes a digit of their JSON.
fn change(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() || rng.below(8) == 0 {
        let length = rng.below(2 * bytes.len() + 8);
        bytes.resize(length, rng.bits() as u8);
        return;
    }
    let digits: Vec<_> = (0..bytes.len()).filter(|&i| bytes[i].is_ascii_digit()).collect();
    if bytes.starts_with(b"{") && rng.below(4) > 0 && !digits.is_empty() {
        let digit = digits[rng.below(digits.len())];
        let number = ["0", "1", "7", "65537", "4294967295", "18446744073709551615"][rng.below(6)];
        bytes.splice(digit..=digit, number.bytes());
        return;
    }
    let (at, length) = (rng.below(bytes.len()), 1 + rng.below(9));
    let fill = [0, 0xFF, 0x7F, 0x80, rng.bits() as u8][rng.below(5)];
    bytes.iter_mut().skip(at).take(length).for_each(|byte| *byte = fill);
}

proptest! {
    #[test]
    fn what_was_saved_is_opened(rows in 0usize..40, named in 0..3u8) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new");
        let (numbers, texts) = ((0..rows as i64).rev().collect::<Vec<_>>(), texts(rows));
        let ids = [NewIds::Rows, NewIds::Numbers(&numbers), NewIds::Text(&texts)];
        let index = small(ids[usize::from(named)], rows);
        index.save(&path, &Cancel::new()).unwrap();
        for verify in [Verify::Full, Verify::Lazy] {
            let opened = Index::open(&path, verify, &Cancel::new()).unwrap();
            prop_assert_eq!(use_all(&opened).unwrap(), use_all(&index).unwrap());
            prop_assert_eq!(opened.to_segment().unwrap(), index.to_segment().unwrap());
        }
    }
}

#[test]
fn a_second_save_replaces_the_first_and_sweeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    small(NewIds::Rows, 8).save(path, &Cancel::new()).unwrap();
    let reader = Index::open(path, Verify::Lazy, &Cancel::new()).unwrap();
    small(NewIds::Rows, 9).save(path, &Cancel::new()).unwrap();
    std::fs::write(path.join(".unfinished-by-the-dead"), "x").unwrap();
    small(NewIds::Rows, 10).save(path, &Cancel::new()).unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string()).collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(Index::open(path, Verify::Full, &Cancel::new()).unwrap().len(), 10);
    // Whoever had the first open still has it, though its file is gone.
    assert_eq!(use_all(&reader).unwrap(), use_all(&small(NewIds::Rows, 8)).unwrap());
}

#[test]
fn a_second_writer_is_refused_while_the_first_holds_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    small(NewIds::Rows, 8).save(directory.path(), &Cancel::new()).unwrap();
    let lock = std::fs::File::create(directory.path().join("LOCK")).unwrap();
    lock.lock().unwrap();
    let refused = small(NewIds::Rows, 9).save(directory.path(), &Cancel::new());
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    drop(lock);
    small(NewIds::Rows, 9).save(directory.path(), &Cancel::new()).unwrap();
}

#[test]
fn a_cancelled_save_leaves_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    small(NewIds::Rows, 8).save(directory.path(), &Cancel::new()).unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let stopped = small(NewIds::Rows, 9).save(directory.path(), &cancel);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(Index::open(directory.path(), Verify::Full, &Cancel::new()).unwrap().len(), 8);
}

#[test]
fn a_directory_with_other_files_is_not_written_into() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("thesis.tex"), "years of work").unwrap();
    let refused = small(NewIds::Rows, 8).save(directory.path(), &Cancel::new());
    assert!(refused.unwrap_err().to_string().contains("thesis.tex"));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn damaged_and_foreign_manifests_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let index = small(NewIds::Rows, 8);
    index.save(directory.path(), &Cancel::new()).unwrap();
    let path = directory.path().join("MANIFEST");
    let original = std::fs::read(&path).unwrap();
    let open = || Index::open(directory.path(), Verify::Lazy, &Cancel::new());
    for length in 0..original.len() {
        std::fs::write(&path, &original[..length]).unwrap();
        assert!(matches!(open(), Err(Error::Format { .. })), "{length} bytes");
    }
    for at in 0..original.len() {
        let mut bytes = original.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(open(), Err(Error::Format { .. })), "byte {at}");
    }
    let newer = String::from_utf8(original).unwrap().replace("manifest 1", "manifest 2");
    std::fs::write(&path, newer).unwrap();
    assert!(open().unwrap_err().to_string().contains("upgrade"));
}

#[test]
fn a_missing_directory_a_file_and_an_empty_directory_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &Path| Index::open(path, Verify::Full, &Cancel::new()).unwrap_err();
    assert!(matches!(open(&directory.path().join("none")), Error::Io { .. }));
    assert!(matches!(open(directory.path()), Error::Format { .. }));
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(open(&file), Error::Format { .. }));
}
