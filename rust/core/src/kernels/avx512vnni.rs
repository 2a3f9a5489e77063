//! AVX-512 with VNNI (Ice Lake, Zen 4 and newer): `dots_i16` and `outline_dots`
//! multiply and add in one instruction.

use std::arch::x86_64::*;

use super::avx512::tiles_of_512;
use super::outline::{OUTLINED, RAISED};
use super::{Heights, Kernels, LANES, Passing, Tier, avx2, avx512, padded, portable};
use crate::MatrixRef;

tiles_of_512! {
    ["avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"];
    fn add(sum: __m512i, row: __m512i, query: __m512i) -> __m512i {
        _mm512_dpwssd_epi32(sum, row, query)
    }
    fn eight<const N: usize>(
        sums: &mut [__m512i; N],
        rows: &[u8; LANES * OUTLINED],
        queries: [&[i8; LANES]; N],
    ) {
        for step in 0..8 {
            let rows = rows_at(rows, step);
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum = _mm512_dpbusd_epi32(*sum, rows, query_at(query, step));
            }
        }
    }
}

tier! {
    Avx512Vnni, is_x86_feature_detected,
    ["avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"];

    fn reaching(heights: &Heights<'_>, found: &mut Vec<u32>) {
        avx2::reaching(heights, found)
    }

    fn count_from(values: &[f32], least: f32) -> usize {
        avx2::count_from(values, least)
    }

    fn places_from(values: &[f32], least: f32, found: &mut Vec<u32>) {
        avx512::places_from(values, least, found)
    }

    fn to_steps(entries: &[f32], most: f32, out: &mut [u8]) -> (f32, f32) {
        avx512::to_steps(entries, most, out)
    }

    fn outline(rows: &[i8], dim: usize, steps: &mut [u8], left: &mut [i32]) {
        avx2::outline(rows, dim, steps, left)
    }

    fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        avx512::scan(tables, blocks, out)
    }

    fn scan_from(tables: &[u8], blocks: &[u8], least: u16, found: &mut Passing) {
        avx512::scan_from(tables, blocks, least, found)
    }
}
