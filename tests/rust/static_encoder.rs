//! Token vectors to text vectors, and the file that they come from.

use std::path::Path;

use magnetite_core::kernels::LANES;
use magnetite_core::static_encoder::StaticEncoder;
use magnetite_core::tensors::{Numbers, Tensors};
use magnetite_core::text::Ragged;
use magnetite_core::{Cancel, Error, Matrix, Threads, oracle, rng::Rng};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView, serialize};

const U: f64 = 1.0 / (1u64 << 24) as f64;

/// A model of random numbers, as its three tensors and as the bytes of its file.
struct Model {
    table: Vec<i8>,
    scale: Vec<f32>,
    weight: Vec<f32>,
    dim: usize,
}

impl Model {
    fn random(vocab: usize, dim: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed, 0);
        let table = (0..vocab * dim).map(|_| rng.below(255) as i8).collect();
        let scale = (0..vocab).map(|_| rng.unit() as f32 / 127.0).collect();
        // One token in three counts for nothing, some against.
        let weight = (0..vocab).map(|t| (t % 3) as f32 * (rng.unit() as f32 - 0.2)).collect();
        Self { table, scale, weight, dim }
    }

    fn bytes(&self) -> Vec<u8> {
        let vocab = self.scale.len();
        let bytes = |xs: &[f32]| xs.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let table: Vec<u8> = self.table.iter().map(|&x| x as u8).collect();
        file(&[
            ("table", Dtype::I8, &[vocab, self.dim], &table),
            ("scale", Dtype::F32, &[vocab], &bytes(&self.scale)),
            ("weight", Dtype::F32, &[vocab], &bytes(&self.weight)),
        ])
    }

    fn encoder(&self) -> StaticEncoder {
        read(&self.bytes()).unwrap()
    }
}

/// Dtype, shape, bytes.
type Stored<'a> = (Dtype, &'a [usize], &'a [u8]);

fn file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|&(name, dtype, shape, bytes)| {
        (name, TensorView::new(dtype, shape.to_vec(), bytes).unwrap())
    });
    serialize(views, Some([("note".to_owned(), "ünïcode".to_owned())].into())).unwrap()
}

fn read(bytes: &[u8]) -> magnetite_core::Result<StaticEncoder> {
    StaticEncoder::new(Tensors::parse(bytes, Path::new("model.safetensors"))?)
}

fn encode(encoder: &StaticEncoder, rows: &[Vec<i32>], threads: usize) -> Matrix {
    let mut starts = vec![0];
    starts.extend(rows.iter().scan(0, |end, row| {
        *end += row.len() as i64;
        Some(*end)
    }));
    let ids = rows.concat();
    let threads = Threads::new(threads).unwrap();
    encoder.encode(Ragged::new(&ids, &starts).unwrap(), threads, &Cancel::new()).unwrap()
}

fn texts() -> impl Strategy<Value = Vec<Vec<i32>>> {
    prop::collection::vec(prop::collection::vec(0i32..50, 0..40), 0..70)
}

proptest! {
    #[test]
    fn vectors_equal_the_oracle_and_have_length_one(
        rows in texts(),
        // One number, around a block of lanes, a usual dim, an odd one.
        dim in prop::sample::select(vec![1, LANES - 1, LANES, LANES + 1, 256, 301]),
        seed in 0u64..50,
    ) {
        let model = Model::random(50, dim, seed);
        let got = encode(&model.encoder(), &rows, 1);
        for (row, got) in rows.iter().zip(got.view().iter()) {
            let tokens: Vec<usize> = row.iter().map(|&id| id as usize).collect();
            let wanted = oracle::static_vector(&model.table, &model.scale, &model.weight, dim, &tokens);
            if got.iter().all(|&x| x == 0.0) {
                prop_assert!(wanted.iter().all(|&x| x == 0.0));
                continue;
            }
            // A sum of n products of three factors is off by at most (n + 2)·u of the sum of sizes
            // S, its direction by twice that over its length; the length's own sum by dim·u.
            let (mut sizes, mut sum) = (vec![0.0; dim], vec![0.0; dim]);
            for &t in &tokens {
                for j in 0..dim {
                    let term = f64::from(model.weight[t]) * f64::from(model.scale[t])
                        * f64::from(model.table[t * dim + j]);
                    sizes[j] += term.abs();
                    sum[j] += term;
                }
            }
            let length = |xs: &[f64]| xs.iter().map(|x| x * x).sum::<f64>().sqrt();
            let n = (tokens.len() + 2) as f64;
            let bound = 2.0 * n * U * length(&sizes) / length(&sum) + (dim + 4) as f64 * U;
            for (got, wanted) in got.iter().zip(&wanted) {
                prop_assert!((f64::from(*got) - wanted).abs() <= bound, "{got} {wanted} {bound}");
            }
        }
    }

    #[test]
    fn a_vector_has_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads(
        rows in texts(),
        seed in 0u64..10,
    ) {
        let encoder = Model::random(50, 64, seed).encoder();
        let together = encode(&encoder, &rows, 1);
        for threads in [2, 3] {
            prop_assert_eq!(&encode(&encoder, &rows, threads), &together);
        }
        for (row, wanted) in rows.iter().zip(together.view().iter()) {
            let alone = encode(&encoder, std::slice::from_ref(row), 1);
            prop_assert_eq!(alone.view().row(0), wanted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]
    #[test]
    fn hostile_files_are_refused_or_read_and_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        header in prop::collection::vec((0usize..300, any::<u8>()), 0..3),
        keep in prop_oneof![3 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
    ) {
        let mut bytes = Model::random(5, 3, 0).bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for (at, byte) in header {
            let at = at % bytes.len();
            bytes[at] ^= byte;
        }
        if let Some(keep) = keep {
            bytes.truncate(keep.index(bytes.len()));
            prop_assert!(read(&bytes).is_err(), "a truncated file");
        }
        if let Err(error) = read(&bytes) {
            prop_assert!(matches!(error, Error::Format { .. }), "{}", error);
        }
    }
}

#[test]
fn a_text_without_tokens_or_with_weightless_ones_gives_zeros() {
    let encoder = Model::random(6, 8, 1).encoder();
    let got = encode(&encoder, &[vec![], vec![0, 3], vec![1]], 1);
    let length = |i| got.view().row(i).iter().map(|x| x * x).sum::<f32>();
    assert_eq!((length(0), length(1)), (0.0, 0.0));
    assert!((length(2) - 1.0).abs() < 1e-6);
}

#[test]
fn an_id_without_a_vector_is_refused() {
    let encoder = Model::random(5, 3, 0).encoder();
    for id in [5, -1, i32::MAX, i32::MIN] {
        let starts = [0, 2];
        let ids = [0, id];
        let ragged = Ragged::new(&ids, &starts).unwrap();
        let refused = encoder.encode(ragged, Threads::ONE, &Cancel::new());
        assert!(matches!(refused, Err(Error::Range { what: "token id", .. })));
    }
}

#[test]
fn tensors_that_do_not_fit_together_are_named() {
    let (eight, four) = ([1u8; 8], 0.5f32.to_le_bytes().repeat(2));
    let nan = f32::NAN.to_le_bytes().repeat(2);
    let large = 1e20f32.to_le_bytes().repeat(2);
    let f32s: Stored<'_> = (Dtype::F32, &[2], &four);
    let table: Stored<'_> = (Dtype::I8, &[2, 4], &eight);
    let cases: [(&str, [Stored<'_>; 3]); 7] = [
        ("table must be int8", [(Dtype::U8, &[2, 4], &eight), f32s, f32s]),
        ("table must be int8", [(Dtype::I8, &[8], &eight), f32s, f32s]),
        ("table must hold something", [(Dtype::I8, &[0, 4], &[]), f32s, f32s]),
        ("scale and weight", [table, (Dtype::F32, &[1], &four[..4]), f32s]),
        ("scale and weight", [table, f32s, (Dtype::F32, &[2, 1], &four)]),
        ("token 0 must be finite", [table, f32s, (Dtype::F32, &[2], &nan)]),
        ("token 0 must be finite", [table, (Dtype::F32, &[2], &large), f32s]),
    ];
    for (problem, [table, scale, weight]) in cases {
        let named = [("table", table), ("scale", scale), ("weight", weight)];
        let bytes = file(&named.map(|(name, (dtype, shape, bytes))| (name, dtype, shape, bytes)));
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.starts_with("model.safetensors: ") && error.contains(problem), "{error}");
    }
    let error = read(&file(&[("other", Dtype::U8, &[8], &eight)])).unwrap_err().to_string();
    assert_eq!(error, "model.safetensors: no tensor \"table\"; it holds other");
}

#[test]
fn tensors_and_notes_come_back_as_written() {
    let numbers: Vec<u8> = [1i64, -2, i64::MAX].iter().flat_map(|x| x.to_le_bytes()).collect();
    let bytes = file(&[("n", Dtype::I64, &[3, 1], &numbers), ("one", Dtype::U8, &[], &[7])]);
    let read = Tensors::parse(&bytes, Path::new("x")).unwrap();
    assert_eq!(read.metadata["note"], "ünïcode");
    assert_eq!(read.tensors["n"].shape, [3, 1]);
    assert_eq!(read.tensors["n"].numbers, Numbers::I64(vec![1, -2, i64::MAX]));
    assert_eq!(read.tensors["one"].numbers, Numbers::U8(vec![7]));
    let half = file(&[("h", Dtype::F16, &[1], &[0, 0])]);
    let refused = Tensors::parse(&half, Path::new("x")).unwrap_err().to_string();
    assert!(refused.contains("\"h\" holds F16"), "{refused}");
}
