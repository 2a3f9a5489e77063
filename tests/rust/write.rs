//! Writing: whatever is added, replaced, deleted, merged, saved and opened, in whatever order, an
//! index finds what a dictionary and a loop over all of it find.

use std::collections::BTreeMap;
use std::path::Path;

use magnetite_core::dense::{
    Build, HitIds, Index, Kind, Lists, Metric, Names, NewIds, Pick, Search, Storage, Writer,
};
use magnetite_core::store::{Segment, Verify};
use magnetite_core::{Cancel, Error, Matrix, MatrixRef, Threads, oracle, rng::Rng};
use proptest::prelude::*;

use crate::dense::{METRICS, bits, clustered, gaussian, numbers};

/// A root that is exact: under cosine these rows become halves, and scores stay exact.
const DIM: usize = 4;

/// What the index should hold: the id of each row, by order, and its numbers.
type Model = BTreeMap<String, Vec<f32>>;

/// Whole numbers, so that scores are exact and ties common; under cosine of equal length.
fn rows(count: usize, rng: &mut Rng) -> Matrix {
    let mut number = || [1.0, -1.0][rng.below(2)];
    Matrix::new((0..count * DIM).map(|_| number()).collect(), DIM).unwrap()
}

/// Ids in both forms; as text they are in the same order.
struct Called {
    numbers: Vec<i64>,
    texts: Vec<String>,
}

impl Called {
    fn new(numbers: Vec<i64>) -> Self {
        let texts = numbers.iter().map(|number| format!("é{number:05}")).collect();
        Self { numbers, texts }
    }

    fn names(&self, text: bool) -> Names<'_> {
        if text { Names::Text(&self.texts) } else { Names::Numbers(&self.numbers) }
    }

    fn new_ids(&self, text: bool) -> NewIds<'_> {
        if text { NewIds::Text(&self.texts) } else { NewIds::Numbers(&self.numbers) }
    }
}

/// Different ids below 400.
fn some_ids(count: usize, rng: &mut Rng) -> Called {
    let mut all: Vec<i64> = (0..400).collect();
    let picks = (0..count).map(|_| all.swap_remove(rng.below(all.len())));
    Called::new(picks.collect())
}

fn score(metric: Metric, query: &[f32], row: &[f32]) -> f64 {
    match metric {
        Metric::Dot => oracle::dot(query, row),
        Metric::Cosine => oracle::dot(query, row) / DIM as f64,
        Metric::L2 => -oracle::l2(query, row),
    }
}

/// Ids of the best rows of the model; `may` says which are allowed.
fn best(
    model: &Model,
    metric: Metric,
    query: &[f32],
    k: usize,
    may: impl Fn(&str) -> bool,
) -> Vec<String> {
    let scored = model.iter().filter(|(id, _)| may(id));
    let mut scored: Vec<_> = scored.map(|(id, row)| (score(metric, query, row), id)).collect();
    scored.sort_by(|(a, i), (b, j)| b.total_cmp(a).then(i.cmp(j)));
    scored.into_iter().take(k).map(|(_, id)| id.clone()).collect()
}

fn found(ids: &HitIds<'_>, k: usize) -> Vec<Vec<String>> {
    let flat: Vec<Option<String>> = match ids {
        HitIds::Numbers(numbers) => {
            numbers.iter().map(|&n| (n >= 0).then(|| format!("é{n:05}"))).collect()
        }
        HitIds::Text(texts) => texts.iter().map(|text| text.map(str::to_owned)).collect(),
    };
    flat.chunks(k).map(|row| row.iter().flatten().cloned().collect()).collect()
}

fn expect_model(index: &Index, model: &Model, text: bool, rng: &mut Rng) {
    assert_eq!(index.len(), model.len());
    let metric = index.metric();
    let (queries, k) = (rows(3, rng), 1 + rng.below(12));
    let asked = some_ids(60, rng);
    let mask: Vec<bool> = model.keys().map(|id| asked.texts.contains(id)).collect();
    let ids = Pick::Ids(asked.names(text));
    let filters: [(&[Pick<'_>], &[Pick<'_>]); 5] = [
        (&[], &[]),
        (&[ids], &[]),
        (&[Pick::Mask(&mask)], &[]),
        (&[], &[ids]),
        (&[ids; 3], &[ids]),
    ];
    for (only, except) in filters {
        let (probes, rescore) = (Some(usize::MAX), Some(1000));
        let search = Search { k, probes, rescore, only, except, ..Search::default() };
        let hits = index.search(queries.view(), &search, Threads::ONE, &Cancel::new()).unwrap();
        let may = |id: &str| {
            let named = asked.texts.iter().any(|asked| asked == id);
            (only.is_empty() || named) && (except.is_empty() || !named)
        };
        let wanted = queries.view().iter().map(|query| best(model, metric, query, k, may));
        assert_eq!(found(&hits.ids, k), wanted.collect::<Vec<_>>());
        let two = Threads::new(2).unwrap();
        assert_eq!(
            bits(&index.search(queries.view(), &search, two, &Cancel::new()).unwrap()),
            bits(&hits)
        );
    }
    let contains = index.contains(asked.names(text)).unwrap();
    assert_eq!(contains, asked.texts.iter().map(|id| model.contains_key(id)).collect::<Vec<_>>());
    for (i, id) in asked.texts.iter().enumerate() {
        let one = Called::new(vec![asked.numbers[i]]);
        match (index.get(one.names(text)), model.get(id)) {
            (Ok(got), Some(wanted)) if metric != Metric::Cosine => {
                assert_eq!(got.view().row(0), wanted);
            }
            (Ok(_), Some(_)) | (Err(Error::Missing(_)), None) => {}
            other => panic!("{id}: {other:?}"),
        }
    }
    let all = found(&index.ids().unwrap(), 1).concat();
    assert_eq!(all, model.keys().cloned().collect::<Vec<_>>());
}

/// One operation on index and model.
fn step(index: &Index, model: &mut Model, text: bool, rng: &mut Rng, threads: Threads) -> Index {
    let (cancel, count) = (Cancel::new(), rng.below(30));
    let called = some_ids(count, rng);
    let vectors = rows(count, rng);
    let mut put = || {
        for (id, row) in called.texts.iter().zip(vectors.view().iter()) {
            model.insert(id.clone(), row.to_vec());
        }
    };
    match rng.below(8) {
        0..4 => {
            let added = index.add(vectors.view(), called.new_ids(text), threads, &cancel);
            let there = index.contains(called.names(text)).unwrap().contains(&true);
            match added {
                Ok(next) if !there => {
                    put();
                    return next;
                }
                Err(Error::Range { what: "ids", .. }) if there => {}
                other => panic!("{other:?}"),
            }
            index.clone()
        }
        4 => {
            put();
            index.upsert(vectors.view(), called.names(text), threads, &cancel).unwrap()
        }
        5 | 6 => {
            called.texts.iter().for_each(|id| drop(model.remove(id)));
            index.delete(called.names(text)).unwrap()
        }
        _ => {
            let next = index.compact(threads, &cancel).unwrap();
            assert_eq!((next.dead(), next.segments() <= 1), (0, true));
            next
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_is_written_an_index_finds_what_a_dictionary_finds(
        text: bool, lists: bool, first in 0usize..60, steps in 1usize..50, seed: u64,
    ) {
        let mut rng = Rng::new(seed, 0);
        let metric = METRICS[rng.below(3)];
        let lists = lists && first >= 16;
        let kind = if lists { Kind::Ivf(Lists { lists: Some(4), parts: None }) } else { Kind::Auto };
        // Halves hold these numbers exactly.
        let storage = [Storage::F32, Storage::F16][rng.below(2)];
        let build = Build { metric, kind, storage, ..Build::default() };
        let (called, vectors) = (some_ids(first, &mut rng), rows(first, &mut rng));
        let (ids, cancel) = (called.new_ids(text), Cancel::new());
        let mut index = Index::build(vectors.view(), ids, &build, Threads::ONE, &cancel).unwrap();
        let mut model: Model = called.texts.iter().cloned()
            .zip(vectors.view().iter().map(<[f32]>::to_vec)).collect();
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(directory.path(), &index, &cancel).unwrap();
        for _ in 0..steps {
            let next = step(&index, &mut model, text, &mut rng, Threads::ONE);
            // Sometimes the commit's, sometimes what it was made of, sometimes what a reader sees.
            writer.commit(&next, &cancel).unwrap();
            index = match rng.below(3) {
                0 => next,
                1 => writer.index().clone(),
                _ => index.reopen(directory.path(), Verify::Full, &cancel).unwrap(),
            };
        }
        expect_model(&index, &model, text, &mut rng);
        expect_model(writer.index(), &model, text, &mut rng);
        expect_model(&Index::open(directory.path(), Verify::Lazy, &cancel).unwrap(), &model, text, &mut rng);
        let (two, cancel) = (Threads::new(2).unwrap(), Cancel::new());
        let compact = index.compact(two, &cancel).unwrap();
        expect_model(&compact, &model, text, &mut rng);
    }

    #[test]
    fn the_same_operations_leave_the_same_bytes_on_one_thread_and_on_two(
        text: bool, steps in 1usize..40, seed: u64,
    ) {
        let files = |threads| {
            let (mut rng, mut model) = (Rng::new(seed, 0), Model::new());
            let threads = Threads::new(threads).unwrap();
            let none = Matrix::zeros(0, DIM);
            let ids = if text { NewIds::Text(&[]) } else { NewIds::Numbers(&[]) };
            let mut index =
                Index::build(none.view(), ids, &Build::default(), threads, &Cancel::new()).unwrap();
            for _ in 0..steps {
                index = step(&index, &mut model, text, &mut rng, threads);
            }
            let directory = tempfile::tempdir().unwrap();
            index.save(directory.path(), &Cancel::new()).unwrap();
            contents(directory.path())
        };
        prop_assert_eq!(files(1), files(2));
    }

    #[test]
    fn a_compacted_index_is_the_index_that_a_build_of_its_rows_makes(
        rows in 40usize..300, seed: u64, lists: bool,
    ) {
        let kind = if lists { Kind::Ivf(Lists { lists: Some(6), parts: None }) } else { Kind::Flat };
        let (vectors, cancel) = (clustered(rows, DIM, 5, seed), Cancel::new());
        let ids: Vec<i64> = (0..rows as i64).map(|i| i * 7 % 1009).collect();
        let half = rows / 2;
        for metric in METRICS {
            let build = Build { metric, kind, ..Build::default() };
            let fresh = |keep: &[usize]| {
                let names: Vec<i64> = keep.iter().map(|&row| ids[row]).collect();
                let rows = vectors.view().gather(keep);
                Index::build(rows.view(), NewIds::Numbers(&names), &build, Threads::ONE, &cancel)
                    .unwrap()
            };
            let all: Vec<usize> = (0..rows).collect();
            let grown = fresh(&all[..half])
                .add(vectors.view().slice(half..rows), NewIds::Numbers(&ids[half..]), Threads::ONE, &cancel)
                .unwrap()
                .delete(Names::Numbers(&ids[..10]))
                .unwrap();
            let compact = grown.compact(Threads::ONE, &cancel).unwrap();
            prop_assert_eq!(compact.to_segment().unwrap(), fresh(&all[10..]).to_segment().unwrap());
        }
    }
}

/// Names and bytes of the files of an index.
pub(crate) fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&p).unwrap()))
        .collect()
}

pub(crate) fn flat(vectors: MatrixRef<'_>, ids: NewIds<'_>) -> Index {
    Index::build(vectors, ids, &Build::default(), Threads::ONE, &Cancel::new()).unwrap()
}

#[test]
fn rows_without_ids_go_on_from_the_highest_number_that_ever_was() {
    let (vectors, cancel) = (gaussian(3, 4, 1), Cancel::new());
    let add = |index: &Index, ids| index.add(vectors.view(), ids, Threads::ONE, &cancel);
    let index = add(&flat(vectors.view(), NewIds::Rows), NewIds::Rows).unwrap();
    assert_eq!(index.ids().unwrap(), HitIds::Numbers(vec![0, 1, 2, 3, 4, 5]));
    let index = index.delete(Names::Numbers(&[4, 5, 77])).unwrap();
    let index = add(&index.compact(Threads::ONE, &cancel).unwrap(), NewIds::Rows).unwrap();
    assert_eq!(index.ids().unwrap(), HitIds::Numbers(vec![0, 1, 2, 3, 6, 7, 8]));
    let index = add(&index, NewIds::Numbers(&[i64::MAX, 10, 20])).unwrap();
    assert!(add(&index, NewIds::Rows).unwrap_err().to_string().contains("used up"));
    let texts = ["a", "b", "c"].map(str::to_owned);
    assert!(add(&index, NewIds::Text(&texts)).unwrap_err().to_string().contains("got text"));
}

#[test]
fn small_adds_get_the_lists_that_were_asked_for_when_they_are_compacted() {
    let (vectors, cancel) = (gaussian(60, 4, 1), Cancel::new());
    let kind = Kind::Ivf(Lists { lists: Some(3), parts: None });
    let build = Build { kind, ..Build::default() };
    let of = |rows: MatrixRef<'_>| {
        Index::build(rows, NewIds::Rows, &build, Threads::ONE, &cancel).unwrap()
    };
    let empty = of(vectors.view().slice(0..0));
    let index = empty.add(vectors.view(), NewIds::Rows, Threads::ONE, &cancel).unwrap();
    assert_eq!((index.lists(), index.segments()), (None, 1));
    let index = index.compact(Threads::ONE, &cancel).unwrap();
    assert_eq!((index.lists(), index.segments()), (Some(3), 1));
    let few = index.delete(Names::Numbers(&(0..50).collect::<Vec<_>>())).unwrap();
    assert_eq!(few.compact(Threads::ONE, &cancel).unwrap().lists(), None);
}

#[test]
fn many_small_adds_leave_few_segments() {
    let (vectors, cancel) = (gaussian(700, 4, 1), Cancel::new());
    let mut index = flat(vectors.view().slice(0..1), NewIds::Rows);
    for i in 1..700 {
        let one = vectors.view().slice(i..i + 1);
        index = index.add(one, NewIds::Rows, Threads::ONE, &cancel).unwrap();
        assert!(index.segments() <= 4 * 7, "{} after {i}", index.segments());
    }
    assert_eq!(index.len(), 700);
    let search = Search::default();
    let one = index.search(vectors.view(), &search, Threads::ONE, &cancel).unwrap();
    let fresh = flat(vectors.view(), NewIds::Rows);
    let all = fresh.search(vectors.view(), &search, Threads::ONE, &cancel).unwrap();
    assert_eq!(bits(&one), bits(&all));
}

#[test]
fn rows_are_added_to_a_segment_that_holds_none() {
    let none = Matrix::new(Vec::new(), 4).unwrap();
    let (threads, cancel) = (Threads::ONE, Cancel::new());
    let index = Index::build(none.view(), NewIds::Rows, &Build::default(), threads, &cancel);
    let bytes = index.unwrap().to_segment().unwrap();
    let segment = Segment::from_bytes(Path::new("empty"), &bytes, Verify::Full).unwrap();
    let index = Index::from_segment(&segment.into()).unwrap();
    let index = index.add(gaussian(3, 4, 1).view(), NewIds::Rows, threads, &cancel).unwrap();
    assert_eq!((index.len(), index.segments()), (3, 2));
}

#[test]
fn a_prefix_of_every_vector_is_searched_exactly() {
    let (vectors, queries, cancel) = (clustered(300, 16, 5, 1), gaussian(4, 5, 2), Cancel::new());
    let short: Vec<f32> = vectors.view().iter().flat_map(|row| row[..5].to_vec()).collect();
    let short = Matrix::new(short, 5).unwrap();
    for metric in METRICS {
        for kind in [Kind::Flat, Kind::Ivf(Lists { lists: Some(5), parts: None })] {
            let build = Build { metric, kind, ..Build::default() };
            let of = |rows: MatrixRef<'_>| {
                Index::build(rows, NewIds::Rows, &build, Threads::ONE, &cancel).unwrap()
            };
            let search = Search { dim: Some(5), ..Search::default() };
            let index = of(vectors.view());
            let hits = index.search(queries.view(), &search, Threads::ONE, &cancel).unwrap();
            let exact = Search { probes: Some(5), rescore: Some(300), ..Search::default() };
            let index = of(short.view());
            let wanted = index.search(queries.view(), &exact, Threads::ONE, &cancel).unwrap();
            assert_eq!(numbers(&hits), numbers(&wanted), "{metric:?} {kind:?}");
            // Under cosine rows are shortened twice; otherwise the bits are the same.
            let off = hits.scores.iter().zip(&wanted.scores).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f32::max) <= if metric == Metric::Cosine { 1e-6 } else { 0.0 });
        }
    }
}

#[test]
fn results_below_the_least_score_are_left_out() {
    let vectors = Matrix::new(vec![3.0, 2.0, 1.0, 0.0], 1).unwrap();
    let index = flat(vectors.view(), NewIds::Rows);
    let one = Matrix::new(vec![1.0], 1).unwrap();
    let search = Search { k: 4, min_score: 2.0, ..Search::default() };
    let hits = index.search(one.view(), &search, Threads::ONE, &Cancel::new()).unwrap();
    assert_eq!((numbers(&hits), hits.counts[0]), (&[0, 1, -1, -1][..], 2));
    assert_eq!(hits.scores[2], f32::NEG_INFINITY);
}
