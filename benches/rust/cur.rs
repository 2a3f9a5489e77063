//! What does a search by rounds cost beside its scorer? At the sizes of the promise: 10,000 items, 500
//! factors, 100 calls in five rounds.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use magnetite_core::cur::{Plan, Ridge, Round, Search, Solver, Start};
use magnetite_core::dense::{self, Build, Index, Kind, Lists, NewIds, Storage};
use magnetite_core::{Cancel, Matrix, Threads, rng::Rng};

const ITEMS: usize = 10_000;
const DIM: usize = 500;
const ROUNDS: usize = 5;
const CALLS: usize = 100;

/// Columns of lengths that fall as those of score matrices do.
fn factors(count: usize) -> Matrix {
    let mut rng = Rng::new(1, 0);
    let number = |i: usize| (rng.unit() as f32 - 0.5) / ((i % DIM + 1) as f32).powf(0.75);
    Matrix::new((0..count * DIM).map(number).collect(), DIM).unwrap()
}

fn solve(c: &mut Criterion) {
    let mut group = c.benchmark_group("cur/solve");
    let rows = factors(500);
    let rows: Vec<f64> = rows.view().data().iter().map(|&x| f64::from(x)).collect();
    let scores: Vec<f64> = (0..500).map(|i| (i % 7) as f64).collect();
    for calls in [50, CALLS, 200, 500] {
        group.bench_function(BenchmarkId::from_parameter(calls), |b| {
            b.iter(|| {
                let mut solver = Solver::new(DIM, Ridge::default());
                let mut u = Vec::new();
                let block = calls / ROUNDS;
                for (rows, scores) in
                    rows[..calls * DIM].chunks(block * DIM).zip(scores.chunks(block))
                {
                    solver.append(black_box(rows), scores);
                    u = solver.solution();
                }
                u
            });
        });
    }
    group.finish();
}

/// All rounds of a batch by a scorer that costs nothing.
fn search(c: &mut Criterion) {
    let mut group = c.benchmark_group("cur/search");
    let vectors = factors(ITEMS);
    let (cancel, filters) = (Cancel::new(), dense::Search::default());
    let lists = Kind::Ivf(Lists::default());
    let all = [
        ("f32", Kind::Flat, Storage::F32),
        ("f16", Kind::Flat, Storage::F16),
        ("int8", Kind::Flat, Storage::Int8),
        ("lists", lists, Storage::F32),
    ];
    for (name, kind, storage) in all {
        let build = Build { kind, storage, ..Build::default() };
        let index =
            Index::build(vectors.view(), NewIds::Rows, &build, Threads::ONE, &cancel).unwrap();
        for queries in [1, 32] {
            group.throughput(Throughput::Elements(queries as u64));
            group.bench_function(BenchmarkId::new(name, queries), |b| {
                b.iter(|| {
                    let round = Round { items: CALLS / ROUNDS, temperature: None };
                    let ridge = Ridge::of(1e-6, 0.0, storage);
                    let rounds = vec![round; ROUNDS];
                    let plan = Plan { rounds, ridge, weight: 0.0, toward: false, seed: 0 };
                    let start = Start::default();
                    let mut search = Search::new(&index, queries, &start, plan, &filters).unwrap();
                    while let Some(asked) = search.ask(&filters, Threads::ONE, &cancel).unwrap() {
                        let score = |&item: &usize| (item * 37 % 1009) as f64;
                        let told: Vec<f64> = asked.concat().iter().map(score).collect();
                        search.tell(&told).unwrap();
                    }
                    search.best(10, Threads::ONE, &cancel).unwrap()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, solve, search);
