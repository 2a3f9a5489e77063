//! AArch64 with Advanced SIMD: 128-bit registers, and table look-ups by `tbl`.

use std::arch::aarch64::*;

use super::{BLOCK, Kernels, Peaks, SHORT, Tier, portable};
use crate::MatrixRef;

tier! {
    Neon, is_aarch64_feature_detected, ["neon"];

    // One part a register; entries are widened as they are added, two registers a half block.
    fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        let nibble = vdupq_n_u8(15);
        for (block, out) in blocks.chunks_exact(tables.len()).zip(out.as_chunks_mut::<BLOCK>().0) {
            let mut sums = [vdupq_n_u16(0); 4];
            for (codes, table) in block.as_chunks::<16>().0.iter().zip(tables.as_chunks::<16>().0) {
                // SAFETY: each reference covers the 16 bytes read.
                let (codes, table) =
                    unsafe { (vld1q_u8(codes.as_ptr()), vld1q_u8(table.as_ptr())) };
                let low = vqtbl1q_u8(table, vandq_u8(codes, nibble));
                let high = vqtbl1q_u8(table, vshrq_n_u8::<4>(codes));
                sums[0] = vaddw_u8(sums[0], vget_low_u8(low));
                sums[1] = vaddw_high_u8(sums[1], low);
                sums[2] = vaddw_u8(sums[2], vget_low_u8(high));
                sums[3] = vaddw_high_u8(sums[3], high);
            }
            for (out, sums) in out.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
                // SAFETY: `out` covers the 8 numbers written.
                unsafe { vst1q_u16(out.as_mut_ptr(), sums) };
            }
        }
    }
}
