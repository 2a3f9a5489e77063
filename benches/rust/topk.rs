//! What does keeping the best k of a stream cost, beside reading it?

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group};
use magnetite_core::{rng::Rng, topk::TopK};

fn topk(c: &mut Criterion) {
    let mut rng = Rng::new(0, 0);
    let scores: Vec<f32> = (0..100_000).map(|_| rng.unit() as f32).collect();
    let mut group = c.benchmark_group("topk");
    group.throughput(Throughput::Elements(scores.len() as u64));
    for k in [1, 10, 100, 1000] {
        group.bench_function(format!("k={k}"), |b| {
            b.iter(|| {
                let mut best = TopK::new(k);
                for (id, &score) in scores.iter().enumerate() {
                    best.push(black_box(score), id as u64);
                }
                best.into_sorted()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, topk);
