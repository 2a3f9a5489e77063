//! What does k-means cost, and what does a second thread save?

use criterion::{Criterion, Throughput, criterion_group};
use magnetite_core::cluster::{KMeans, assign};
use magnetite_core::{Cancel, Matrix, Threads, rng::Rng};

/// Rows around 1,000 centers, about as close to them as sentence vectors to their topics.
fn rows(n: usize, dim: usize) -> Matrix {
    let mut rng = Rng::new(0, 0);
    let mut uniform = |n: usize| (0..n).map(|_| rng.unit() as f32 - 0.5).collect::<Vec<_>>();
    let (centers, mut data) = (uniform(1000 * dim), uniform(n * dim));
    for (i, row) in data.chunks_mut(dim).enumerate() {
        row.iter_mut().zip(&centers[i % 1000 * dim..]).for_each(|(x, center)| *x += center);
    }
    Matrix::new(data, dim).unwrap()
}

fn cluster(c: &mut Criterion) {
    let (n, dim, k) = (16_384, 384, 256);
    let (rows, cancel) = (rows(n, dim), Cancel::new());
    let mut group = c.benchmark_group(format!("cluster/{n}x{dim}/k={k}"));
    group.sample_size(10);
    for threads in [1, 2] {
        let threads = Threads::new(threads).unwrap();
        for (name, iterations) in [("seeding and one pass", 0), ("five moves", 5)] {
            let means = KMeans { iterations, tolerance: 0.0, ..KMeans::new(k) };
            group.bench_function(format!("{name}/threads={}", threads.get()), |b| {
                b.iter(|| means.fit(rows.view(), threads, &cancel).unwrap());
            });
        }
        let found = KMeans { iterations: 1, ..KMeans::new(k) };
        let found = found.fit(rows.view(), threads, &cancel).unwrap();
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("assign/threads={}", threads.get()), |b| {
            b.iter(|| assign(rows.view(), found.centroids.view(), threads, &cancel).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, cluster);
