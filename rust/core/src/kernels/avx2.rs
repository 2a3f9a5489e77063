//! x86-64 with AVX2: 256-bit registers, and table look-ups by byte shuffle.

use std::arch::x86_64::*;

use super::{BLOCK, Heights, Kernels, Passing, SHORT, Tier, padded, portable};
use crate::MatrixRef;

/// Queries of one tile of `dots_i16`: with six, the 12 sums of two rows leave too few registers.
const QUERIES: usize = 4;

tier! {
    Avx2, is_x86_feature_detected, ["avx2"];

    fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        let size = tables.len() / 2;
        for (pair, out) in blocks.chunks(2 * size).zip(out.chunks_mut(2 * BLOCK)) {
            let (first, second) = pair.split_at(size);
            if second.is_empty() {
                store(sums(tables, [first])[0], out);
            } else {
                let [one, two] = sums(tables, [first, second]);
                store(one, &mut out[..BLOCK]);
                store(two, &mut out[BLOCK..]);
            }
        }
    }

    fn store(sums: __m256i, out: &mut [u16]) {
        let out: &mut [u16; BLOCK] = out.try_into().expect("a block is 16 codes");
        // SAFETY: `out` covers the 32 bytes written; unaligned store.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), sums) };
    }

    fn scan_from(tables: &[u8], blocks: &[u8], least: u16, found: &mut Passing) {
        let size = tables.len() / 2;
        for (pair, at) in blocks.chunks(2 * size).zip((0u32..).step_by(2 * BLOCK)) {
            let (first, second) = pair.split_at(size);
            if second.is_empty() {
                keep(sums(tables, [first])[0], least, at, found);
            } else {
                let [one, two] = sums(tables, [first, second]);
                keep(one, least, at, found);
                keep(two, least, at + BLOCK as u32, found);
            }
        }
    }

    // Appends those of the sums of one block that are at least `least`.
    fn keep(sums: __m256i, least: u16, first: u32, found: &mut Passing) {
        let highest = _mm256_max_epu16(sums, _mm256_set1_epi16(least as i16));
        // Two bits a sum; one of them is enough.
        let mut mask = _mm256_movemask_epi8(_mm256_cmpeq_epi16(highest, sums)) as u32 & 0x5555_5555;
        if mask == 0 {
            return;
        }
        let mut numbers = [0u16; BLOCK];
        store(sums, &mut numbers);
        while mask != 0 {
            let place = mask.trailing_zeros() / 2;
            found.push((first + place, numbers[place as usize % BLOCK]));
            mask &= mask - 1;
        }
    }

    // One load holds a group of four parts of a block; a shuffle looks up 32 entries, two parts of 16
    // codes. Entries of at most 31 are added as bytes, eight of them, before the bytes are added as
    // halves of 16-bit sums: `both` holds even + 256·odd, `odd` the odd ones, to be taken off in the
    // end. N blocks share the loads of the tables.
    fn sums<const N: usize>(tables: &[u8], blocks: [&[u8]; N]) -> [__m256i; N] {
        let (tables, _) = tables.as_chunks::<64>();
        let blocks = blocks.map(|block| &block.as_chunks::<32>().0[..tables.len()]);
        let (mut both, mut odd) = ([_mm256_setzero_si256(); N], [_mm256_setzero_si256(); N]);
        let mut widen = |bytes: [__m256i; N]| {
            for n in 0..N {
                both[n] = _mm256_add_epi16(both[n], bytes[n]);
                odd[n] = _mm256_add_epi16(odd[n], _mm256_srli_epi16::<8>(bytes[n]));
            }
        };
        let whole = tables.len() / 4 * 4;
        for four in (0..whole).step_by(4) {
            let mut bytes = [_mm256_setzero_si256(); N];
            for i in four..four + 4 {
                for n in 0..N {
                    bytes[n] = _mm256_add_epi8(bytes[n], look_up(&tables[i], &blocks[n][i]));
                }
            }
            widen(bytes);
        }
        let mut bytes = [_mm256_setzero_si256(); N];
        for i in whole..tables.len() {
            for n in 0..N {
                bytes[n] = _mm256_add_epi8(bytes[n], look_up(&tables[i], &blocks[n][i]));
            }
        }
        widen(bytes);
        let mut out = [_mm256_setzero_si256(); N];
        for n in 0..N {
            let even = halves(_mm256_sub_epi16(both[n], _mm256_slli_epi16::<8>(odd[n])));
            let odd = halves(odd[n]);
            let (low, high) = (_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd));
            out[n] = _mm256_set_m128i(high, low);
        }
        out
    }

    // Entries of one group, two parts to a byte.
    fn look_up(tables: &[u8; 64], codes: &[u8; 32]) -> __m256i {
        // SAFETY: the references cover the 64 and 32 bytes read; unaligned loads.
        let (low, high, codes) = unsafe {
            (
                _mm256_loadu_si256(tables.as_ptr().cast()),
                _mm256_loadu_si256(tables[32..].as_ptr().cast()),
                _mm256_loadu_si256(codes.as_ptr().cast()),
            )
        };
        let nibble = _mm256_set1_epi8(15);
        let one = _mm256_shuffle_epi8(low, _mm256_and_si256(codes, nibble));
        let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble);
        _mm256_add_epi8(one, _mm256_shuffle_epi8(high, upper))
    }

    fn halves(sums: __m256i) -> __m128i {
        _mm_add_epi16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums))
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
}
