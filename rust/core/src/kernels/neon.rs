//! AArch64 with Advanced SIMD: 128-bit registers, and table look-ups by `tbl`.

use std::arch::aarch64::*;

use super::{BLOCK, Heights, Kernels, SHORT, Tier, padded, portable};
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

    // Four rows a step: each is widened once for a query, whose numbers are loaded once for all four.
    fn dots_i16(queries: &[i16], rows: &[i8], dim: usize, out: &mut [i32]) {
        let (width, count) = (padded(dim), rows.len() / dim);
        for (query, out) in queries.chunks_exact(width).zip(out.chunks_exact_mut(count)) {
            let row = |j: usize| &rows[j.min(count - 1) * dim..][..dim];
            for j in (0..count).step_by(4) {
                let sums = tile(query, std::array::from_fn(|i| row(j + i)));
                let here = (count - j).min(4);
                for (sum, out) in sums.iter().zip(&mut out[j..j + here]) {
                    *out = vaddvq_s32(*sum);
                }
            }
        }
    }

    fn tile(query: &[i16], rows: [&[i8]; 4]) -> [int32x4_t; 4] {
        let mut sums = [vdupq_n_s32(0); 4];
        for (i, query) in query.as_chunks::<8>().0.iter().enumerate() {
            // SAFETY: the reference covers the 16 bytes read.
            let query = unsafe { vld1q_s16(query.as_ptr()) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                let rest = row.get(8 * i..).unwrap_or(&[]);
                let mut bytes = [0i8; 8];
                match rest.first_chunk::<8>() {
                    Some(all) => bytes = *all,
                    None => bytes[..rest.len()].copy_from_slice(rest),
                }
                // SAFETY: `bytes` has the 8 bytes read.
                let row = vmovl_s8(unsafe { vld1_s8(bytes.as_ptr()) });
                *sum = vmlal_s16(*sum, vget_low_s16(query), vget_low_s16(row));
                *sum = vmlal_high_s16(*sum, query, row);
            }
        }
        sums
    }
}
