//! What do codebooks, codes, tables and their scores cost?

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group};
use magnetite_core::quantize::{Bits, Packed, ProductQuantizer};
use magnetite_core::{Cancel, Matrix, Threads, rng::Rng};

fn quantize(c: &mut Criterion) {
    let (n, dim, cancel) = (8192, 384, Cancel::new());
    let mut rng = Rng::new(0, 0);
    let rows = Matrix::new((0..n * dim).map(|_| rng.unit() as f32 - 0.5).collect(), dim).unwrap();
    for (parts, bits) in [(48, Bits::Eight), (192, Bits::Four)] {
        let name =
            format!("quantize/{dim} columns in {parts} parts of {} centroids", bits.centroids());
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        let train = || ProductQuantizer::train(rows.view(), parts, bits, 0, Threads::ONE, &cancel);
        group.bench_function("train on 8,192 rows", |b| b.iter(|| train().unwrap()));
        let pq = train().unwrap();
        group.throughput(Throughput::Elements(n as u64));
        let encode = || pq.encode(rows.view(), Threads::ONE, &cancel).unwrap();
        group.bench_function("encode", |b| b.iter(encode));
        let (codes, query) = (encode(), rows.view().row(3));
        group.bench_function("decode", |b| b.iter(|| pq.decode(black_box(&codes))));
        let (table, mut out) = (pq.dot_table(query), vec![0.0; n]);
        group.bench_function("score", |b| b.iter(|| table.scores(black_box(&codes), &mut out)));
        if bits == Bits::Four {
            let (bytes, packed, mut sums) = (table.to_bytes(), Packed::pack(&codes), Vec::new());
            group.bench_function("scan", |b| b.iter(|| bytes.scan(black_box(&packed), &mut sums)));
        }
        group.throughput(Throughput::Elements(1));
        group.bench_function("dot_table", |b| b.iter(|| pq.dot_table(black_box(query))));
        group.bench_function("l2_table", |b| b.iter(|| pq.l2_table(black_box(query))));
        group.finish();
    }
}

criterion_group!(benches, quantize);
