//! x86-64 with AVX2: 256-bit registers, and table look-ups by byte shuffle.

use std::arch::x86_64::*;

use super::{BLOCK, Kernels, Peaks, SHORT, Tier, portable};
use crate::MatrixRef;

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
