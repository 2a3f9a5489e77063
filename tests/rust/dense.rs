//! Vector search: what it returns, in which order, and that nothing but the input decides it.

use magnetite_core::dense::{Build, HitIds, Hits, Index, Metric, NewIds, Search};
use magnetite_core::kernels::Kernels;
use magnetite_core::{Cancel, Error, Matrix, MatrixRef, Threads, oracle, rng::Rng};
use proptest::prelude::*;

const METRICS: [Metric; 3] = [Metric::Dot, Metric::Cosine, Metric::L2];

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

fn search<'a>(index: &'a Index, queries: MatrixRef<'_>, k: usize, threads: usize) -> Hits<'a> {
    let search = Search { k, ..Search::default() };
    index.search(queries, &search, Threads::new(threads).unwrap(), &Cancel::new()).unwrap()
}

fn numbers<'a>(hits: &'a Hits<'_>) -> &'a [i64] {
    match &hits.ids {
        HitIds::Numbers(numbers) => numbers,
        HitIds::Text(_) => panic!("an index of numbers"),
    }
}

/// Ids and the bits of the scores.
fn bits<'a>(hits: &Hits<'a>) -> (HitIds<'a>, Vec<u32>) {
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
