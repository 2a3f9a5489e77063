//! What is wrong with an index under right checksums is found, and named.

use std::path::Path;

use magnetite_core::dense::{Build, Index, Kind, Lists, Metric, Names, NewIds};
use magnetite_core::store::{self, Segment, Verify};
use magnetite_core::{Cancel, Error, Threads};
use serde_json::Value;

use crate::dense::{gaussian, texts};

fn verify(directory: &Path) -> Result<usize, Error> {
    Index::verify(directory, Threads::ONE, &Cancel::new()).map(|found| found.rows)
}

fn saved(kind: Kind, metric: Metric, ids: NewIds<'_>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let build = Build { kind, metric, ..Build::default() };
    let rows = gaussian(20, 4, 3);
    let index = Index::build(rows.view(), ids, &build, Threads::ONE, &Cancel::new()).unwrap();
    index.save(directory.path(), &Cancel::new()).unwrap();
    directory
}

/// Writes the segments that `change` makes of the first one, as a commit like any other.
fn rewrite(directory: &Path, times: usize, section: &str, change: impl Fn(&mut Vec<u8>)) {
    let manifest = std::fs::read_to_string(directory.join("MANIFEST")).unwrap();
    let manifest: Value = serde_json::from_str(manifest.split_once('\n').unwrap().1).unwrap();
    let name = |entry: &Value| format!("{}.segment", &entry["hash"].as_str().unwrap()[..32]);
    let bytes = std::fs::read(directory.join(name(&manifest["segments"][0]))).unwrap();
    let segment = Segment::from_bytes(Path::new("x"), &bytes, Verify::Full).unwrap();
    let mut sections: Vec<(String, Vec<u8>)> = segment
        .sections()
        .map(|(name, bytes)| (name.to_owned(), bytes.unwrap().to_vec()))
        .collect();
    let (_, bytes) = sections.iter_mut().find(|(name, _)| name == section).unwrap();
    change(bytes);
    let sections = sections.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect();
    let mut writer = store::Writer::open::<Value>(directory, "dense").unwrap();
    let segment = writer.write(&sections, &Cancel::new()).unwrap();
    let segments = vec![segment; times];
    writer.commit(manifest["attributes"].clone(), &segments, &Cancel::new()).unwrap();
}

fn expect(directory: &Path, problem: &str) {
    match verify(directory) {
        Err(Error::Format { problem: found, .. }) => assert!(found.contains(problem), "{found}"),
        other => panic!("wanted {problem:?}; got {other:?}"),
    }
}

#[test]
fn what_is_whole_is_verified_with_its_rows_and_its_dead() {
    let lists = Kind::Ivf(Lists { lists: Some(3), parts: Some(2) });
    for kind in [Kind::Flat, lists] {
        for metric in crate::dense::METRICS {
            for ids in [NewIds::Rows, NewIds::Text(&texts(20))] {
                let directory = saved(kind, metric, ids);
                assert_eq!(verify(directory.path()).unwrap(), 20);
            }
            let directory = saved(kind, metric, NewIds::Rows);
            let index = Index::open(directory.path(), Verify::Full, &Cancel::new()).unwrap();
            let less = index.delete(Names::Numbers(&[3, 4, 19])).unwrap();
            less.save(directory.path(), &Cancel::new()).unwrap();
            let found = Index::verify(directory.path(), Threads::ONE, &Cancel::new()).unwrap();
            assert_eq!((found.rows, found.dead, found.segments), (17, 3, 1));
        }
    }
}

#[test]
fn a_flipped_bit_is_found_whatever_it_is_in() {
    let directory = saved(Kind::Flat, Metric::Dot, NewIds::Rows);
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(7) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&path, &changed).unwrap();
            assert!(matches!(verify(directory.path()), Err(Error::Format { .. })), "{path:?} {at}");
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(verify(directory.path()).unwrap(), 20);
}

#[test]
fn contradictions_under_right_checksums_are_named() {
    let lists = Kind::Ivf(Lists { lists: Some(3), parts: Some(2) });
    let numbers: Vec<i64> = (5..25).collect();
    let texts = texts(20);
    let swap = |bytes: &mut Vec<u8>| bytes[..16].rotate_left(8);
    let nan = |bytes: &mut Vec<u8>| bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let twice = |bytes: &mut Vec<u8>| bytes.copy_within(4..8, 0);

    let of = |kind, metric, ids| saved(kind, metric, ids);
    let directory = of(Kind::Flat, Metric::Dot, NewIds::Numbers(&numbers));
    rewrite(directory.path(), 1, "ids", swap);
    expect(directory.path(), "not above the one before");

    let directory = of(Kind::Flat, Metric::Dot, NewIds::Text(&texts));
    rewrite(directory.path(), 1, "id bytes", |bytes| bytes.push(b'x'));
    expect(directory.path(), "do not fill their section");

    let directory = of(Kind::Flat, Metric::L2, NewIds::Rows);
    rewrite(directory.path(), 1, "squares", |bytes| bytes[0] ^= 1);
    expect(directory.path(), "the square of row 0");

    for section in ["bytes", "scales", "rests"] {
        let directory = of(Kind::Flat, Metric::L2, NewIds::Rows);
        rewrite(directory.path(), 1, section, |bytes| bytes[0] ^= 1);
        expect(directory.path(), "the sketch of row 0");
    }

    let directory = of(Kind::Flat, Metric::Cosine, NewIds::Rows);
    rewrite(directory.path(), 1, "vectors", nan);
    expect(directory.path(), "not finite");

    let directory = of(Kind::Flat, Metric::Cosine, NewIds::Rows);
    rewrite(directory.path(), 1, "vectors", |bytes| bytes[..16].fill(0));
    expect(directory.path(), "not of length 1");

    let directory = of(lists, Metric::Dot, NewIds::Rows);
    rewrite(directory.path(), 1, "rows", twice);
    expect(directory.path(), "two places");

    for section in ["mean", "axis scales", "centroid scales", "spreads"] {
        let directory = of(lists, Metric::Dot, NewIds::Rows);
        rewrite(directory.path(), 1, section, nan);
        expect(directory.path(), &format!("`{section}` is not finite"));
    }

    let directory = of(lists, Metric::Dot, NewIds::Numbers(&numbers));
    rewrite(directory.path(), 2, "rows", |_| ());
    expect(directory.path(), "is in two segments");
}
