//! Vector search: what it returns, in which order, and that nothing but the input decides it.

use magnetite_core::dense::{
    Build, HitIds, Hits, Index, Kind, Lists, Metric, NewIds, Search, Storage,
};
use magnetite_core::kernels::{self, Kernels};
use magnetite_core::quantize::{to_bytes, to_half};
use magnetite_core::{Cancel, Error, Matrix, MatrixRef, Threads, oracle, rng::Rng};
use proptest::prelude::*;

pub(crate) const METRICS: [Metric; 3] = [Metric::Dot, Metric::Cosine, Metric::L2];
const STORAGES: [Storage; 3] = [Storage::F32, Storage::F16, Storage::Int8];

/// Sums of twelve uniform numbers: near enough to normal, and the same everywhere.
pub(crate) fn gaussian(rows: usize, dim: usize, seed: u64) -> Matrix {
    let mut rng = Rng::new(seed, 0);
    let mut normal = || ((0..12).map(|_| rng.unit()).sum::<f64>() - 6.0) as f32;
    Matrix::new((0..rows * dim).map(|_| normal()).collect(), dim).unwrap()
}

/// Different ids in no order, of one to three bytes a character.
pub(crate) fn texts(rows: usize) -> Vec<String> {
    (0..rows).map(|i| format!("{}{}", ["b", "é", "a", "語"][i % 4], i * 7 % 10_007)).collect()
}

/// Few different numbers, so that equal scores are common.
fn coarse(rows: usize, dim: usize, seed: u64) -> Matrix {
    let mut rng = Rng::new(seed, 1);
    let mut number = || [-1.0, 0.5, 1.0, 2.0][rng.below(4)];
    Matrix::new((0..rows * dim).map(|_| number()).collect(), dim).unwrap()
}

fn build(vectors: MatrixRef<'_>, ids: NewIds<'_>, metric: Metric) -> Index {
    let build = Build { metric, ..Build::default() };
    Index::build(vectors, ids, &build, Threads::ONE, &Cancel::new()).unwrap()
}

fn kept(vectors: MatrixRef<'_>, metric: Metric, storage: Storage, kind: Kind) -> Index {
    let build = Build { metric, storage, kind, seed: 9, ..Build::default() };
    Index::build(vectors, NewIds::Rows, &build, Threads::ONE, &Cancel::new()).unwrap()
}

/// The numbers that rows of a storage stand for.
fn rounded(rows: &Matrix, storage: Storage) -> Matrix {
    let mut out = rows.clone();
    for i in 0..rows.view().rows() {
        let row = rows.view().row(i);
        match storage {
            Storage::F32 => {}
            Storage::F16 => out
                .row_mut(i)
                .iter_mut()
                .zip(row)
                .for_each(|(out, x)| *out = kernels::half(to_half(*x).unwrap())),
            Storage::Int8 => {
                let mut bytes = vec![0; row.len()];
                let scale = to_bytes(row, &mut bytes);
                let out = out.row_mut(i).iter_mut();
                out.zip(bytes).for_each(|(out, byte)| *out = scale * f32::from(byte));
            }
        }
    }
    out
}

fn search<'a>(index: &'a Index, queries: MatrixRef<'_>, k: usize, threads: usize) -> Hits<'a> {
    let search = Search { k, ..Search::default() };
    index.search(queries, &search, Threads::new(threads).unwrap(), &Cancel::new()).unwrap()
}

pub(crate) fn numbers<'a>(hits: &'a Hits<'_>) -> &'a [i64] {
    match &hits.ids {
        HitIds::Numbers(numbers) => numbers,
        HitIds::Text(_) => panic!("an index of numbers"),
    }
}

/// Ids and the bits of the scores.
pub(crate) fn bits<'a>(hits: &Hits<'a>) -> (HitIds<'a>, Vec<u32>) {
    (hits.ids.clone(), hits.scores.iter().map(|score| score.to_bits()).collect())
}

fn truth(metric: Metric, query: &[f32], row: &[f32]) -> f64 {
    let length = |x| oracle::dot(x, x).sqrt();
    match metric {
        Metric::Dot => oracle::dot(query, row),
        Metric::Cosine => oracle::dot(query, row) / (length(query) * length(row)),
        Metric::L2 => -oracle::l2(query, row),
    }
}

/// How far a returned score may lie from the f64 one: 2n·u·Σ|terms|, and for cosine three roundings
/// more a number (two divisions by lengths, one product), at most 2n·u + 4u in units of 1.
fn bound(metric: Metric, query: &[f32], row: &[f32]) -> f64 {
    let u = f64::from(f32::EPSILON) / 2.0;
    let n = query.len() as f64;
    match metric {
        Metric::Dot => 2.0 * n * u * oracle::dot_of_sizes(query, row),
        Metric::Cosine => (2.0 * n + 4.0) * u,
        Metric::L2 => (2.0 * n + 4.0) * u * oracle::l2(query, row),
    }
}

/// Every result is right within `bound`, and nothing better by more than two bounds was left out.
fn expect_exact(
    metric: Metric,
    vectors: MatrixRef<'_>,
    queries: MatrixRef<'_>,
    k: usize,
    hits: &Hits<'_>,
) {
    let ids = numbers(hits);
    for (i, query) in queries.iter().enumerate() {
        let wanted = oracle::top_k(vectors, query, k, |q, x| truth(metric, q, x));
        assert_eq!(hits.counts[i] as usize, wanted.len());
        for (place, (row, score)) in wanted.into_iter().enumerate() {
            let got = ids[i * k + place] as usize;
            let slack =
                bound(metric, query, vectors.row(row)) + bound(metric, query, vectors.row(got));
            let returned = f64::from(hits.scores[i * k + place]);
            assert!((returned - truth(metric, query, vectors.row(got))).abs() <= slack);
            // Equal to the truth but for ties within the bound.
            assert!((returned - score).abs() <= slack, "{metric:?} query {i} place {place}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn flat_search_equals_brute_force_in_float64(
        rows in 0usize..700, dim in 1usize..70, queries in 1usize..12, k in 1usize..30, seed: u64,
    ) {
        let (vectors, queries) = (gaussian(rows, dim, seed), gaussian(queries, dim, !seed));
        for metric in METRICS {
            let index = build(vectors.view(), NewIds::Rows, metric);
            let hits = search(&index, queries.view(), k, 1);
            expect_exact(metric, vectors.view(), queries.view(), k, &hits);
        }
    }

    #[test]
    fn rows_kept_shorter_get_the_bits_of_the_numbers_that_they_stand_for(
        rows in 1usize..700, dim in 1usize..70, queries in 1usize..12, k in 1usize..30, seed: u64,
    ) {
        let (vectors, queries) = (gaussian(rows, dim, seed), gaussian(queries, dim, !seed));
        for (metric, storage) in [Metric::Dot, Metric::L2].into_iter().flat_map(|m| STORAGES.map(|s| (m, s))) {
            let index = kept(vectors.view(), metric, storage, Kind::Flat);
            let plain = build(rounded(&vectors, storage).view(), NewIds::Rows, metric);
            let (hits, wanted) = (search(&index, queries.view(), k, 1), search(&plain, queries.view(), k, 1));
            prop_assert_eq!(bits(&hits), bits(&wanted));
        }
    }

    #[test]
    fn ties_go_to_the_lower_id_in_flat_search(rows in 1usize..900, dim in 1usize..4, seed: u64) {
        // Small integers and halves: every score is exact, so the truth decides every tie.
        let (vectors, queries) = (coarse(rows, dim, seed), coarse(6, dim, !seed));
        for metric in [Metric::Dot, Metric::L2] {
            let index = build(vectors.view(), NewIds::Rows, metric);
            let hits = search(&index, queries.view(), 10, 1);
            for (i, query) in queries.view().iter().enumerate() {
                let wanted = oracle::top_k(vectors.view(), query, 10, |q, x| truth(metric, q, x));
                let wanted: Vec<_> = wanted.iter().map(|(row, _)| *row as i64).collect();
                prop_assert_eq!(&numbers(&hits)[i * 10..][..wanted.len()], &wanted[..]);
            }
        }
    }

    #[test]
    fn one_query_alone_and_among_many_return_the_same_bits(
        rows in 1usize..3000, dim in 1usize..50, k in 1usize..40, scale in -12i32..12, seed: u64,
    ) {
        // Scales far from 1 make the bounds of proposals matter; an offset makes l2 cancel.
        let mut vectors = gaussian(rows, dim, seed);
        let far = if seed.is_multiple_of(2) { 100.0 } else { 0.0 };
        vectors.data_mut().iter_mut().for_each(|x| *x = (*x + far) * 2f32.powi(scale));
        let queries = vectors.view().gather(&(0..70).map(|i| i * 13 % rows).collect::<Vec<_>>());
        for metric in METRICS {
            let index = build(vectors.view(), NewIds::Rows, metric);
            let together = search(&index, queries.view(), k, 2);
            for i in 0..queries.view().rows() {
                let alone = search(&index, queries.view().slice(i..i + 1), k, 1);
                let (ids, scores) = bits(&together);
                let HitIds::Numbers(ids) = ids else { unreachable!() };
                let wanted = (HitIds::Numbers(ids[i * k..(i + 1) * k].to_vec()), scores[i * k..(i + 1) * k].to_vec());
                prop_assert_eq!(bits(&alone), wanted);
            }
        }
    }

    #[test]
    fn the_order_of_the_rows_changes_nothing(rows in 1usize..300, seed: u64) {
        let vectors = gaussian(rows, 8, seed);
        let names = texts(rows);
        let backwards: Vec<usize> = (0..rows).rev().collect();
        let turned = vectors.view().gather(&backwards);
        let turned_names: Vec<_> = backwards.iter().map(|&i| names[i].clone()).collect();
        let index = build(vectors.view(), NewIds::Text(&names), Metric::Dot);
        let other = build(turned.view(), NewIds::Text(&turned_names), Metric::Dot);
        prop_assert_eq!(index.to_segment().unwrap(), other.to_segment().unwrap());
    }
}

#[test]
fn scores_of_every_tier_have_the_same_bits() {
    let (a, b) = (gaussian(1, 384, 1), gaussian(1, 384, 2));
    let scores: Vec<_> =
        Kernels::available().map(|k| k.dot(a.view().row(0), b.view().row(0)).to_bits()).collect();
    assert!(scores.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn text_ids_are_ordered_by_their_bytes() {
    let vectors = Matrix::new(vec![1.0; 8], 2).unwrap();
    let ids = ["b", "a", "é", "ab"].map(str::to_owned);
    let index = build(vectors.view(), NewIds::Text(&ids), Metric::Cosine);
    let hits = search(&index, vectors.view().slice(0..1), 6, 1);
    let wanted = [Some("a"), Some("ab"), Some("b"), Some("é"), None, None];
    assert_eq!(hits.ids, HitIds::Text(wanted.to_vec()));
    assert_eq!((hits.counts[0], hits.scores[4]), (4, f32::NEG_INFINITY));
}

#[test]
fn what_cannot_be_indexed_is_refused() {
    let refuse = |data: &[f32], ids: NewIds<'_>, metric| {
        let build = Build { metric, ..Build::default() };
        let rows = MatrixRef::new(data, 2).unwrap();
        Index::build(rows, ids, &build, Threads::ONE, &Cancel::new()).unwrap_err()
    };
    let (rows, dot) = (NewIds::Rows, Metric::Dot);
    assert!(matches!(
        refuse(&[1.0, 1.0, f32::NAN, 1.0], rows, dot),
        Error::NotFinite { row: 1, .. }
    ));
    assert!(matches!(refuse(&[f32::INFINITY, 1.0], rows, dot), Error::NotFinite { row: 0, .. }));
    assert!(refuse(&[1e19, 1e19], rows, dot).to_string().contains("scale"));
    assert!(refuse(&[1.0, 0.0, 0.0, -0.0], rows, Metric::Cosine).to_string().contains("row 1"));
    let build = Build { storage: Storage::F16, ..Build::default() };
    let rows = MatrixRef::new(&[1.0, 65_504.0, -65_505.0, 0.0], 2).unwrap();
    let ids = NewIds::Numbers(&[7, 3]);
    let error = Index::build(rows, ids, &build, Threads::ONE, &Cancel::new()).unwrap_err();
    assert!(error.to_string().contains("6.5505e4 in row 1"), "{error}");
    let twice = NewIds::Numbers(&[4, 4]);
    assert!(refuse(&[1.0; 4], twice, dot).to_string().contains("4 twice"));
    let twice = ["x".to_owned(), "x".to_owned()];
    assert!(refuse(&[1.0; 4], NewIds::Text(&twice), dot).to_string().contains("\"x\" twice"));
    assert!(refuse(&[1.0; 4], NewIds::Numbers(&[0, -1]), dot).to_string().contains("-1"));
    assert!(matches!(refuse(&[1.0; 4], NewIds::Numbers(&[0]), dot), Error::Length { .. }));
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let vectors = gaussian(10, 3, 1);
    let index = build(vectors.view(), NewIds::Rows, Metric::Cosine);
    let refuse = |data: &[f32], dim, k| {
        let search = Search { k, ..Search::default() };
        let queries = MatrixRef::new(data, dim).unwrap();
        index.search(queries, &search, Threads::ONE, &Cancel::new()).unwrap_err()
    };
    assert!(matches!(refuse(&[1.0; 4], 4, 1), Error::Columns { want: 3, got: 4, .. }));
    assert!(matches!(refuse(&[1.0; 3], 3, 0), Error::Range { what: "k", .. }));
    assert!(matches!(refuse(&[1.0; 3], 3, usize::MAX), Error::Range { what: "k", .. }));
    assert!(matches!(refuse(&[1.0, 1.0, f32::NAN], 3, 1), Error::NotFinite { .. }));
    assert!(matches!(refuse(&[0.0; 3], 3, 1), Error::Range { .. }));
}

fn ivf(vectors: MatrixRef<'_>, metric: Metric, lists: Option<usize>, threads: usize) -> Index {
    let kind = Kind::Ivf(Lists { lists, parts: None });
    let build = Build { metric, kind, seed: 9, ..Build::default() };
    let threads = Threads::new(threads).unwrap();
    Index::build(vectors, NewIds::Rows, &build, threads, &Cancel::new()).unwrap()
}

/// Rows around `centres` centres, one after the other.
pub(crate) fn clustered(rows: usize, dim: usize, centres: usize, seed: u64) -> Matrix {
    let (around, mut out) = (gaussian(centres, dim, seed), gaussian(rows, dim, !seed));
    for i in 0..rows {
        let centre = around.view().row(i % centres);
        out.row_mut(i).iter_mut().zip(centre).for_each(|(x, c)| *x += 3.0 * c);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn lists_searched_and_scored_in_full_return_the_bits_of_flat_search(
        rows in 16usize..600, dim in 1usize..40, lists in 1usize..30, k in 1usize..40, seed: u64,
    ) {
        let vectors = clustered(rows, dim, 5, seed);
        let queries = gaussian(5, dim, seed ^ 1);
        for (metric, storage) in METRICS.into_iter().zip(STORAGES) {
            let flat = kept(vectors.view(), metric, storage, Kind::Flat);
            let lists = Kind::Ivf(Lists { lists: Some(lists.min(rows)), parts: None });
            let index = kept(vectors.view(), metric, storage, lists);
            let all = Search { k, probes: Some(usize::MAX), rescore: Some(rows), ..Search::default() };
            let hits = index.search(queries.view(), &all, Threads::ONE, &Cancel::new()).unwrap();
            prop_assert_eq!(bits(&hits), bits(&search(&flat, queries.view(), k, 1)));
            prop_assert!(hits.costs.iter().all(|cost| cost.codes == rows as u64));
        }
    }

    #[test]
    fn every_candidate_is_among_the_best_codes(
        rows in 64usize..600, dim in 4usize..40, keep in 1usize..60, seed: u64,
    ) {
        // All lists, few rescored: what is returned must be what the codes rank first, up to the
        // error of the codes themselves, so at least one of the true best half is there.
        let vectors = clustered(rows, dim, 7, seed);
        let index = ivf(vectors.view(), Metric::Dot, Some(8), 1);
        let some = Search { k: keep, probes: Some(8), rescore: Some(keep), ..Search::default() };
        let hits = index.search(vectors.view().slice(0..4), &some, Threads::ONE, &Cancel::new());
        let hits = hits.unwrap();
        prop_assert!(hits.costs.iter().all(|cost| cost.rows == keep as u64));
        for (i, query) in vectors.view().slice(0..4).iter().enumerate() {
            let wanted = oracle::top_k(vectors.view(), query, rows.div_ceil(2), oracle::dot);
            let best = numbers(&hits)[i * keep] as usize;
            prop_assert!(wanted.iter().any(|(row, _)| *row == best));
        }
    }

    #[test]
    fn fewer_probes_than_hold_k_rows_are_made_more(rows in 20usize..200, seed: u64) {
        let vectors = clustered(rows, 6, 4, seed);
        let index = ivf(vectors.view(), Metric::L2, Some(10), 1);
        let one = Search { k: rows + 3, probes: Some(1), ..Search::default() };
        let hits = index.search(vectors.view().slice(0..2), &one, Threads::ONE, &Cancel::new());
        prop_assert_eq!(hits.unwrap().counts, [rows as i64; 2]);
    }
}

#[test]
fn slack_trades_codes_for_recall_and_without_bound_changes_nothing() {
    let vectors = clustered(20_000, 32, 200, 7);
    let queries = clustered(100, 32, 200, 8);
    let index = ivf(vectors.view(), Metric::Cosine, None, 2);
    let run = |slack| {
        let search = Search { probes: Some(200), slack, ..Search::default() };
        index.search(queries.view(), &search, Threads::ONE, &Cancel::new()).unwrap()
    };
    let codes = |hits: &Hits<'_>| hits.costs.iter().map(|cost| cost.codes).sum::<u64>();
    let all = run(None);
    assert_eq!(bits(&run(Some(f32::INFINITY))), bits(&all));
    // So much that it ends nothing: lists are ranked a few at a time, and each is looked into once.
    let lavish = run(Some(10.0));
    assert_eq!(bits(&lavish), bits(&all));
    assert_eq!(lavish.costs, all.costs);
    let (some, few) = (run(Some(0.3)), run(Some(-0.3)));
    assert!(codes(&few) < codes(&some) && codes(&some) < codes(&all));
    assert_eq!(few.counts, all.counts);
}

#[test]
fn two_builds_of_one_seed_are_the_same_bytes_for_any_number_of_threads() {
    let vectors = clustered(3000, 20, 30, 3);
    let one = ivf(vectors.view(), Metric::Cosine, None, 1).to_segment().unwrap();
    for threads in [1, 2, 5] {
        assert!(ivf(vectors.view(), Metric::Cosine, None, threads).to_segment().unwrap() == one);
    }
}

#[test]
fn one_query_alone_and_among_many_return_the_same_bits_from_lists() {
    let vectors = clustered(4000, 24, 40, 5);
    let queries = clustered(100, 24, 40, 5);
    for metric in METRICS {
        let index = ivf(vectors.view(), metric, None, 2);
        let together = search(&index, queries.view(), 10, 2);
        for i in 0..100 {
            let alone = search(&index, queries.view().slice(i..i + 1), 10, 1);
            assert_eq!(numbers(&alone), &numbers(&together)[10 * i..][..10]);
            assert_eq!(alone.scores, together.scores[10 * i..][..10]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn queries_that_share_lists_find_what_each_finds_alone(
        seed: u64, metric in prop::sample::select(METRICS.to_vec()), lists in 1usize..40,
        probes in 1usize..40, k in prop_oneof![1usize..20, 300usize..900], rescore in 1usize..400,
        count in 1usize..200, threads in 1usize..3,
    ) {
        let (vectors, queries) = (clustered(900, 12, 30, seed), clustered(count, 12, 30, seed ^ 1));
        let index = ivf(vectors.view(), metric, Some(lists), 1);
        let how = Search { k, probes: Some(probes), rescore: Some(rescore), ..Search::default() };
        let run = |queries: MatrixRef<'_>, threads: usize| {
            let threads = Threads::resolve(Some(threads)).unwrap();
            index.search(queries, &how, threads, &Cancel::new()).unwrap()
        };
        let together = run(queries.view(), threads);
        for i in (0..count).step_by(7) {
            let alone = run(queries.view().slice(i..i + 1), 1);
            prop_assert_eq!(numbers(&alone), &numbers(&together)[k * i..][..k]);
            prop_assert_eq!(&alone.scores, &together.scores[k * i..][..k]);
            prop_assert_eq!(&alone.costs[0], &together.costs[i]);
        }
    }
}

#[test]
fn a_search_leaves_nothing_behind_for_the_next_on_its_thread() {
    let (large, small) = (clustered(3000, 24, 40, 6), clustered(90, 7, 5, 7));
    let large = (ivf(large.view(), Metric::Dot, Some(60), 1), gaussian(9, 24, 8));
    let small = (ivf(small.view(), Metric::L2, Some(4), 1), gaussian(3, 7, 9));
    fn of((index, queries): &(Index, Matrix)) -> (HitIds<'_>, Vec<u32>) {
        let search = Search { k: 5, probes: Some(3), rescore: Some(20), ..Search::default() };
        bits(&index.search(queries.view(), &search, Threads::ONE, &Cancel::new()).unwrap())
    }
    fn alone(pair: &(Index, Matrix)) -> (HitIds<'_>, Vec<u32>) {
        std::thread::scope(|scope| scope.spawn(|| of(pair)).join().unwrap())
    }
    let (wanted_large, wanted_small) = (alone(&large), alone(&small));
    for _ in 0..2 {
        assert_eq!(of(&large), wanted_large);
        assert_eq!(of(&small), wanted_small);
    }
}

#[test]
fn a_fifth_of_the_lists_holds_nearly_all_of_the_best() {
    let vectors = clustered(20_000, 32, 200, 7);
    let queries = clustered(200, 32, 200, 8);
    let mut found = 0;
    let (flat, index) = (
        build(vectors.view(), NewIds::Rows, Metric::Cosine),
        ivf(vectors.view(), Metric::Cosine, None, 2),
    );
    let (wanted, hits) =
        (search(&flat, queries.view(), 10, 2), search(&index, queries.view(), 10, 2));
    for (got, wanted) in numbers(&hits).chunks(10).zip(numbers(&wanted).chunks(10)) {
        found += wanted.iter().filter(|id| got.contains(id)).count();
    }
    let scanned: u64 = hits.costs.iter().map(|cost| cost.codes).sum();
    assert!(found >= 1_960, "{found} of 2000");
    assert!(scanned < 20_000 * 200 / 4, "{scanned}");
}

#[test]
fn equal_rows_and_single_columns_are_no_trouble_for_lists() {
    for dim in [1, 3] {
        let vectors = Matrix::new(vec![0.5; 40 * dim], dim).unwrap();
        for metric in METRICS {
            let index = ivf(vectors.view(), metric, Some(7), 1);
            let hits = search(&index, vectors.view().slice(0..1), 5, 1);
            assert_eq!(numbers(&hits), [0, 1, 2, 3, 4], "{metric:?}");
        }
    }
}

#[test]
fn what_cannot_be_put_in_lists_is_refused() {
    let vectors = gaussian(20, 4, 1);
    let refuse = |rows: MatrixRef<'_>, lists, parts| {
        let build = Build { kind: Kind::Ivf(Lists { lists, parts }), ..Build::default() };
        Index::build(rows, NewIds::Rows, &build, Threads::ONE, &Cancel::new()).unwrap_err()
    };
    assert!(matches!(refuse(vectors.view().slice(0..15), None, None), Error::Range { .. }));
    for lists in [0, 21] {
        assert!(matches!(
            refuse(vectors.view(), Some(lists), None),
            Error::Range { what: "lists", .. }
        ));
    }
    for parts in [0, 5] {
        assert!(matches!(
            refuse(vectors.view(), None, Some(parts)),
            Error::Range { what: "parts", .. }
        ));
    }
}
