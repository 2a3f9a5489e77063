//! Exact search by sketches returns what the canonical kernel alone would, however hostile the rows.

use magnetite_core::dense::{Build, HitIds, Index, Kind, Metric, NewIds, Search, Storage};
use magnetite_core::kernels::Kernels;
use magnetite_core::topk::{Scored, TopK};
use magnetite_core::{Cancel, Matrix, MatrixRef, Threads, rng::Rng};
use proptest::prelude::*;

/// Rows that sketches hold badly: of very different lengths, constant, of zeros, subnormal, with one
/// number that dwarfs the others, nearly equal to each other.
fn hostile(rows: usize, dim: usize, seed: u64) -> Matrix {
    let mut rng = Rng::new(seed, 0);
    let mut out = Matrix::zeros(rows, dim);
    for i in 0..rows {
        let kind = rng.below(7);
        let scale = match kind {
            0 => 2f32.powi(rng.below(120) as i32 - 64),
            1 => f32::MIN_POSITIVE / 64.0,
            _ => 1.0,
        };
        let level = if kind == 2 { rng.unit() as f32 } else { 0.0 };
        let close = if kind == 3 { 1e-6 } else { 1.0 };
        for x in out.row_mut(i) {
            let noise = (rng.unit() as f32 - 0.5) * scale;
            *x = if kind == 2 { level } else { f32::from(kind == 3) * 0.3 + close * noise };
        }
        match kind {
            4 => out.row_mut(i).fill(0.0),
            5 => out.row_mut(i)[rng.below(dim)] = 2f32.powi(rng.below(40) as i32),
            _ => {}
        }
    }
    out
}

/// The best rows by the canonical kernel, one after the other.
fn wanted(metric: Metric, rows: MatrixRef<'_>, query: &[f32], k: usize) -> Vec<Scored> {
    let (kernels, mut best) = (Kernels::best(), TopK::new(k));
    for (id, row) in rows.iter().enumerate() {
        let score = match metric {
            Metric::L2 => 0.0 - kernels.l2(query, row),
            _ => kernels.dot(query, row),
        };
        best.push(score, id as u64);
    }
    best.into_sorted()
}

fn expect(metric: Metric, rows: &Matrix, queries: &Matrix, k: usize, threads: usize) {
    let build = Build { metric, kind: Kind::Flat, ..Build::default() };
    let (threads, cancel) = (Threads::new(threads).unwrap(), Cancel::new());
    let index = Index::build(rows.view(), NewIds::Rows, &build, threads, &cancel).unwrap();
    let search = Search { k, ..Search::default() };
    let hits = index.search(queries.view(), &search, threads, &cancel).unwrap();
    let HitIds::Numbers(ids) = &hits.ids else { panic!("rows have numbers") };
    for (i, query) in queries.view().iter().enumerate() {
        for (place, best) in wanted(metric, rows.view(), query, k).into_iter().enumerate() {
            let (id, score) = (ids[i * k + place], hits.scores[i * k + place]);
            assert_eq!((id, score.to_bits()), (best.id as i64, best.score.to_bits()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_row_among_the_best_is_left_out(
        rows in 257usize..2000, dim in 1usize..80, queries in 1usize..=17, k in 1usize..30,
        seed: u64, l2: bool, threads in 1usize..3,
    ) {
        let metric = if l2 { Metric::L2 } else { Metric::Dot };
        let (rows, queries) = (hostile(rows, dim, seed), hostile(queries, dim, !seed));
        expect(metric, &rows, &queries, k, threads);
    }
}

#[test]
fn rows_and_queries_that_lose_most_in_fewer_bits_are_found() {
    // The best rows come last. Of their bytes, 41 and −42, the outlines leave 40 and −40; of the queries'
    // numbers, 1.45 beside a largest of 31, their steps leave 1. So they seem lower than the rows of 41
    // and −41, which come first and set the level. The others are far below.
    let (rows, dim) = (2000, 66);
    let sign = |d: usize| if d.is_multiple_of(2) { 1.0 } else { -1.0 };
    let rows = Matrix::new(
        (0..rows * dim)
            .map(|i| match (i / dim, i % dim) {
                (_, 0) => 127.0,
                (_, 1) => 0.0,
                (100..110, d) => 41.0 * sign(d),
                (1900..1910, d) => f32::from(41 + (d % 2) as u8) * sign(d),
                (row, d) => ((row * 7 + d * 3) % 7) as f32 - 3.0,
            })
            .collect(),
        dim,
    )
    .unwrap();
    for size in [1.0, 1.45] {
        let query = |i: usize| match i % dim {
            0 => 0.0,
            1 => 31.0,
            d => size * sign(d),
        };
        for queries in [1, 8, 30] {
            let queries = Matrix::new((0..queries * dim).map(query).collect(), dim).unwrap();
            for metric in [Metric::Dot, Metric::L2] {
                expect(metric, &rows, &queries, 10, 1);
            }
        }
    }
}

#[test]
fn thousands_of_rows_that_cannot_be_told_apart_are_all_scored() {
    // More candidates than are kept: they are scored on the way.
    let mut rows = hostile(12_000, 20, 3);
    for i in 0..12_000 {
        for (d, x) in rows.row_mut(i).iter_mut().enumerate() {
            *x = 0.5 + d as f32 + ((i * 31 + d * 7) % 1000) as f32 * 1e-6;
        }
    }
    let queries = rows.view().gather(&[5, 777]);
    for metric in [Metric::Dot, Metric::L2] {
        expect(metric, &rows, &queries, 10, 1);
        expect(metric, &rows, &queries, 2000, 2);
    }
}

#[test]
fn an_exact_index_of_floats_takes_at_most_three_tenths_more_than_they() {
    let rows = hostile(4000, 384, 4);
    for (storage, bytes) in [(Storage::F32, 5.2), (Storage::F16, 3.2), (Storage::Int8, 1.1)] {
        let build = Build { storage, kind: Kind::Flat, ..Build::default() };
        let index = Index::build(rows.view(), NewIds::Rows, &build, Threads::ONE, &Cancel::new());
        if storage == Storage::F16 {
            assert!(index.is_err(), "numbers beyond 65,504");
            continue;
        }
        let size = index.unwrap().to_segment().unwrap().len();
        assert!((size as f64) < bytes * 384.0 * 4000.0, "{storage:?} {size}");
    }
}
