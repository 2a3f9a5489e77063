//! AVX-512 with VNNI (Ice Lake, Zen 4 and newer): `dots_i16` multiplies and adds in one instruction.

use std::arch::x86_64::*;

use super::avx512::tiles_of_512;
use super::{Heights, Kernels, Passing, SHORT, Tier, avx512, padded, portable};
use crate::MatrixRef;

tiles_of_512! {
    ["avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"];
    fn add(sum: __m512i, row: __m512i, query: __m512i) -> __m512i {
        _mm512_dpwssd_epi32(sum, row, query)
    }
}

tier! {
    Avx512Vnni, is_x86_feature_detected,
    ["avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"];

    fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        avx512::scan(tables, blocks, out)
    }

    fn scan_from(tables: &[u8], blocks: &[u8], least: u16, found: &mut Passing) {
        avx512::scan_from(tables, blocks, least, found)
    }
}
