//! x86-64 with AVX2: 256-bit registers, and table look-ups by byte shuffle.

use std::arch::x86_64::*;

use super::{BLOCK, Heights, Kernels, SHORT, Tier, padded, portable};
use crate::MatrixRef;

/// Queries of one tile of `dots_i16`: with two rows, 12 of the 16 registers hold sums.
const QUERIES: usize = 6;

tier! {
    Avx2, is_x86_feature_detected, ["avx2"];

    // One load holds two parts of a block, one a half register, and so does one load of tables.
    // A shuffle looks up 32 entries; entries of neighbouring codes are added as the two bytes of a
    // 16-bit sum, the upper ones again on their own, so that they can be taken off at the end.
    fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        let nibble = _mm256_set1_epi8(15);
        for (block, out) in blocks.chunks_exact(tables.len()).zip(out.as_chunks_mut::<BLOCK>().0) {
            let mut sums = [_mm256_setzero_si256(); 4];
            let mut add = |codes: __m256i, table: __m256i| {
                let low = _mm256_shuffle_epi8(table, _mm256_and_si256(codes, nibble));
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble);
                let high = _mm256_shuffle_epi8(table, high);
                sums[0] = _mm256_add_epi16(sums[0], low);
                sums[1] = _mm256_add_epi16(sums[1], _mm256_srli_epi16::<8>(low));
                sums[2] = _mm256_add_epi16(sums[2], high);
                sums[3] = _mm256_add_epi16(sums[3], _mm256_srli_epi16::<8>(high));
            };
            let (codes, last_codes) = block.as_chunks::<32>();
            let (pairs, last_table) = tables.as_chunks::<32>();
            for (codes, table) in codes.iter().zip(pairs) {
                // SAFETY: each reference covers the 32 bytes read; unaligned loads.
                let (codes, table) = unsafe {
                    (
                        _mm256_loadu_si256(codes.as_ptr().cast()),
                        _mm256_loadu_si256(table.as_ptr().cast()),
                    )
                };
                add(codes, table);
            }
            if let (Some(codes), Some(table)) =
                (last_codes.first_chunk::<16>(), last_table.first_chunk::<16>())
            {
                // SAFETY: each reference covers the 16 bytes read. The upper half is a part whose
                // codes and entries are all 0.
                let (codes, table) = unsafe {
                    (
                        _mm256_zextsi128_si256(_mm_loadu_si128(codes.as_ptr().cast())),
                        _mm256_zextsi128_si256(_mm_loadu_si128(table.as_ptr().cast())),
                    )
                };
                add(codes, table);
            }
            let (low, high) = out.split_at_mut(16);
            store(low, sums[0], sums[1]);
            store(high, sums[2], sums[3]);
        }
    }

    // Tiles of QUERIES × ROWS_AT_ONCE sums stay in registers: each row is widened once for all queries
    // of a tile, and `madd` multiplies and adds 16 pairs of neighbours.
    fn dots_i16(queries: &[i16], rows: &[i8], dim: usize, out: &mut [i32]) {
        let (width, count) = (padded(dim), rows.len() / dim);
        let mut queries = queries;
        let mut out = out;
        while !queries.is_empty() {
            let some = (queries.len() / width).min(QUERIES);
            let (first, rest) = queries.split_at(some * width);
            let (sums, left) = out.split_at_mut(some * count);
            match some {
                1 => tiles::<1>(first, rows, dim, sums),
                2 => tiles::<2>(first, rows, dim, sums),
                3 => tiles::<3>(first, rows, dim, sums),
                4 => tiles::<4>(first, rows, dim, sums),
                5 => tiles::<5>(first, rows, dim, sums),
                _ => tiles::<QUERIES>(first, rows, dim, sums),
            }
            (queries, out) = (rest, left);
        }
    }

    fn tiles<const N: usize>(queries: &[i16], rows: &[i8], dim: usize, out: &mut [i32]) {
        let count = rows.len() / dim;
        let row = |j: usize| &rows[j.min(count - 1) * dim..][..dim];
        for j in (0..count).step_by(4) {
            // Pairs of rows, the last of all again and again where there are fewer.
            let low = tile::<N>(queries, [row(j), row(j + 1)]);
            let high = tile::<N>(queries, [row(j + 2), row(j + 3)]);
            for (i, out) in out.chunks_exact_mut(count).enumerate() {
                let sums = fold([low[i][0], low[i][1], high[i][0], high[i][1]]);
                let mut four = [0; 4];
                // SAFETY: `four` has the 16 bytes written; an unaligned store.
                unsafe { _mm_storeu_si128(four.as_mut_ptr().cast(), sums) };
                let here = (count - j).min(4);
                out[j..j + here].copy_from_slice(&four[..here]);
            }
        }
    }

    fn tile<const N: usize>(queries: &[i16], rows: [&[i8]; 2]) -> [[__m256i; 2]; N] {
        let (dim, width) = (rows[0].len(), padded(rows[0].len()));
        assert!(queries.len() == N * width && rows[1].len() == dim);
        let mut sums = [[_mm256_setzero_si256(); 2]; N];
        let mut add = |at: usize, rows: [__m128i; 2]| {
            let rows = rows.map(|row| _mm256_cvtepi8_epi16(row));
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: `at` is a multiple of 16 below `dim`, so `at + 16` is at most `width`, and
                // `queries` holds N times as many; an unaligned load.
                let query = unsafe {
                    _mm256_loadu_si256(queries.as_ptr().add(i * width + at).cast())
                };
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(row, query));
                }
            }
        };
        let whole = dim / 16 * 16;
        for at in (0..whole).step_by(16) {
            // SAFETY: both rows hold at least `at + 16` bytes; unaligned loads.
            add(at, rows.map(|row| unsafe { _mm_loadu_si128(row.as_ptr().add(at).cast()) }));
        }
        if whole < dim {
            let last = rows.map(|row| {
                let mut last = [0i8; 16];
                last[..dim - whole].copy_from_slice(&row[whole..]);
                // SAFETY: `last` has the 16 bytes read.
                unsafe { _mm_loadu_si128(last.as_ptr().cast()) }
            });
            add(whole, last);
        }
        sums
    }

    // The sums of four registers.
    fn fold([a, b, c, d]: [__m256i; 4]) -> __m128i {
        let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums))
    }

    // Writes the sums of 16 codes: `both` holds even + 256·odd of two parts' sums, `odd` the odd ones.
    fn store(out: &mut [u16], both: __m256i, odd: __m256i) {
        let even = _mm256_sub_epi16(both, _mm256_slli_epi16::<8>(odd));
        let halves =
            |sums| _mm_add_epi16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
        let (even, odd) = (halves(even), halves(odd));
        let out: &mut [u16; 16] = out.try_into().expect("half a block is 16 codes");
        // SAFETY: `out` is 32 bytes long, 16 for each store; unaligned stores.
        unsafe {
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm_unpacklo_epi16(even, odd));
            _mm_storeu_si128(out[8..].as_mut_ptr().cast(), _mm_unpackhi_epi16(even, odd));
        }
    }
}
