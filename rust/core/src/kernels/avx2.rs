//! x86-64 with AVX2: 256-bit registers, and table look-ups by byte shuffle.

use std::arch::x86_64::*;

use super::outline::{OUTLINED, RAISED};
use super::{BLOCK, Heights, Kernels, LANES, MOST_ENTRY, Passing, Tier, padded, portable};
use crate::MatrixRef;

/// Queries of one tile of `dots_i16`: with six, the 12 sums of two rows leave too few registers.
const QUERIES: usize = 4;
/// Queries of one tile of `outline_dots`: 12 sums, two registers of rows and one of a query.
const OUTLINED_QUERIES: usize = 6;

tier! {
    Avx2, is_x86_feature_detected, ["avx2"];

    fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        let size = tables.len() / 2;
        for (pair, out) in blocks.chunks(2 * size).zip(out.chunks_mut(2 * BLOCK)) {
            let (first, second) = pair.split_at(size);
            let single = second.is_empty();
            let [one, two] = sums(tables, [first, if single { first } else { second }]);
            store(one, &mut out[..BLOCK]);
            if !single {
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
        let mut keep = |sums, at| keep(sums, least, at, found);
        for (pair, at) in blocks.chunks(2 * size).zip((0u32..).step_by(2 * BLOCK)) {
            let (first, second) = pair.split_at(size);
            // A last block on its own is summed twice.
            let single = second.is_empty();
            let [one, two] = sums(tables, [first, if single { first } else { second }]);
            keep(one, at);
            if !single {
                keep(two, at + BLOCK as u32);
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
    // end. Two blocks share the loads of the tables.
    #[inline]
    fn sums(tables: &[u8], blocks: [&[u8]; 2]) -> [__m256i; 2] {
        const N: usize = 2;
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
        let row = |j: usize| &rows[j * dim..(j + 1) * dim];
        let fours = count / 4 * 4;
        for j in (0..fours).step_by(4) {
            let low = tile::<N, 2>(queries, [row(j), row(j + 1)]);
            let high = tile::<N, 2>(queries, [row(j + 2), row(j + 3)]);
            for (i, out) in out.chunks_exact_mut(count).enumerate() {
                let sums = fold([low[i][0], low[i][1], high[i][0], high[i][1]]);
                let four: &mut [i32; 4] = out[j..].first_chunk_mut().expect("four rows of `fours`");
                // SAFETY: `four` has the 16 bytes written; an unaligned store.
                unsafe { _mm_storeu_si128(four.as_mut_ptr().cast(), sums) };
            }
        }
        for j in fours..count {
            let sums = tile::<N, 1>(queries, [row(j)]);
            for (out, [sum]) in out.chunks_exact_mut(count).zip(sums) {
                out[j] = _mm_cvtsi128_si32(fold([sum; 4]));
            }
        }
    }

    fn tile<const N: usize, const R: usize>(
        queries: &[i16],
        rows: [&[i8]; R],
    ) -> [[__m256i; R]; N] {
        let (dim, width) = (rows[0].len(), padded(rows[0].len()));
        assert!(queries.len() == N * width && rows.iter().all(|row| row.len() == dim));
        let mut sums = [[_mm256_setzero_si256(); R]; N];
        let mut add = |at: usize, rows: [__m128i; R]| {
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
            // SAFETY: all rows hold at least `at + 16` bytes; unaligned loads.
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

    pub(super) fn reaching(heights: &Heights<'_>, found: &mut Vec<u32>) {
        let (step, reach) = (_mm256_set1_ps(heights.step), _mm256_set1_ps(heights.reach));
        let level = _mm256_set1_ps(heights.level);
        let (sums, rest) = heights.sums.as_chunks::<8>();
        let (scales, rests) = (heights.scales.as_chunks::<8>().0, heights.rests.as_chunks::<8>().0);
        let numbers = scales.iter().zip(rests).zip(heights.halves.as_chunks::<8>().0);
        for ((first, sums), ((scales, rests), halves)) in (0u32..).step_by(8).zip(sums).zip(numbers) {
            // SAFETY: the reference covers the 32 bytes read; an unaligned load.
            let sums = unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) };
            let [scales, rests, halves] = [scales, rests, halves].map(|numbers| {
                // SAFETY: the reference covers the 32 bytes read; an unaligned load.
                unsafe { _mm256_loadu_ps(numbers.as_ptr()) }
            });
            // In the order of `Heights::height`, so that no rounding differs.
            let dot = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), scales), step);
            let top = _mm256_add_ps(_mm256_sub_ps(dot, halves), _mm256_mul_ps(rests, reach));
            let reaches = _mm256_cmp_ps::<_CMP_GE_OQ>(top, level);
            let mut mask = _mm256_movemask_ps(reaches) as u32;
            while mask != 0 {
                found.push(first + mask.trailing_zeros());
                mask &= mask - 1;
            }
        }
        let last = (heights.sums.len() - rest.len())..heights.sums.len();
        found.extend(last.filter(|i| heights.reaches(*i)).map(|i| i as u32));
    }

    pub(super) fn count_from(values: &[f32], least: f32) -> usize {
        let level = _mm256_set1_ps(least);
        let mut counts = [_mm256_setzero_si256(); 4];
        let (blocks, rest) = values.as_chunks::<LANES>();
        for block in blocks {
            for (count, eight) in counts.iter_mut().zip(block.as_chunks::<8>().0) {
                // A comparison that holds is −1.
                *count = _mm256_sub_epi32(*count, _mm256_castps_si256(at_least(eight, level)));
            }
        }
        let [a, b, c, d] = counts;
        let four = fold([_mm256_add_epi32(a, b), _mm256_add_epi32(c, d), a, a]);
        let both = _mm_extract_epi32::<0>(four) + _mm_extract_epi32::<1>(four);
        both as usize + rest.iter().filter(|&&x| x >= least).count()
    }

    pub(super) fn places_from(values: &[f32], least: f32, found: &mut Vec<u32>) {
        let level = _mm256_set1_ps(least);
        let (blocks, rest) = values.as_chunks::<LANES>();
        for (first, block) in (0u32..).step_by(LANES).zip(blocks) {
            let eights = block.as_chunks::<8>().0.iter().rev();
            let mut mask = eights.fold(0, |mask, eight| {
                mask << 8 | _mm256_movemask_ps(at_least(eight, level)) as u32
            });
            while mask != 0 {
                found.push(first + mask.trailing_zeros());
                mask &= mask - 1;
            }
        }
        let last = (values.len() - rest.len())..values.len();
        found.extend(last.filter(|&i| values[i] >= least).map(|i| i as u32));
    }

    fn at_least(eight: &[f32; 8], level: __m256) -> __m256 {
        // SAFETY: the reference covers the 32 bytes read; an unaligned load.
        _mm256_cmp_ps::<_CMP_GE_OQ>(unsafe { _mm256_loadu_ps(eight.as_ptr()) }, level)
    }

    fn to_steps(entries: &[f32], most: f32, out: &mut [u8]) -> (f32, f32) {
        let ends = |part: &[f32; 16]| ends(part);
        portable::to_steps_by(entries, most, out, ends, |part, low, steps, out| {
            let (low, steps) = (_mm256_set1_ps(low), _mm256_set1_ps(steps));
            let [first, second] = eights(part).map(|eight| {
                let steps = _mm256_mul_ps(_mm256_sub_ps(eight, low), steps);
                let steps = _mm256_min_ps(_mm256_set1_ps(MOST_ENTRY), steps);
                let whole = _mm256_add_ps(steps, _mm256_set1_ps(portable::WHOLE));
                _mm256_and_si256(_mm256_castps_si256(whole), _mm256_set1_epi32(0xff))
            });
            let halves = _mm256_packus_epi32(first, second);
            let bytes = _mm256_packus_epi16(halves, halves);
            // Each half has four of the first and four of the second.
            let places = _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5);
            let bytes = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(bytes, places));
            // SAFETY: the reference covers the 16 bytes written; an unaligned store.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) };
        })
    }

    // The least and the largest, compared in the order of `portable::fold`.
    pub(super) fn ends(part: &[f32; 16]) -> [f32; 2] {
        let [first, second] = eights(part);
        let four = |x| (_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        // Of two equal ones, zeros of either sign, the first operand of `portable` is the second here.
        let (low, rest) = four(_mm256_min_ps(second, first));
        let low = _mm_min_ps(rest, low);
        let low = _mm_min_ps(_mm_movehl_ps(low, low), low);
        let low = _mm_min_ss(_mm_movehdup_ps(low), low);
        let (high, rest) = four(_mm256_max_ps(second, first));
        let high = _mm_max_ps(rest, high);
        let high = _mm_max_ps(_mm_movehl_ps(high, high), high);
        let high = _mm_max_ss(_mm_movehdup_ps(high), high);
        [_mm_cvtss_f32(low), _mm_cvtss_f32(high)]
    }

    fn eights(part: &[f32; 16]) -> [__m256; 2] {
        // SAFETY: the reference covers the 64 bytes read; unaligned loads.
        unsafe { [_mm256_loadu_ps(part.as_ptr()), _mm256_loadu_ps(part[8..].as_ptr())] }
    }

    // Row after row first, as the CPU reads best, and side by side from the nearest cache.
    pub(super) fn outline(rows: &[i8], dim: usize, steps: &mut [u8], left: &mut [i32]) {
        let width = padded(dim);
        let mut raised = vec![0; OUTLINED * width];
        let groups = rows.chunks(OUTLINED * dim).zip(left.chunks_mut(OUTLINED));
        for (steps, (rows, left)) in steps.chunks_exact_mut(OUTLINED * width).zip(groups) {
            let rows = rows.chunks_exact(dim).zip(left);
            for (raised, (row, left)) in raised.chunks_exact_mut(width).zip(rows) {
                *left = raise(row, raised);
            }
            for (at, steps) in (0..).step_by(LANES).zip(steps.chunks_exact_mut(OUTLINED * LANES)) {
                for half in 0..2 {
                    let mut rows = [_mm256_setzero_si256(); 8];
                    for (i, row) in rows.iter_mut().enumerate() {
                        let bytes = &raised[(8 * half + i) * width + at..][..LANES];
                        // SAFETY: `bytes` has the 32 bytes read; an unaligned load.
                        *row = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
                    }
                    let places = steps.as_chunks_mut::<32>().0.iter_mut().skip(half).step_by(2);
                    for (place, columns) in places.zip(transpose(rows)) {
                        // SAFETY: the reference covers the 32 bytes written; an unaligned store.
                        unsafe { _mm256_storeu_si256(place.as_mut_ptr().cast(), columns) };
                    }
                }
            }
        }
    }

    // Writes r + 32 for each byte and returns Σ (c − 4r)². With x = c + 128, r + 32 is ⌊(x + 2) / 4⌋, and
    // c − 4r is 0, 1, −2, −1 where x is 0, 1, 2, 3 modulo 4.
    fn raise(row: &[i8], raised: &mut [u8]) -> i32 {
        let (bits, zero) = (|byte: u8| _mm256_set1_epi8(byte as i8), _mm256_setzero_si256());
        let squares = _mm256_set1_epi32(i32::from_le_bytes([0, 1, 4, 1]));
        let mut left = zero;
        for (row, raised) in row.chunks(32).zip(raised.as_chunks_mut::<32>().0) {
            let mut last = [0; 32];
            let row = row.first_chunk().unwrap_or_else(|| {
                last[..row.len()].copy_from_slice(row);
                &last
            });
            // SAFETY: the reference covers the 32 bytes read; an unaligned load.
            let x = unsafe { _mm256_loadu_si256(row.as_ptr().cast()) };
            let x = _mm256_xor_si256(x, bits(128));
            let beyond = _mm256_shuffle_epi8(squares, _mm256_and_si256(x, bits(3)));
            left = _mm256_add_epi64(left, _mm256_sad_epu8(beyond, zero));
            let halved = _mm256_and_si256(_mm256_srli_epi16::<1>(x), bits(127));
            // SAFETY: the reference covers the 32 bytes written; an unaligned store.
            unsafe { _mm256_storeu_si256(raised.as_mut_ptr().cast(), _mm256_avg_epu8(halved, zero)) };
        }
        let both = _mm_add_epi64(_mm256_castsi256_si128(left), _mm256_extracti128_si256::<1>(left));
        (_mm_cvtsi128_si64(both) + _mm_extract_epi64::<1>(both)) as i32
    }

    // Eight numbers of 32 bits of eight rows, as eight columns.
    fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
        let [a, b, c, d, e, f, g, h] = rows;
        let four = |a, b, c, d| {
            let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (lower, higher) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            [
                _mm256_unpacklo_epi64(low, lower),
                _mm256_unpackhi_epi64(low, lower),
                _mm256_unpacklo_epi64(high, higher),
                _mm256_unpackhi_epi64(high, higher),
            ]
        };
        let (upper, lower) = (four(a, b, c, d), four(e, f, g, h));
        let left = |i: usize| _mm256_permute2x128_si256::<0x20>(upper[i], lower[i]);
        let right = |i: usize| _mm256_permute2x128_si256::<0x31>(upper[i], lower[i]);
        [left(0), left(1), left(2), left(3), right(0), right(1), right(2), right(3)]
    }

    // Tiles of 6 queries × 16 rows: a register holds four numbers of eight rows each, `maddubs` multiplies
    // them with four numbers of a query and adds pairs of neighbours.
    fn outline_dots(queries: &[i8], width: usize, steps: &[u8], out: &mut [i32]) {
        let count = steps.len() / width;
        let tiles = queries.chunks(OUTLINED_QUERIES * width);
        for (queries, out) in tiles.zip(out.chunks_mut(OUTLINED_QUERIES * count)) {
            match queries.len() / width {
                1 => outlines::<1>(queries, width, steps, out),
                2 => outlines::<2>(queries, width, steps, out),
                3 => outlines::<3>(queries, width, steps, out),
                4 => outlines::<4>(queries, width, steps, out),
                5 => outlines::<5>(queries, width, steps, out),
                _ => outlines::<OUTLINED_QUERIES>(queries, width, steps, out),
            }
        }
    }

    fn outlines<const N: usize>(queries: &[i8], width: usize, steps: &[u8], out: &mut [i32]) {
        let count = steps.len() / width;
        let starts: [i32; N] = std::array::from_fn(|i| {
            let query = &queries[i * width..(i + 1) * width];
            -RAISED * query.iter().map(|q| i32::from(*q)).sum::<i32>()
        });
        for (j, group) in steps.chunks_exact(OUTLINED * width).enumerate() {
            let sums = outline_tile::<N>(queries, width, group, starts);
            for (sums, out) in sums.iter().zip(out.chunks_exact_mut(count)) {
                let (low, high) = out[j * OUTLINED..(j + 1) * OUTLINED].split_at_mut(8);
                // SAFETY: both halves have the 32 bytes written; unaligned stores.
                unsafe {
                    _mm256_storeu_si256(low.as_mut_ptr().cast(), sums[0]);
                    _mm256_storeu_si256(high.as_mut_ptr().cast(), sums[1]);
                }
            }
        }
    }

    fn outline_tile<const N: usize>(
        queries: &[i8], width: usize, group: &[u8], starts: [i32; N],
    ) -> [[__m256i; 2]; N] {
        assert!(queries.len() == N * width && group.len() == OUTLINED * width);
        let ones = _mm256_set1_epi16(1);
        let mut sums = starts.map(|start| [_mm256_set1_epi32(start); 2]);
        // Eight products of pairs, each at most 2·64·31, fit into 16 bits. The loop over them has no
        // constant length, lest it be unrolled into more than there are registers.
        for (at, eight) in (0..).step_by(LANES).zip(group.chunks(LANES * OUTLINED)) {
            let mut short = [[_mm256_setzero_si256(); 2]; N];
            for (at, step) in (at..).step_by(4).zip(eight.chunks_exact(4 * OUTLINED)) {
                // SAFETY: `step` has the 64 bytes read; unaligned loads.
                let rows = unsafe {
                    [
                        _mm256_loadu_si256(step.as_ptr().cast()),
                        _mm256_loadu_si256(step.as_ptr().add(32).cast()),
                    ]
                };
                for (i, short) in short.iter_mut().enumerate() {
                    // SAFETY: `at` is a multiple of 4 below `width`, and `queries` holds N times as
                    // many numbers; an unaligned load.
                    let four = unsafe { queries.as_ptr().add(i * width + at).cast::<i32>().read_unaligned() };
                    let four = _mm256_set1_epi32(four);
                    for (short, row) in short.iter_mut().zip(rows) {
                        *short = _mm256_add_epi16(*short, _mm256_maddubs_epi16(row, four));
                    }
                }
            }
            for (sums, short) in sums.iter_mut().zip(short) {
                for (sum, short) in sums.iter_mut().zip(short) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(short, ones));
                }
            }
        }
        sums
    }

    // The sums of four registers.
    fn fold([a, b, c, d]: [__m256i; 4]) -> __m128i {
        let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums))
    }
}
