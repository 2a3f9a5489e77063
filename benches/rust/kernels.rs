//! What does each kernel cost on each tier this CPU has?

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use magnetite_core::kernels::{BLOCK, Columns, Heights, Kernels, Outline};
use magnetite_core::{Matrix, rng::Rng};

const ROWS: usize = 1024;

fn noise(rows: usize, dim: usize) -> Matrix {
    let mut rng = Rng::new(0, 0);
    Matrix::new((0..rows * dim).map(|_| rng.unit() as f32 - 0.5).collect(), dim).unwrap()
}

/// One vector against another, and one against a block of rows; by numbers read.
fn vectors(c: &mut Criterion) {
    for dim in [384, 1024] {
        let (rows, query) = (noise(ROWS, dim), noise(1, dim));
        let (rows, query, mut out) = (rows.view(), query.view().row(0), vec![0.0; ROWS]);
        let mut sum = query.to_vec();
        let mut group = c.benchmark_group(format!("kernels/dim={dim}"));
        for kernels in Kernels::available() {
            let tier = kernels.tier().name();
            group.throughput(Throughput::Elements(dim as u64));
            group.bench_function(BenchmarkId::new("dot", tier), |b| {
                b.iter(|| kernels.dot(black_box(query), rows.row(7)));
            });
            group.bench_function(BenchmarkId::new("l2", tier), |b| {
                b.iter(|| kernels.l2(black_box(query), rows.row(7)));
            });
            group.bench_function(BenchmarkId::new("axpy", tier), |b| {
                b.iter(|| kernels.axpy(1e-9, black_box(query), &mut sum));
            });
            group.throughput(Throughput::Elements((ROWS * dim) as u64));
            group.bench_function(BenchmarkId::new("dots", tier), |b| {
                b.iter(|| kernels.dots(black_box(query), rows, &mut out));
            });
            group.bench_function(BenchmarkId::new("l2s", tier), |b| {
                b.iter(|| kernels.l2s(black_box(query), rows, &mut out));
            });
        }
        group.finish();
    }
}

/// The nearest of a codebook's vectors for 1,024 short ones, by numbers compared.
fn short(c: &mut Criterion) {
    let mut group = c.benchmark_group("kernels/nearest_short");
    for (dim, book) in [(2, 16), (4, 16), (8, 256)] {
        let (rows, vectors) = (noise(ROWS, dim), noise(book, dim));
        let columns = Columns::of_width(rows.view().iter(), dim).unwrap();
        let (mut numbers, mut distances) = (vec![], vec![]);
        group.throughput(Throughput::Elements((ROWS * book * dim) as u64));
        for kernels in Kernels::available() {
            group.bench_function(format!("{book} of dim={dim}/{}", kernels.tier().name()), |b| {
                b.iter(|| {
                    let book = black_box(vectors.view().data());
                    kernels.nearest_short(&columns, book, &mut numbers, &mut distances);
                });
            });
        }
    }
    group.finish();
}

/// Integer dot products of some queries with 512 rows of bytes, and finding the few that may win.
fn sketches(c: &mut Criterion) {
    const SKETCHED: usize = 512;
    let bytes: Vec<i8> = (0..SKETCHED * 384).map(|i| (i * 37 % 251) as u8 as i8).collect();
    let numbers: Vec<i16> = (0..8 * 384).map(|i| (i * 7919 % 65_521) as u16 as i16).collect();
    let mut group = c.benchmark_group("kernels/sketches");
    for kernels in Kernels::available() {
        let tier = kernels.tier().name();
        for queries in [1, 2, 4, 6, 8] {
            let mut out = vec![0; queries * SKETCHED];
            group.throughput(Throughput::Elements((queries * SKETCHED * 384) as u64));
            group.bench_function(format!("dots_i16/{queries}/{tier}"), |b| {
                b.iter(|| {
                    kernels.dots_i16(black_box(&numbers[..queries * 384]), &bytes, 384, &mut out);
                });
            });
        }
        let mut outline = Outline::default();
        group.throughput(Throughput::Elements((SKETCHED * 384) as u64));
        group.bench_function(BenchmarkId::new("outline", tier), |b| {
            b.iter(|| kernels.outline(black_box(&bytes), 384, &mut outline));
        });
        kernels.outline(&bytes, 384, &mut outline);
        let few: Vec<i8> = numbers.iter().map(|number| (number % 32) as i8).collect();
        for queries in [1, 6, 8] {
            let mut out = vec![0; queries * SKETCHED];
            group.throughput(Throughput::Elements((queries * SKETCHED * 384) as u64));
            group.bench_function(format!("outline_dots/{queries}/{tier}"), |b| {
                b.iter(|| {
                    kernels.outline_dots(black_box(&few[..queries * 384]), &outline, &mut out)
                });
            });
        }
        let (sums, ones) = (vec![1; SKETCHED], vec![1.0; SKETCHED]);
        let heights = Heights {
            sums: &sums,
            scales: &ones,
            rests: &ones,
            halves: &ones,
            step: 1.0,
            reach: 1.0,
            level: 2.0,
        };
        let mut found = Vec::new();
        group.throughput(Throughput::Elements(SKETCHED as u64));
        group.bench_function(BenchmarkId::new("reaching", tier), |b| {
            b.iter(|| kernels.reaching(black_box(&heights), &mut found));
        });
        group.bench_function(BenchmarkId::new("surest", tier), |b| {
            b.iter(|| kernels.surest(black_box(&heights)));
        });
    }
    group.finish();
}

/// The 4-bit scan, by codes looked up.
fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("kernels/scan");
    for parts in [48, 192] {
        let blocks: Vec<u8> = (0..64 * 8 * parts).map(|i| (i * 37 % 251) as u8).collect();
        let tables: Vec<u8> = (0..16 * parts).map(|i| (i * 53 % 32) as u8).collect();
        let mut out = vec![0; 64 * BLOCK];
        group.throughput(Throughput::Elements((64 * BLOCK * parts) as u64));
        for kernels in Kernels::available() {
            let name = format!("parts={parts}/{}", kernels.tier().name());
            group.bench_function(name, |b| {
                b.iter(|| kernels.scan(black_box(&tables), &blocks, &mut out));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, vectors, short, sketches, scan);
