//! What do building and searching cost, exactly and by lists, on rows that lie around centres?

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use magnetite_core::dense::{Build, Index, Kind, Lists, NewIds, Search};
use magnetite_core::{Cancel, Matrix, Threads, rng::Rng};

const ROWS: usize = 20_000;
const DIM: usize = 128;

fn rows(count: usize, seed: u64) -> Matrix {
    let (mut rng, mut centre) = (Rng::new(seed, 0), Rng::new(0, 1));
    let centres: Vec<f32> = (0..200 * DIM).map(|_| centre.unit() as f32 - 0.5).collect();
    let number = |i: usize| centres[i / DIM % 200 * DIM + i % DIM] + 0.5 * rng.unit() as f32;
    Matrix::new((0..count * DIM).map(number).collect(), DIM).unwrap()
}

fn build(vectors: &Matrix, kind: Kind) -> Index {
    let build = Build { kind, ..Build::default() };
    Index::build(vectors.view(), NewIds::Rows, &build, Threads::ONE, &Cancel::new()).unwrap()
}

fn dense(c: &mut Criterion) {
    let vectors = rows(ROWS, 1);
    let queries = rows(64, 2);
    let lists = Kind::Ivf(Lists::default());
    let mut group = c.benchmark_group("dense");
    for (name, kind) in [("flat", Kind::Flat), ("ivf", lists)] {
        let index = build(&vectors, kind);
        for batch in [1, 64] {
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                let queries = queries.view().slice(0..batch);
                let search = Search::default();
                b.iter(|| {
                    let queries = black_box(queries);
                    index.search(queries, &search, Threads::ONE, &Cancel::new()).unwrap().counts
                });
            });
        }
    }
    group.throughput(Throughput::Elements(ROWS as u64)).sample_size(10);
    group.bench_function("build", |b| b.iter(|| build(&vectors, lists)));
    group.finish();
}

criterion_group!(benches, dense);
