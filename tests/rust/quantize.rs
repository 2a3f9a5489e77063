//! Product quantizer and packed codes against their naive twins.

use magnetite_core::kernels::{self, BLOCK, Kernels};
use magnetite_core::quantize::{
    Bits, ByteTables, Codes, Packed, ProductQuantizer, to_bytes, to_half,
};
use magnetite_core::{Cancel, Error, Matrix, MatrixRef, Threads, oracle, rng::Rng};
use proptest::prelude::*;

const U: f64 = 1.0 / (1u64 << 24) as f64;

fn noise(seed: u64, rows: usize, dim: usize) -> Matrix {
    let mut rng = Rng::new(seed, 0);
    Matrix::new((0..rows * dim).map(|_| rng.unit() as f32 - 0.5).collect(), dim).unwrap()
}

fn train(rows: &Matrix, parts: usize, bits: Bits) -> ProductQuantizer {
    ProductQuantizer::train(rows.view(), parts, bits, 1, Threads::ONE, &Cancel::new()).unwrap()
}

fn codebooks(pq: &ProductQuantizer) -> Vec<(std::ops::Range<usize>, MatrixRef<'_>)> {
    (0..pq.parts()).map(|part| (pq.columns(part), pq.codebook(part))).collect()
}

/// Both widths; parts that divide the dim, that do not, one column each, and all in one.
const SHAPES: [(usize, usize, Bits); 6] = [
    (24, 6, Bits::Four),
    (23, 5, Bits::Four),
    (7, 7, Bits::Four),
    (9, 1, Bits::Four),
    (24, 3, Bits::Eight),
    (5, 2, Bits::Eight),
];

#[test]
fn codes_are_as_near_as_the_oracle_finds_and_decode_to_their_centroids() {
    for (dim, parts, bits) in SHAPES {
        let rows = noise(1, 600, dim);
        let pq = train(&rows, parts, bits);
        let codes = pq.encode(rows.view(), Threads::ONE, &Cancel::new()).unwrap();
        let books = codebooks(&pq);
        let wanted = oracle::encode(rows.view(), &books);
        let decoded = pq.decode(&codes);
        // The canonical distance that decides has a relative error of (2n+2)·u.
        let bound = 1.0 + 2.0 * (2 * dim + 2) as f64 * U;
        for (i, code) in codes.iter().enumerate() {
            assert_eq!(decoded.view().row(i), oracle::decode(code, &books));
            for (part, (columns, _)) in books.iter().enumerate() {
                let (row, got) =
                    (&rows.view().row(i)[columns.clone()], &decoded.view().row(i)[columns.clone()]);
                assert!(oracle::l2(row, got) <= bound * wanted[i * parts + part].1);
            }
        }
    }
}

#[test]
fn more_bits_and_more_parts_lose_less() {
    let rows = noise(2, 1000, 16);
    let loss = |parts, bits| {
        let pq = train(&rows, parts, bits);
        let codes = pq.encode(rows.view(), Threads::ONE, &Cancel::new()).unwrap();
        oracle::l2(rows.view().data(), pq.decode(&codes).view().data())
    };
    assert!(loss(4, Bits::Eight) < 0.6 * loss(4, Bits::Four));
    assert!(loss(8, Bits::Four) < 0.6 * loss(4, Bits::Four));
}

#[test]
fn training_and_codes_are_the_same_bytes_for_any_threads() {
    let rows = noise(3, 700, 20);
    for (parts, bits) in [(5, Bits::Four), (3, Bits::Eight)] {
        let run = |threads| {
            let (threads, cancel) = (Threads::new(threads).unwrap(), Cancel::new());
            let pq =
                ProductQuantizer::train(rows.view(), parts, bits, 7, threads, &cancel).unwrap();
            let codes = pq.encode(rows.view(), threads, &cancel).unwrap();
            (pq, codes)
        };
        assert!(run(1) == run(2) && run(1) == run(5));
    }
}

#[test]
fn table_scores_are_those_of_the_decoded_vectors() {
    for (dim, parts, bits) in SHAPES {
        let (rows, query) = (noise(4, 400, dim), noise(5, 1, dim));
        let (pq, query) = (train(&rows, parts, bits), query.view().row(0));
        let codes = pq.encode(rows.view(), Threads::ONE, &Cancel::new()).unwrap();
        let decoded = pq.decode(&codes);
        let (mut dots, mut l2s) = (vec![0.0; rows.view().rows()], vec![0.0; rows.view().rows()]);
        pq.dot_table(query).scores(&codes, &mut dots);
        pq.l2_table(query).scores(&codes, &mut l2s);
        // One sum over all columns, in an order of its own: the bounds of any order.
        let columns = dim as f64;
        for (i, row) in decoded.view().iter().enumerate() {
            let (dot, l2) = (oracle::dot(query, row), oracle::l2(query, row));
            let bound = (2.0 * columns - 1.0) * U * oracle::dot_of_sizes(query, row);
            assert!((f64::from(dots[i]) - dot).abs() <= bound);
            assert!((f64::from(l2s[i]) + l2).abs() <= (2.0 * columns + 2.0) * U * l2);
        }
    }
}

proptest! {
    #[test]
    fn packing_and_unpacking_change_nothing(seed: u64, rows in 0usize..100, parts in 1usize..9) {
        let mut rng = Rng::new(seed, 0);
        let bytes: Vec<u8> = (0..rows * parts).map(|_| rng.below(16) as u8).collect();
        let codes = Codes::new(bytes, parts, Bits::Four).unwrap();
        let packed = Packed::pack(&codes);
        prop_assert_eq!(packed.unpack(), codes);
        let again = Packed::new(packed.bytes(), rows, parts).unwrap();
        prop_assert_eq!(again.bytes(), packed.bytes());
    }

    #[test]
    fn scanned_bytes_are_within_their_error_of_the_table(
        seed: u64, dim in 1usize..40, share in 0.01f64..=1.0, rows in 1usize..70, scale in -20i32..20,
    ) {
        let parts = ((dim as f64 * share) as usize).max(1);
        let mut books = noise(seed, 16, dim).into_data();
        books.iter_mut().for_each(|x| *x *= 2f32.powi(scale));
        let pq = ProductQuantizer::new(dim, parts, Bits::Four, books).unwrap();
        let query = noise(seed ^ 1, 1, dim);
        let mut rng = Rng::new(seed, 9);
        let codes = (0..rows * parts).map(|_| rng.below(16) as u8).collect();
        let codes: Codes = Codes::new(codes, parts, Bits::Four).unwrap();
        for table in [pq.dot_table(query.view().row(0)), pq.l2_table(query.view().row(0))] {
            let bytes = table.to_bytes();
            let wanted = oracle::scan(bytes.bytes(), codes.bytes(), parts);
            let mut sums = Vec::new();
            bytes.scan(&Packed::pack(&codes), &mut sums);
            prop_assert_eq!(sums.len(), rows.div_ceil(BLOCK) * BLOCK);
            for (i, code) in codes.iter().enumerate() {
                prop_assert_eq!(u64::from(sums[i]), wanted[i]);
                let entries = (0..parts).map(|p| f64::from(table.part(p)[usize::from(code[p])]));
                let score: f64 = entries.sum();
                let sizes: f64 = (0..parts).map(|p| f64::from(largest(table.part(p)))).sum();
                let error = 0.5001 * f64::from(bytes.step()) * parts as f64;
                // One rounding a part in the bias, and three in the score.
                let rounding = (parts + 3) as f64 * U * 3.0 * sizes;
                prop_assert!((f64::from(bytes.score(sums[i])) - score).abs() <= error + rounding);
            }
        }
    }
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |most, x| x.abs().max(most))
}

#[test]
fn byte_sums_never_wrap_however_many_parts() {
    // Every part reaches from 0 to the widest span: the largest sums there can be.
    for dim in [1, 2, 256, 257, 258, 400, 5000, ByteTables::PARTS] {
        let books = (0..16 * dim).map(|i| if i % 16 == 3 { 1.0 } else { 0.0 }).collect();
        let pq = ProductQuantizer::new(dim, dim, Bits::Four, books).unwrap();
        let bytes = pq.dot_table(&vec![1.0; dim]).to_bytes();
        let codes: Codes = Codes::new(vec![3; dim], dim, Bits::Four).unwrap();
        let exact = oracle::scan(bytes.bytes(), codes.bytes(), dim)[0];
        assert!(exact <= 65_535, "{dim} parts: {exact}");
        let mut sums = Vec::new();
        bytes.scan(&Packed::pack(&codes), &mut sums);
        assert_eq!(u64::from(sums[0]), exact);
        let error = 0.5001 * f64::from(bytes.step()) * dim as f64;
        assert!((f64::from(bytes.score(sums[0])) - dim as f64).abs() <= error + dim as f64 * U);
    }
}

#[test]
fn equal_scores_scan_to_equal_sums() {
    let pq = ProductQuantizer::new(4, 2, Bits::Four, vec![0.25; 64]).unwrap();
    let bytes = pq.dot_table(&[1.0, 2.0, 3.0, 4.0]).to_bytes();
    assert_eq!((bytes.step(), bytes.score(0)), (0.0, 2.5));
    assert!(Kernels::available().count() >= 1);
}

#[test]
fn shapes_and_codes_that_cannot_be_are_refused() {
    let rows = noise(6, 40, 6);
    let train = |parts, bits, rows: &Matrix| {
        let trained =
            ProductQuantizer::train(rows.view(), parts, bits, 0, Threads::ONE, &Cancel::new());
        trained.unwrap_err().to_string()
    };
    assert!(train(0, Bits::Four, &rows).contains("parts must be 1 to 6 (columns); got 0"));
    assert!(train(7, Bits::Four, &rows).contains("got 7"));
    assert!(train(2, Bits::Eight, &rows).contains("training rows must be at least 256"));
    let mut bad = rows.clone();
    bad.row_mut(5)[1] = f32::NAN;
    assert!(train(2, Bits::Four, &bad).contains("row 5"));

    let pq = ProductQuantizer::new(6, 2, Bits::Four, vec![1.0; 96]).unwrap();
    let error = pq.encode(bad.view(), Threads::ONE, &Cancel::new());
    assert!(matches!(error, Err(Error::NotFinite { row: 5, .. })));
    let error = pq.encode(noise(7, 3, 5).view(), Threads::ONE, &Cancel::new());
    assert!(matches!(error, Err(Error::Columns { want: 6, got: 5, .. })));
    assert!(ProductQuantizer::new(6, 2, Bits::Four, vec![1.0; 95]).is_err());
    assert!(ProductQuantizer::new(6, 2, Bits::Four, vec![f32::NAN; 96]).is_err());
    assert!(ProductQuantizer::new(usize::MAX, 2, Bits::Eight, vec![]).is_err());

    assert!(matches!(Codes::new(vec![1u8; 5], 2, Bits::Four), Err(Error::Length { want: 6, .. })));
    assert!(Codes::new(vec![16u8; 4], 2, Bits::Four).is_err());
    assert!(Codes::new(vec![16u8; 4], 2, Bits::Eight).is_ok());
    assert!(Codes::new(vec![0u8; 4], 0, Bits::Eight).is_err());
    assert!(Packed::new(vec![0u8; 32], 17, 2).is_err());
    assert!(Packed::new(vec![0u8; 32], 1, 2).is_ok());
    assert!(Packed::new(vec![0u8; 32], usize::MAX, usize::MAX).is_err());
    assert!(Packed::new(Vec::<u8>::new(), 0, usize::MAX).is_ok());
    // The third and fourth parts of a group, and rows beyond the last.
    for (rows, place, wrong) in [(1, 0, 0x10), (1, 1, 1), (15, 15, 1), (15, 31, 1), (16, 16, 0x10)]
    {
        let mut bytes = vec![0u8; 32];
        bytes[place] = wrong;
        assert!(Packed::new(bytes, rows, 2).is_err(), "{rows} rows leave no code at {place}");
    }
}

/// What IEEE 754 says of the bits of a half, in f64; infinities and NaN excepted.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 0 { size } else { -size }
}

#[test]
fn every_half_stands_for_its_number_and_comes_back() {
    for bits in (0..=u16::MAX).filter(|bits| bits >> 10 & 31 != 31) {
        let number = kernels::half(bits);
        assert_eq!(f64::from(number), half(bits));
        assert_eq!(to_half(number), Some(bits));
    }
    for large in [65_520.0, -1e30, f32::INFINITY, f32::NAN] {
        assert_eq!(to_half(large), None);
    }
    assert_eq!(to_half(65_519.996), Some(0x7BFF));
}

proptest! {
    #[test]
    fn the_nearest_half_is_taken_and_the_even_one_of_two(bits in 0u16..0x7BFF, part in 0u32..=64) {
        // From one half to the next in 64 steps; all of them are f32.
        let (low, high) = (half(bits), half(bits + 1));
        let x = low + (high - low) * f64::from(part) / 64.0;
        let up = part > 32 || part == 32 && bits % 2 == 1;
        prop_assert_eq!(to_half(x as f32), Some(bits + u16::from(up)));
        prop_assert_eq!(to_half(-x as f32), Some((bits + u16::from(up)) | 0x8000));
    }

    #[test]
    fn bytes_are_within_half_a_step(seed: u64, dim in 1usize..100, exponent in -149i32..120) {
        let mut rng = Rng::new(seed, 0);
        let row: Vec<f32> =
            (0..dim).map(|_| (rng.unit() - 0.5) as f32 * 2f32.powi(exponent)).collect();
        let mut bytes = vec![0; dim];
        let scale = f64::from(to_bytes(&row, &mut bytes));
        let bound = scale * (0.5 + 2f64.powi(-16)) + 2f64.powi(-143);
        for (x, byte) in row.iter().zip(&bytes) {
            let stored = scale as f32 * f32::from(*byte);
            prop_assert!((f64::from(*x) - f64::from(stored)).abs() <= bound, "{x} {byte} {scale}");
            prop_assert!(*byte >= -127);
        }
    }
}
