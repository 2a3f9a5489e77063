//! Filters: what is found is the best of what is allowed, and exactly as much as there is.

use magnetite_core::dense::{Build, Index, Kind, Lists, Metric, Names, NewIds, Pick, Search};
use magnetite_core::{Cancel, Error, MatrixRef, Threads, rng::Rng};
use proptest::prelude::*;

use crate::dense::{METRICS, bits, clustered, gaussian, numbers, texts};

fn build(vectors: MatrixRef<'_>, ids: NewIds<'_>, metric: Metric, kind: Kind) -> Index {
    let build = Build { metric, kind, ..Build::default() };
    Index::build(vectors, ids, &build, Threads::ONE, &Cancel::new()).unwrap()
}

fn kinds(lists: usize) -> [Kind; 2] {
    [Kind::Flat, Kind::Ivf(Lists { lists: Some(lists), parts: None })]
}

/// About one row in `every`, and with `runs` in runs of 64, so that whole blocks are empty.
fn mask(rows: usize, every: usize, runs: bool, seed: u64) -> Vec<bool> {
    let mut rng = Rng::new(seed, 9);
    let mut mask: Vec<bool> = (0..rows).map(|_| rng.below(every) == 0).collect();
    if runs {
        (0..rows).for_each(|row| mask[row] = mask[row / 64 * 64]);
    }
    mask
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_filtered_search_finds_what_an_index_of_the_allowed_rows_finds(
        rows in 30usize..900, dim in 1usize..24, every in 1usize..40, runs: bool, k in 1usize..30,
        queries in 1usize..9, seed: u64,
    ) {
        let (vectors, asked) = (clustered(rows, dim, 5, seed), gaussian(queries, dim, seed ^ 1));
        let mask = mask(rows, every, runs, seed);
        let picks: Vec<usize> = (0..rows).filter(|&row| mask[row]).collect();
        let ids: Vec<i64> = picks.iter().map(|&row| row as i64).collect();
        for metric in METRICS {
            let alone = vectors.view().gather(&picks);
            let alone = build(alone.view(), NewIds::Numbers(&ids), metric, Kind::Flat);
            let search = Search { k, ..Search::default() };
            let wanted = alone.search(asked.view(), &search, Threads::ONE, &Cancel::new()).unwrap();
            for kind in kinds(7) {
                let index = build(vectors.view(), NewIds::Rows, metric, kind);
                for only in [Pick::Mask(&mask), Pick::Ids(Names::Numbers(&ids))] {
                    let (only, probes, rescore) = (&[only][..], Some(7), Some(rows));
                    let search = Search { k, probes, rescore, only, ..Search::default() };
                    let got = index.search(asked.view(), &search, Threads::ONE, &Cancel::new());
                    prop_assert_eq!(bits(&got.unwrap()), bits(&wanted));
                }
            }
        }
    }

    #[test]
    fn every_search_gives_as_many_results_as_there_are(
        rows in 16usize..900, every in 1usize..300, runs: bool, k in 1usize..40, seed: u64,
    ) {
        let vectors = clustered(rows, 8, 5, seed);
        let mask = mask(rows, every, runs, seed);
        let allowed = mask.iter().filter(|&&may| may).count();
        for kind in kinds(9) {
            let index = build(vectors.view(), NewIds::Rows, Metric::L2, kind);
            let only = &[Pick::Mask(&mask)][..];
            let search = Search { k, probes: Some(1), rescore: Some(1), only, ..Search::default() };
            let asked = vectors.view().slice(0..3);
            let hits = index.search(asked, &search, Threads::ONE, &Cancel::new()).unwrap();
            prop_assert_eq!(&hits.counts[..], [k.min(allowed) as i64; 3]);
            let mut found = numbers(&hits).iter().filter(|&&id| id >= 0);
            prop_assert!(found.all(|&id| mask[id as usize]));
        }
    }

    #[test]
    fn a_query_and_its_own_filter_return_the_same_bits_alone_and_among_others(
        rows in 16usize..600, every in 1usize..20, seed: u64,
    ) {
        let vectors = clustered(rows, 8, 5, seed);
        let masks: Vec<_> = (0..9).map(|i| mask(rows, every, i % 2 == 0, seed ^ i)).collect();
        let only: Vec<_> = masks.iter().map(|mask| Pick::Mask(mask)).collect();
        let names = [3i64, 1, 0, 15, -7, 1 << 40];
        let except = [Pick::Ids(Names::Numbers(&names))];
        let asked = vectors.view().slice(0..9);
        for kind in kinds(9) {
            let index = build(vectors.view(), NewIds::Rows, Metric::Dot, kind);
            let search = |only, except| Search { k: 5, only, except, ..Search::default() };
            let (two, cancel) = (Threads::new(2).unwrap(), Cancel::new());
            let all = index.search(asked, &search(&only, &except), two, &cancel).unwrap();
            for i in 0..9 {
                let one = search(&only[i..i + 1], &except);
                let one = index.search(asked.slice(i..i + 1), &one, Threads::ONE, &cancel).unwrap();
                prop_assert_eq!(numbers(&one), &numbers(&all)[5 * i..][..5]);
                prop_assert_eq!(&one.scores[..], &all.scores[5 * i..][..5]);
                prop_assert!(numbers(&one).iter().all(|id| !names.contains(id)));
            }
        }
    }
}

#[test]
fn text_ids_filter_and_unknown_ones_are_no_row() {
    let (vectors, names) = (gaussian(40, 4, 1), texts(40));
    let index = build(vectors.view(), NewIds::Text(&names), Metric::Dot, Kind::Flat);
    let some = [names[3].clone(), "nobody".to_owned(), names[20].clone()];
    let only = &[Pick::Ids(Names::Text(&some))][..];
    let search = Search { only, ..Search::default() };
    let hits = index.search(vectors.view().slice(0..1), &search, Threads::ONE, &Cancel::new());
    assert_eq!(hits.unwrap().counts, [2]);
}

#[test]
fn filters_that_fit_no_index_are_refused() {
    let vectors = gaussian(5, 4, 1);
    let index = build(vectors.view(), NewIds::Rows, Metric::Dot, Kind::Flat);
    let refuse = |only: &[Pick<'_>]| {
        let search = Search { only, ..Search::default() };
        index.search(vectors.view(), &search, Threads::ONE, &Cancel::new()).unwrap_err()
    };
    assert!(matches!(refuse(&[Pick::Mask(&[true; 4])]), Error::Length { want: 5, got: 4, .. }));
    assert!(matches!(refuse(&[Pick::Mask(&[true; 5]); 2]), Error::Length { want: 5, got: 2, .. }));
    let text = ["a".to_owned()];
    assert!(refuse(&[Pick::Ids(Names::Text(&text))]).to_string().contains("must be numbers"));
}
