//! x86-64 with AVX-512 F, BW, DQ and VL (Skylake-SP, Zen 4 and newer): 512-bit registers, masked
//! tails. `avx512vnni` is the same with two instructions more, for `dots_i16` and `outline_dots`; the scan sums bytes that
//! belong to different codes, so it has no use for sums of neighbours.

use std::arch::x86_64::*;

use super::outline::{OUTLINED, RAISED};
use super::{BLOCK, Heights, Kernels, LANES, MOST_ENTRY, Passing, Tier, avx2, padded, portable};
use crate::MatrixRef;

/// `dots_i16` in tiles of 4 queries × 4 rows, 32 numbers a step, the last ones under a mask;
/// `outline_dots` in tiles of 8 queries × 16 rows, `$eight` for eight steps of four numbers.
macro_rules! tiles_of_512 {
    ($features:tt; $add:item $eight:item) => {
        tier!(@all $features
            $add

            $eight

            fn outline_dots(queries: &[i8], width: usize, steps: &[u8], out: &mut [i32]) {
                let count = steps.len() / width;
                for (queries, out) in queries.chunks(8 * width).zip(out.chunks_mut(8 * count)) {
                    match queries.len() / width {
                        1 => outlines::<1>(queries, width, steps, out),
                        2 => outlines::<2>(queries, width, steps, out),
                        3 => outlines::<3>(queries, width, steps, out),
                        4 => outlines::<4>(queries, width, steps, out),
                        5 => outlines::<5>(queries, width, steps, out),
                        6 => outlines::<6>(queries, width, steps, out),
                        7 => outlines::<7>(queries, width, steps, out),
                        _ => outlines::<8>(queries, width, steps, out),
                    }
                }
            }

            fn outlines<const N: usize>(
                queries: &[i8], width: usize, steps: &[u8], out: &mut [i32],
            ) {
                let count = steps.len() / width;
                let queries: [&[i8]; N] =
                    std::array::from_fn(|i| &queries[i * width..(i + 1) * width]);
                let starts = queries.map(|query| {
                    -RAISED * query.iter().map(|q| i32::from(*q)).sum::<i32>()
                });
                for (j, group) in steps.chunks_exact(OUTLINED * width).enumerate() {
                    let mut sums = starts.map(|start| _mm512_set1_epi32(start));
                    for (i, rows) in group.as_chunks::<{ LANES * OUTLINED }>().0.iter().enumerate() {
                        let queries = queries.map(|query| {
                            query[i * LANES..].first_chunk().expect("queries are padded")
                        });
                        eight(&mut sums, rows, queries);
                    }
                    for (sum, out) in sums.iter().zip(out.chunks_exact_mut(count)) {
                        let out = &mut out[j * OUTLINED..(j + 1) * OUTLINED];
                        // SAFETY: `out` has the 64 bytes written; an unaligned store.
                        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), *sum) };
                    }
                }
            }

            // Four numbers of 16 rows.
            fn rows_at(rows: &[u8; LANES * OUTLINED], step: usize) -> __m512i {
                let step: &[u8; 64] = rows.as_chunks().0.get(step).expect("eight steps");
                // SAFETY: the reference covers the 64 bytes read; an unaligned load.
                unsafe { _mm512_loadu_si512(step.as_ptr().cast()) }
            }

            // Four numbers of a query, for each of 16 rows.
            fn query_at(query: &[i8; LANES], step: usize) -> __m512i {
                let four: [i8; 4] = query.as_chunks().0[step];
                _mm512_set1_epi32(i32::from_ne_bytes(four.map(|q| q as u8)))
            }

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
    fn eight<const N: usize>(
        sums: &mut [__m512i; N],
        rows: &[u8; LANES * OUTLINED],
        queries: [&[i8; LANES]; N],
    ) {
        // Eight products of pairs, each at most 2·64·31, fit into 16 bits.
        let mut short = [_mm512_setzero_si512(); N];
        for step in 0..8 {
            let rows = rows_at(rows, step);
            for (short, query) in short.iter_mut().zip(queries) {
                let products = _mm512_maddubs_epi16(rows, query_at(query, step));
                *short = _mm512_add_epi16(*short, products);
            }
        }
        for (sum, short) in sums.iter_mut().zip(short) {
            *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(short, _mm512_set1_epi16(1)));
        }
    }
}

tier! {
    Avx512, is_x86_feature_detected, ["avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl"];

    fn reaching(heights: &Heights<'_>, found: &mut Vec<u32>) {
        avx2::reaching(heights, found)
    }

    fn count_from(values: &[f32], least: f32) -> usize {
        avx2::count_from(values, least)
    }

    // Places are squeezed together, so nothing is foretold.
    pub(super) fn places_from(values: &[f32], least: f32, found: &mut Vec<u32>) {
        let level = _mm512_set1_ps(least);
        let ahead = _mm512_set1_epi32(16);
        let mut places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        found.reserve(values.len() + 16);
        let mut count = found.len();
        for at in (0..values.len()).step_by(16) {
            let there = u16::MAX >> 16usize.saturating_sub(values.len() - at);
            // SAFETY: the mask covers what is left of `values`; masked-out numbers are not read. Places
            // found so far are at most `at`, and 16 more fit into what was reserved.
            unsafe {
                let some = _mm512_maskz_loadu_ps(there, values.as_ptr().add(at));
                let mask = _mm512_mask_cmp_ps_mask::<_CMP_GE_OQ>(there, some, level);
                let some = _mm512_maskz_compress_epi32(mask, places);
                _mm512_storeu_si512(found.as_mut_ptr().add(count).cast(), some);
                count += mask.count_ones() as usize;
            }
            places = _mm512_add_epi32(places, ahead);
        }
        // SAFETY: so many are written, within what was reserved.
        unsafe { found.set_len(count) };
    }

    pub(super) fn to_steps(entries: &[f32], most: f32, out: &mut [u8]) -> (f32, f32) {
        let ends = |part: &[f32; 16]| avx2::ends(part);
        portable::to_steps_by(entries, most, out, ends, |part, low, steps, out| {
            // SAFETY: the reference covers the 64 bytes read; an unaligned load.
            let part = unsafe { _mm512_loadu_ps(part.as_ptr()) };
            let part = _mm512_sub_ps(part, _mm512_set1_ps(low));
            let part = _mm512_mul_ps(part, _mm512_set1_ps(steps));
            let part = _mm512_min_ps(_mm512_set1_ps(MOST_ENTRY), part);
            let whole = _mm512_add_ps(part, _mm512_set1_ps(portable::WHOLE));
            let bytes = _mm512_cvtepi32_epi8(_mm512_castps_si512(whole));
            // SAFETY: the reference covers the 16 bytes written; an unaligned store.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) };
        })
    }

    fn outline(rows: &[i8], dim: usize, steps: &mut [u8], left: &mut [i32]) {
        avx2::outline(rows, dim, steps, left)
    }

    pub(super) fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        let size = tables.len() / 2;
        for (pair, out) in blocks.chunks(2 * size).zip(out.chunks_mut(2 * BLOCK)) {
            let mut numbers = [0u16; 2 * BLOCK];
            // SAFETY: `numbers` covers the 64 bytes written; unaligned store.
            unsafe { _mm512_storeu_si512(numbers.as_mut_ptr().cast(), sums(tables, pair)) };
            out.copy_from_slice(&numbers[..out.len()]);
        }
    }

    pub(super) fn scan_from(tables: &[u8], blocks: &[u8], least: u16, found: &mut Passing) {
        let size = tables.len() / 2;
        let wanted = _mm512_set1_epi16(least as i16);
        for (pair, first) in blocks.chunks(2 * size).zip((0u32..).step_by(2 * BLOCK)) {
            let sums = sums(tables, pair);
            let there = u32::MAX >> (if pair.len() == size { BLOCK } else { 0 });
            let mut mask = _mm512_cmpge_epu16_mask(sums, wanted) & there;
            if mask == 0 {
                continue;
            }
            let mut numbers = [0u16; 2 * BLOCK];
            // SAFETY: `numbers` covers the 64 bytes written; unaligned store.
            unsafe { _mm512_storeu_si512(numbers.as_mut_ptr().cast(), sums) };
            while mask != 0 {
                let place = mask.trailing_zeros();
                found.push((first + place, numbers[place as usize % (2 * BLOCK)]));
                mask &= mask - 1;
            }
        }
    }

    // As under AVX2, with two blocks a register; the second half of a pair that is one block is zeros.
    // Gives the sums of the first block, then those of the second.
    fn sums(tables: &[u8], pair: &[u8]) -> __m512i {
        let (tables, _) = tables.as_chunks::<64>();
        let (first, second) = pair.split_at(32 * tables.len());
        let (first, second) = (first.as_chunks::<32>().0, second.as_chunks::<32>().0);
        let (mut both, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for four in (0..tables.len()).step_by(4) {
            let mut bytes = _mm512_setzero_si512();
            for i in four..(four + 4).min(tables.len()) {
                let codes = match second.get(i) {
                    Some(second) => _mm512_inserti64x4::<1>(low_half(&first[i]), load(second)),
                    None => low_half(&first[i]),
                };
                bytes = _mm512_add_epi8(bytes, look_up(&tables[i], codes));
            }
            both = _mm512_add_epi16(both, bytes);
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(bytes));
        }
        let even = _mm512_sub_epi16(both, _mm512_slli_epi16::<8>(odd));
        // In each half the upper quarter, the other two parts of a group, is added to the lower one.
        let fold = |sums| _mm512_add_epi16(sums, _mm512_shuffle_i64x2::<0b10_11_00_01>(sums, sums));
        let (even, odd) = (fold(even), fold(odd));
        // Quarters 0 and 2 hold the lower eight codes of a block where `low` takes them, 1 and 3 the
        // upper eight from `high`.
        let (low, high) = (_mm512_unpacklo_epi16(even, odd), _mm512_unpackhi_epi16(even, odd));
        _mm512_mask_blend_epi64(0b1100_1100, low, high)
    }

    // Entries of one group of two blocks, two parts to a byte.
    fn look_up(tables: &[u8; 64], codes: __m512i) -> __m512i {
        let (low, high) = tables.split_at(32);
        let nibble = _mm512_set1_epi8(15);
        let one = _mm512_shuffle_epi8(twice(low), _mm512_and_si512(codes, nibble));
        let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble);
        _mm512_add_epi8(one, _mm512_shuffle_epi8(twice(high), upper))
    }

    fn twice(bytes: &[u8]) -> __m512i {
        let bytes: &[u8; 32] = bytes.try_into().expect("half of 64 bytes");
        _mm512_broadcast_i64x4(load(bytes))
    }

    fn low_half(bytes: &[u8; 32]) -> __m512i {
        _mm512_zextsi256_si512(load(bytes))
    }

    fn load(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: the reference covers the 32 bytes read; unaligned load.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }
}
