//! x86-64 with AVX-512 F, BW, DQ and VL (Skylake-SP, Zen 4 and newer): 512-bit registers, masked
//! tails. `avx512vnni` is the same with one instruction more, for `dots_i16`; the scan sums bytes that
//! belong to different codes, so it has no use for sums of neighbours.

use std::arch::x86_64::*;

use super::{BLOCK, Heights, Kernels, SHORT, Tier, padded, portable};
use crate::MatrixRef;

/// `dots_i16` in tiles of 4 queries × 4 rows, 32 numbers a step, the last ones under a mask.
macro_rules! tiles_of_512 {
    ($features:tt; $add:item) => {
        tier!(@all $features
            $add

            fn dots_i16(queries: &[i16], rows: &[i8], dim: usize, out: &mut [i32]) {
                let (width, count) = (padded(dim), rows.len() / dim);
                let (mut queries, mut out) = (queries, out);
                while !queries.is_empty() {
                    let some = (queries.len() / width).min(4);
                    let (first, rest) = queries.split_at(some * width);
                    let (sums, left) = out.split_at_mut(some * count);
                    match some {
                        1 => tiles::<1>(first, rows, dim, sums),
                        2 => tiles::<2>(first, rows, dim, sums),
                        3 => tiles::<3>(first, rows, dim, sums),
                        _ => tiles::<4>(first, rows, dim, sums),
                    }
                    (queries, out) = (rest, left);
                }
            }

            fn tiles<const N: usize>(queries: &[i16], rows: &[i8], dim: usize, out: &mut [i32]) {
                let (width, count) = (padded(dim), rows.len() / dim);
                assert_eq!(queries.len(), N * width);
                let row = |j: usize| &rows[j.min(count - 1) * dim..][..dim];
                for j in (0..count).step_by(4) {
                    let rows: [&[i8]; 4] = std::array::from_fn(|i| row(j + i));
                    let mut sums = [[_mm512_setzero_si512(); 4]; N];
                    for at in (0..dim).step_by(32) {
                        let mask = (u32::MAX) >> 32usize.saturating_sub(dim - at);
                        // SAFETY: the mask covers what is left of a row, at most 32 bytes;
                        // masked-out bytes are not read.
                        let rows = rows.map(|row| unsafe {
                            let bytes = _mm256_maskz_loadu_epi8(mask, row.as_ptr().add(at).cast());
                            _mm512_cvtepi8_epi16(bytes)
                        });
                        for (i, sums) in sums.iter_mut().enumerate() {
                            // SAFETY: `at` is a multiple of 32 below `dim`, so `at + 32` is at most
                            // `width`, and `queries` holds N times as many; an unaligned load.
                            let query = unsafe {
                                _mm512_loadu_si512(queries.as_ptr().add(i * width + at).cast())
                            };
                            for (sum, row) in sums.iter_mut().zip(rows) {
                                *sum = add(*sum, row, query);
                            }
                        }
                    }
                    let here = (count - j).min(4);
                    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(count)) {
                        for (sum, out) in sums.iter().zip(&mut out[j..j + here]) {
                            *out = _mm512_reduce_add_epi32(*sum);
                        }
                    }
                }
            }
        );
    };
}
pub(super) use tiles_of_512;

tiles_of_512! {
    ["avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl"];
    fn add(sum: __m512i, row: __m512i, query: __m512i) -> __m512i {
        _mm512_add_epi32(sum, _mm512_madd_epi16(row, query))
    }
}

tier! {
    Avx512, is_x86_feature_detected, ["avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl"];

    // As under AVX2, with four parts a register; the last one to three parts are loaded under a
    // mask, so that the parts which are not there look up 0.
    pub(super) fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        let nibble = _mm512_set1_epi8(15);
        for (block, out) in blocks.chunks_exact(tables.len()).zip(out.as_chunks_mut::<BLOCK>().0) {
            let mut sums = [_mm512_setzero_si512(); 4];
            let mut add = |codes: __m512i, table: __m512i| {
                let low = _mm512_shuffle_epi8(table, _mm512_and_si512(codes, nibble));
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble);
                let high = _mm512_shuffle_epi8(table, high);
                sums[0] = _mm512_add_epi16(sums[0], low);
                sums[1] = _mm512_add_epi16(sums[1], _mm512_srli_epi16::<8>(low));
                sums[2] = _mm512_add_epi16(sums[2], high);
                sums[3] = _mm512_add_epi16(sums[3], _mm512_srli_epi16::<8>(high));
            };
            let (codes, last_codes) = block.as_chunks::<64>();
            let (quads, last_table) = tables.as_chunks::<64>();
            for (codes, table) in codes.iter().zip(quads) {
                // SAFETY: each reference covers the 64 bytes read; unaligned loads.
                let (codes, table) = unsafe {
                    (
                        _mm512_loadu_si512(codes.as_ptr().cast()),
                        _mm512_loadu_si512(table.as_ptr().cast()),
                    )
                };
                add(codes, table);
            }
            if !last_table.is_empty() {
                // 16, 32 or 48 bytes are left, of the block as of the tables.
                let mask = (1u64 << last_table.len()) - 1;
                // SAFETY: the mask covers the bytes of the two slices and no more; masked-out bytes
                // are not read.
                let (codes, table) = unsafe {
                    (
                        _mm512_maskz_loadu_epi8(mask, last_codes.as_ptr().cast()),
                        _mm512_maskz_loadu_epi8(mask, last_table.as_ptr().cast()),
                    )
                };
                add(codes, table);
            }
            let (low, high) = out.split_at_mut(16);
            store(low, sums[0], sums[1]);
            store(high, sums[2], sums[3]);
        }
    }

    // Writes the sums of 16 codes: `both` holds even + 256·odd of four parts' sums, `odd` the odd ones.
    fn store(out: &mut [u16], both: __m512i, odd: __m512i) {
        let even = _mm512_sub_epi16(both, _mm512_slli_epi16::<8>(odd));
        let quarters = |sums| {
            let halves = _mm256_add_epi16(
                _mm512_castsi512_si256(sums),
                _mm512_extracti64x4_epi64::<1>(sums),
            );
            _mm_add_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves))
        };
        let (even, odd) = (quarters(even), quarters(odd));
        let out: &mut [u16; 16] = out.try_into().expect("half a block is 16 codes");
        // SAFETY: `out` is 32 bytes long, 16 for each store; unaligned stores.
        unsafe {
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm_unpacklo_epi16(even, odd));
            _mm_storeu_si128(out[8..].as_mut_ptr().cast(), _mm_unpackhi_epi16(even, odd));
        }
    }
}
