//! AArch64 with Advanced SIMD: 128-bit registers, and table look-ups by `tbl`.

use std::arch::aarch64::*;

use super::{BLOCK, Heights, Kernels, Passing, Tier, padded, portable};
use crate::MatrixRef;

tier! {
    Neon, is_aarch64_feature_detected, ["neon"];

    fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        let blocks = blocks.chunks_exact(tables.len() / 2);
        for (block, out) in blocks.zip(out.as_chunks_mut::<BLOCK>().0) {
            *out = sums(tables, block);
        }
    }

    fn scan_from(tables: &[u8], blocks: &[u8], least: u16, found: &mut Passing) {
        let blocks = blocks.chunks_exact(tables.len() / 2);
        for (block, first) in blocks.zip((0u32..).step_by(BLOCK)) {
            let sums = sums(tables, block);
            if sums.iter().fold(0, |most: u16, &sum| most.max(sum)) < least {
                continue;
            }
            for (sum, place) in sums.into_iter().zip(first..) {
                if sum >= least {
                    found.push((place, sum));
                }
            }
        }
    }

    // A register looks up 16 codes of one part; the four parts of a group are added as bytes, then
    // widened into the sums of the lower and the upper eight codes.
    fn sums(tables: &[u8], block: &[u8]) -> [u16; BLOCK] {
        let nibble = vdupq_n_u8(15);
        let mut sums = [vdupq_n_u16(0); 2];
        for (codes, tables) in block.as_chunks::<32>().0.iter().zip(tables.as_chunks::<64>().0) {
            // SAFETY: the references cover the 32 and 64 bytes read.
            let (codes, tables) =
                unsafe { (vld1q_u8_x2(codes.as_ptr()), vld1q_u8_x4(tables.as_ptr())) };
            let first = vqtbl1q_u8(tables.0, vandq_u8(codes.0, nibble));
            let second = vqtbl1q_u8(tables.1, vandq_u8(codes.1, nibble));
            let third = vqtbl1q_u8(tables.2, vshrq_n_u8::<4>(codes.0));
            let fourth = vqtbl1q_u8(tables.3, vshrq_n_u8::<4>(codes.1));
            let bytes = vaddq_u8(vaddq_u8(first, second), vaddq_u8(third, fourth));
            sums[0] = vaddw_u8(sums[0], vget_low_u8(bytes));
            sums[1] = vaddw_high_u8(sums[1], bytes);
        }
        let mut out = [0u16; BLOCK];
        for (out, sums) in out.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
            // SAFETY: `out` covers the 8 numbers written.
            unsafe { vst1q_u16(out.as_mut_ptr(), sums) };
        }
        out
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

    fn reaching(heights: &Heights<'_>, found: &mut Vec<u32>) {
        portable::reaching(heights, found)
    }

    fn count_from(values: &[f32], least: f32) -> usize {
        portable::count_from(values, least)
    }

    fn places_from(values: &[f32], least: f32, found: &mut Vec<u32>) {
        portable::places_from(values, least, found)
    }

    fn to_steps(entries: &[f32], most: f32, out: &mut [u8]) -> (f32, f32) {
        portable::to_steps(entries, most, out)
    }

    fn outline(rows: &[i8], dim: usize, steps: &mut [u8], left: &mut [i32]) {
        portable::outline(rows, dim, steps, left)
    }

    fn outline_dots(queries: &[i8], width: usize, steps: &[u8], out: &mut [i32]) {
        portable::outline_dots(queries, width, steps, out)
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
