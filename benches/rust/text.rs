//! How far is a text from its ids, ids from batches, and ids from their vector?

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group};
use magnetite_core::static_encoder::StaticEncoder;
use magnetite_core::text::{Asked, Ragged, Tokenizer, batch::pack};
use magnetite_core::{Cancel, Threads, rng::Rng};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The words of the licence, twenty by twenty and 32 times over: about 130 characters a text.
fn sentences() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("LICENSE")).unwrap();
    let words = text.split_whitespace().collect::<Vec<_>>().repeat(32);
    words.chunks(20).map(|chunk| chunk.join(" ")).collect()
}

fn text(c: &mut Criterion) {
    let builtin = repository().join("python/magnetite/encode/builtin");
    let tokenizer = Tokenizer::load(&builtin.join("tokenizer.json")).unwrap();
    let encoder = StaticEncoder::load(&builtin.join("model.safetensors")).unwrap();
    let (texts, cancel) = (sentences(), Cancel::new());
    let asked = |offsets| Asked { max_tokens: Some(256), offsets, ..Asked::default() };
    let encode = |offsets, threads| {
        tokenizer.encode_batch(&texts, asked(offsets), Threads::new(threads).unwrap(), &cancel)
    };

    let mut group = c.benchmark_group("text");
    group.sample_size(10).throughput(Throughput::Elements(texts.len() as u64));
    for threads in [1, 2] {
        group.bench_function(format!("ids/threads={threads}"), |b| {
            b.iter(|| encode(false, threads).unwrap());
        });
        group.bench_function(format!("ids and offsets/threads={threads}"), |b| {
            b.iter(|| encode(true, threads).unwrap());
        });
        let threads = Threads::new(threads).unwrap();
        group.bench_function(format!("text to vectors/threads={}", threads.get()), |b| {
            let mut out = vec![0.0; texts.len() * encoder.dim()];
            let how = (&tokenizer, asked(false));
            b.iter(|| encoder.encode_texts(how, &texts, &mut out, threads, &cancel));
        });
        let tokens = encode(false, 1).unwrap();
        let ragged = Ragged::new(&tokens.ids, &tokens.starts).unwrap();
        group.bench_function(format!("ids to vectors/threads={}", threads.get()), |b| {
            b.iter(|| encoder.encode(ragged, threads, &cancel).unwrap());
        });
    }
    let mut rng = Rng::new(0, 0);
    let lengths: Vec<i64> = (0..100_000).map(|_| 2 + rng.below(62) as i64).collect();
    group.throughput(Throughput::Elements(lengths.len() as u64));
    group.bench_function("pack", |b| b.iter(|| pack(black_box(&lengths), 16_384, 256).unwrap()));
    group.finish();
}

criterion_group!(benches, text);
