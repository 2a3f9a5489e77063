//! Commits: one writer, readers on their snapshots, and what is left when a step fails.

use magnetite_core::dense::{Index, Names, NewIds, Search, Writer};
use magnetite_core::store::{self, Step, Verify, Writer as StoreWriter, watch};
use magnetite_core::{Cancel, Error, Threads};

use crate::dense::{gaussian, numbers};
use crate::write::{contents, flat};

#[test]
fn a_segment_without_live_rows_is_no_longer_named() {
    let (vectors, cancel) = (gaussian(20, 4, 1), Cancel::new());
    let index = flat(vectors.view(), NewIds::Rows);
    let all: Vec<i64> = (0..20).collect();
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(directory.path(), &index, &cancel).unwrap();
    writer.commit(&index.delete(Names::Numbers(&all[..7])).unwrap(), &cancel).unwrap();
    assert_eq!(contents(directory.path()).len(), 4); // MANIFEST, LOCK, rows, which are gone
    assert_eq!(writer.index().len(), 13);
    writer.commit(&index.delete(Names::Numbers(&all)).unwrap(), &cancel).unwrap();
    assert_eq!(contents(directory.path()).len(), 2);
    assert!(Index::open(directory.path(), Verify::Full, &cancel).unwrap().is_empty());
}

#[test]
fn a_reader_keeps_its_snapshot_until_it_opens_again() {
    let (vectors, cancel) = (gaussian(20, 4, 1), Cancel::new());
    let directory = tempfile::tempdir().unwrap();
    let index = flat(vectors.view(), NewIds::Rows);
    let mut writer = Writer::create(directory.path(), &index, &cancel).unwrap();
    let reader = Index::open(directory.path(), Verify::Lazy, &cancel).unwrap();
    let next = index.delete(Names::Numbers(&[3])).unwrap();
    let next = next.add(vectors.view().slice(0..1), NewIds::Rows, Threads::ONE, &cancel).unwrap();
    writer.commit(&next.compact(Threads::ONE, &cancel).unwrap(), &cancel).unwrap();
    let three = vectors.view().slice(3..4);
    let ask = |index: &Index| {
        let hits =
            index.search(three, &Search { k: 1, ..Search::default() }, Threads::ONE, &cancel);
        numbers(&hits.unwrap())[0]
    };
    assert_eq!((reader.len(), ask(&reader)), (20, 3));
    let reader = reader.reopen(directory.path(), Verify::Full, &cancel).unwrap();
    assert_eq!(reader.len(), 20);
    assert_ne!(ask(&reader), 3);
}

#[test]
fn a_second_writer_is_refused_and_a_missing_index_is_not_made() {
    let (vectors, cancel) = (gaussian(2, 4, 1), Cancel::new());
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    assert!(matches!(Writer::open(&missing, Verify::Full, &cancel), Err(Error::Io { .. })));
    assert!(!missing.exists());
    let index = flat(vectors.view(), NewIds::Rows);
    index.save(directory.path(), &cancel).unwrap();
    let writer = Writer::open(directory.path(), Verify::Full, &cancel).unwrap();
    for refused in [
        Writer::open(directory.path(), Verify::Full, &cancel).map(drop),
        index.save(directory.path(), &cancel),
    ] {
        assert!(refused.unwrap_err().to_string().contains("another writer"));
    }
    drop(writer);
    Writer::open(directory.path(), Verify::Full, &cancel).unwrap();
}

#[test]
fn a_commit_that_any_step_fails_in_leaves_what_was_there() {
    let (vectors, cancel) = (gaussian(30, 4, 1), Cancel::new());
    let index = flat(vectors.view().slice(0..20), NewIds::Rows);
    let next = index.delete(Names::Numbers(&[1, 2])).unwrap();
    let next = next.add(vectors.view().slice(20..30), NewIds::Rows, Threads::ONE, &cancel).unwrap();
    for fails in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(directory.path(), &index, &cancel).unwrap();
        let before = contents(directory.path());
        let mut at = 0;
        watch(Some(Box::new(move |step: &Step<'_>| {
            at += 1;
            // What sweeps may fail too, but nothing hangs on it.
            let spare = matches!(step, Step::Remove { .. });
            let full = std::io::Error::from_raw_os_error(28);
            if at == fails + 1 && !spare { Err(full) } else { Ok(()) }
        })));
        let done = writer.commit(&next, &cancel);
        watch(None);
        if done.is_ok() {
            assert!(fails > 10, "a commit has more steps than {fails}");
            assert_eq!(writer.index().len(), 28);
            break;
        }
        assert_eq!(contents(directory.path()), before, "step {fails}");
        assert_eq!(writer.index().len(), 20);
        writer.commit(&next, &cancel).unwrap();
        assert_eq!(Index::open(directory.path(), Verify::Full, &cancel).unwrap().len(), 28);
    }
}

#[test]
fn hostile_bitmaps_of_dead_rows_are_refused() {
    let (vectors, cancel) = (gaussian(30, 4, 1), Cancel::new());
    let index = flat(vectors.view(), NewIds::Rows).delete(Names::Numbers(&[1, 2, 29])).unwrap();
    let directory = tempfile::tempdir().unwrap();
    index.save(directory.path(), &cancel).unwrap();
    let opened = Index::open(directory.path(), Verify::Full, &cancel).unwrap();
    assert_eq!((opened.len(), opened.dead()), (27, 3));
    // As many runs of 65,536 rows as a bitmap can have, each in ten bytes.
    let mut runs = (0xFFFF_303B_u32).to_le_bytes().to_vec();
    runs.extend([0xFF; 8192]);
    runs.extend((0..=u16::MAX).flat_map(|key| [key.to_le_bytes(), [0xFF; 2]]).flatten());
    let bitmaps: [&[u8]; 5] = [&[], &[0x3B], &runs, &[0x3A, 0x30, 0, 0, 2, 0, 0, 0], &[7; 40]];
    for bytes in bitmaps {
        let mut store = StoreWriter::open::<serde_json::Value>(directory.path(), "dense").unwrap();
        let (header, mut segments) =
            store::open::<serde_json::Value>(directory.path(), "dense", &[], Verify::Full, &cancel)
                .unwrap();
        segments[1] = store.write(&vec![("gone", bytes)], &cancel).unwrap();
        store.commit(header, &segments, &cancel).unwrap();
        let refused = Index::open(directory.path(), Verify::Full, &cancel).unwrap_err();
        assert!(matches!(refused, Error::Format { .. }), "{refused}");
    }
}

#[test]
fn a_build_does_not_begin_where_an_index_lies_even_a_damaged_one() {
    let (vectors, cancel) = (gaussian(20, 4, 1), Cancel::new());
    let index = flat(vectors.view(), NewIds::Rows);
    let directory = tempfile::tempdir().unwrap();
    index.save(directory.path(), &cancel).unwrap();
    for manifest in [None, Some("magnetite-manifest 9 damaged")] {
        if let Some(text) = manifest {
            std::fs::write(directory.path().join("MANIFEST"), text).unwrap();
        }
        let before = contents(directory.path());
        let refused = Writer::begin(directory.path(), &index).unwrap_err();
        assert!(refused.to_string().contains("holds an index already"), "{refused}");
        assert!(
            Writer::open(directory.path(), Verify::Full, &cancel).is_err() == manifest.is_some()
        );
        assert_eq!(contents(directory.path()), before);
    }
}

/// Manifests that somebody keeps elsewhere: nothing happens in the directory but for segments.
#[test]
fn what_is_prepared_and_not_kept_changes_nothing_and_is_swept_by_the_next_writer() {
    let (vectors, cancel) = (gaussian(20, 4, 1), Cancel::new());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let index = flat(vectors.view(), NewIds::Rows);
    let mut writer = Writer::begin(path, &index).unwrap();
    let first = writer.prepare(&index, &cancel).unwrap();
    writer.settle(&first).unwrap();
    let next = index.delete(Names::Numbers(&[3])).unwrap();
    let next = next.compact(Threads::ONE, &cancel).unwrap();
    let second = writer.prepare(&next, &cancel).unwrap();
    assert_eq!(contents(path).len(), 3); // LOCK and both versions of the rows
    drop(writer);

    let open = |manifest: &str| Index::open_as(path, manifest, None, Verify::Full, &cancel);
    assert_eq!((open(&first).unwrap().len(), open(&second).unwrap().len()), (20, 19));
    let mut writer = Writer::open_as(path, &first, None, &cancel).unwrap();
    assert!(Writer::open_as(path, &first, None, &cancel).is_err(), "two writers");
    assert_eq!((contents(path).len(), writer.index().len()), (2, 20));
    assert!(open(&second).is_err());

    let known = open(&first).unwrap();
    let second = writer.prepare(&next, &cancel).unwrap();
    assert_eq!(known.check(path, Threads::ONE, &cancel).unwrap().rows, 20);
    writer.settle(&second).unwrap();
    assert_eq!(contents(path).len(), 2);
    let now = Index::open_as(path, &second, Some(&known), Verify::Lazy, &cancel).unwrap();
    assert_eq!((now.len(), known.len()), (19, 20));
    assert!(matches!(open("made up"), Err(Error::Format { .. })));
}
