//! The specification: safe loops in the shape of lanes. The other tiers compile these very bodies
//! under their own instruction set, so there is no second arithmetic to disagree with.
//!
//! Rust neither reorders nor contracts float operations. Every sum runs in [`LANES`] independent
//! columns, each multiply then add in order of position, and is folded in halves at the end: a
//! function of the numbers alone, whatever the width of a register.

use super::outline::{OUTLINED, RAISED};
use super::{BLOCK, Heights, LANES, MOST_ENTRY, Passing, SHORT, padded};
use crate::MatrixRef;

/// Σ aᵢ·bᵢ. Error: at most (2n−1)·ε·Σ|aᵢbᵢ|, ε = 2⁻²⁴, as for any order of additions.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_of(a, Plain, b, product)
}

/// Σ (aᵢ−bᵢ)². All terms are positive, so the error is at most (2n+2)·ε of the sum itself.
#[inline(always)]
pub(super) fn l2(a: &[f32], b: &[f32]) -> f32 {
    sum_of(a, Plain, b, square)
}

/// yᵢ += alpha·xᵢ.
#[inline(always)]
pub(super) fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += alpha * x;
    }
}

/// yᵢ += alpha·xᵢ for bytes x, which are exact as f32.
#[inline(always)]
pub(super) fn axpy_i8(alpha: f32, x: &[i8], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += alpha * f32::from(x);
    }
}

/// `out` = Σ factor·row of `table`, whose rows are as long as `out`; so many columns at a time that
/// their sums stay in registers.
#[inline(always)]
pub(super) fn sum_rows_i8(table: &[i8], rows: &[(u32, f32)], out: &mut [f32]) {
    const COLUMNS: usize = 64;
    let dim = out.len();
    let (blocks, rest) = out.as_chunks_mut::<COLUMNS>();
    for (out, first) in blocks.iter_mut().zip((0..).step_by(COLUMNS)) {
        let mut sums = [0.0; COLUMNS];
        for &(row, factor) in rows {
            let row = table[row as usize * dim + first..].first_chunk::<COLUMNS>();
            for (sum, &x) in sums.iter_mut().zip(row.expect("a row is as long as `out`")) {
                *sum += factor * f32::from(x);
            }
        }
        *out = sums;
    }
    let last = dim - rest.len();
    rest.fill(0.0);
    for &(row, factor) in rows {
        axpy_i8(factor, &table[row as usize * dim + last..][..rest.len()], rest);
    }
}

/// How a row is kept: each number stands for one `f32`, exactly, whatever the tier.
trait Stored: Copy {
    type Number: Copy + Default;
    fn value(self, number: Self::Number) -> f32;
}

/// As it is.
#[derive(Clone, Copy)]
struct Plain;

impl Stored for Plain {
    type Number = f32;

    #[inline(always)]
    fn value(self, number: f32) -> f32 {
        number
    }
}

/// The bits of an IEEE half.
#[derive(Clone, Copy)]
struct Half;

impl Stored for Half {
    type Number = u16;

    #[inline(always)]
    fn value(self, number: u16) -> f32 {
        half(number)
    }
}

/// A byte times the row's scale, rounded once.
#[derive(Clone, Copy)]
struct Scaled(f32);

impl Stored for Scaled {
    type Number = i8;

    #[inline(always)]
    fn value(self, number: i8) -> f32 {
        self.0 * f32::from(number)
    }
}

/// The number that an IEEE half stands for, exactly; bits of infinities and NaN stand for numbers from
/// 65,536 on. In integers but for one exact subtraction, so that no mode of the CPU changes it.
#[inline(always)]
pub(super) fn half(bits: u16) -> f32 {
    const NORMAL: u32 = (127 - 15) << 23;
    const SUBNORMAL: u32 = NORMAL + (1 << 23);
    let size = u32::from(bits & 0x7FFF) << 13;
    let small = f32::from_bits(size + SUBNORMAL) - f32::from_bits(SUBNORMAL);
    let size = if size < 1 << 23 { small.to_bits() } else { size + NORMAL };
    f32::from_bits(size | u32::from(bits & 0x8000) << 16)
}

/// `out[i]` = dot(query, row i), for rows of halves.
#[inline(always)]
pub(super) fn dots_f16(query: &[f32], rows: &[u16], out: &mut [f32]) {
    for (out, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
        *out = sum_of(query, Half, row, product);
    }
}

/// `out[i]` = l2(query, row i), for rows of halves.
#[inline(always)]
pub(super) fn l2s_f16(query: &[f32], rows: &[u16], out: &mut [f32]) {
    for (out, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
        *out = sum_of(query, Half, row, square);
    }
}

/// `out[i]` = dot(query, row i), for rows of bytes with a scale each.
#[inline(always)]
pub(super) fn dots_i8(query: &[f32], rows: &[i8], scales: &[f32], out: &mut [f32]) {
    for ((out, row), scale) in out.iter_mut().zip(rows.chunks_exact(query.len())).zip(scales) {
        *out = sum_of(query, Scaled(*scale), row, product);
    }
}

/// `out[i]` = l2(query, row i), for rows of bytes with a scale each.
#[inline(always)]
pub(super) fn l2s_i8(query: &[f32], rows: &[i8], scales: &[f32], out: &mut [f32]) {
    for ((out, row), scale) in out.iter_mut().zip(rows.chunks_exact(query.len())).zip(scales) {
        *out = sum_of(query, Scaled(*scale), row, square);
    }
}

/// `out[i]` = dot(query, row i).
#[inline(always)]
pub(super) fn dots(query: &[f32], rows: MatrixRef<'_>, out: &mut [f32]) {
    for (out, row) in out.iter_mut().zip(rows.iter()) {
        *out = dot(query, row);
    }
}

/// `out[i]` = l2(query, row i).
#[inline(always)]
pub(super) fn l2s(query: &[f32], rows: MatrixRef<'_>, out: &mut [f32]) {
    for (out, row) in out.iter_mut().zip(rows.iter()) {
        *out = l2(query, row);
    }
}

// Functions rather than closures: only these can be told to be compiled into the tier that calls.

#[inline(always)]
fn product(x: f32, y: f32) -> f32 {
    x * y
}

/// A product of −0 becomes +0, as it does when it is added to a sum of 0.
#[inline(always)]
fn positive_product(x: f32, y: f32) -> f32 {
    0.0 + x * y
}

#[inline(always)]
fn square(x: f32, y: f32) -> f32 {
    (x - y) * (x - y)
}

#[inline(always)]
fn sum_of<S: Stored>(
    a: &[f32],
    stored: S,
    b: &[S::Number],
    term: impl Fn(f32, f32) -> f32 + Copy,
) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        add(&mut sums, x, stored, y, term);
    }
    if !a_rest.is_empty() {
        // Filled up with zeros, whose terms change no sum: +0 is added, and no sum is ever −0.
        let (mut x, mut y) = ([0.0; LANES], [S::Number::default(); LANES]);
        x[..a_rest.len()].copy_from_slice(a_rest);
        y[..b_rest.len()].copy_from_slice(b_rest);
        add(&mut sums, &x, stored, &y, term);
    }
    // Steps of constant length: with a loop over lengths the sums would live in memory.
    let sums: [f32; 16] = halve(&sums);
    let sums: [f32; 8] = halve(&sums);
    let sums: [f32; 4] = halve(&sums);
    let sums: [f32; 2] = halve(&sums);
    sums[0] + sums[1]
}

#[inline(always)]
fn add<S: Stored>(
    sums: &mut [f32; LANES],
    x: &[f32; LANES],
    stored: S,
    y: &[S::Number; LANES],
    term: impl Fn(f32, f32) -> f32,
) {
    for lane in 0..LANES {
        sums[lane] += term(x[lane], stored.value(y[lane]));
    }
}

/// The lower half plus the upper half.
#[inline(always)]
fn halve<const N: usize>(sums: &[f32]) -> [f32; N] {
    std::array::from_fn(|lane| sums[lane] + sums[lane + N])
}

/// As [`sum_of`] for N ≤ LANES numbers, of 16 vectors at once: its columns hold one term each, which
/// the same halving folds; the halves that would only add zeros are left out. No `term` is −0.
#[inline(always)]
fn sums_of_16<const N: usize>(
    query: &[f32; N],
    block: &[[f32; 16]; N],
    term: impl Fn(f32, f32) -> f32 + Copy,
) -> [f32; 16] {
    let mut terms = [[0.0f32; 16]; N];
    for d in 0..N {
        for j in 0..16 {
            terms[d][j] = term(query[d], block[d][j]);
        }
    }
    let mut half = N / 2;
    while half > 0 {
        let (low, high) = terms.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            for j in 0..16 {
                low[j] += high[j];
            }
        }
        half /= 2;
    }
    terms[0]
}

/// The nearest of `book` for each of many short vectors; see [`super::Kernels::nearest_short`].
#[inline(always)]
pub(super) fn nearest_short(
    width: usize,
    blocks: &[f32],
    book: &[f32],
    numbers: &mut [u32],
    distances: &mut [f32],
) {
    match width {
        1 => nearest_short_of::<1>(blocks, book, numbers, distances),
        2 => nearest_short_of::<2>(blocks, book, numbers, distances),
        4 => nearest_short_of::<4>(blocks, book, numbers, distances),
        8 => nearest_short_of::<8>(blocks, book, numbers, distances),
        _ => nearest_short_of::<SHORT>(blocks, book, numbers, distances),
    }
}

#[inline(always)]
fn nearest_short_of<const N: usize>(
    blocks: &[f32],
    book: &[f32],
    numbers: &mut [u32],
    distances: &mut [f32],
) {
    let found = numbers.as_chunks_mut::<16>().0.iter_mut().zip(distances.as_chunks_mut::<16>().0);
    for (block, (numbers, distances)) in
        blocks.as_chunks::<16>().0.as_chunks::<N>().0.iter().zip(found)
    {
        let (mut number, mut best) = ([0u32; 16], [f32::INFINITY; 16]);
        for (i, vector) in (0u32..).zip(book.as_chunks::<N>().0) {
            let sums = sums_of_16(vector, block, square);
            for j in 0..16 {
                let nearer = sums[j] < best[j];
                best[j] = if nearer { sums[j] } else { best[j] };
                number[j] = if nearer { i } else { number[j] };
            }
        }
        (*numbers, *distances) = (number, best);
    }
}

#[inline(always)]
fn smaller(x: f32, y: f32) -> f32 {
    if y < x { y } else { x }
}

#[inline(always)]
fn larger(x: f32, y: f32) -> f32 {
    if y > x { y } else { x }
}

/// `out[i·rows + j]` = Σ query i · row j, modulo 2³²; see [`super::Kernels::dots_i16`].
#[inline(always)]
pub(super) fn dots_i16(queries: &[i16], rows: &[i8], dim: usize, out: &mut [i32]) {
    let count = rows.len() / dim;
    for (query, out) in queries.chunks_exact(padded(dim)).zip(out.chunks_exact_mut(count)) {
        for (out, row) in out.iter_mut().zip(rows.chunks_exact(dim)) {
            *out = query
                .iter()
                .zip(row)
                .fold(0i32, |sum, (q, x)| sum.wrapping_add(i32::from(*q) * i32::from(*x)));
        }
    }
}

/// The outlines of `rows`, and Σ (c − 4r)² of each; see [`super::Outline`].
#[inline(always)]
pub(super) fn outline(rows: &[i8], dim: usize, steps: &mut [u8], left: &mut [i32]) {
    let groups = steps.chunks_exact_mut(OUTLINED * padded(dim));
    let rows = rows.chunks(OUTLINED * dim).zip(left.chunks_mut(OUTLINED));
    for (steps, (rows, left)) in groups.zip(rows) {
        for (i, (row, left)) in rows.chunks_exact(dim).zip(left).enumerate() {
            *left = 0;
            for (d, c) in row.iter().enumerate() {
                let outline = (i32::from(*c) + 2) >> 2;
                steps[(d / 4 * OUTLINED + i) * 4 + d % 4] = (outline + RAISED) as u8;
                *left += (i32::from(*c) - 4 * outline).pow(2);
            }
        }
    }
}

/// Integer dot products with outlines; see [`super::Kernels::outline_dots`].
#[inline(always)]
pub(super) fn outline_dots(queries: &[i8], width: usize, steps: &[u8], out: &mut [i32]) {
    let groups = steps.chunks_exact(OUTLINED * width);
    for (query, out) in queries.chunks_exact(width).zip(out.chunks_exact_mut(steps.len() / width)) {
        let (fours, _) = query.as_chunks::<4>();
        for (group, out) in groups.clone().zip(out.as_chunks_mut::<OUTLINED>().0) {
            *out = [0; OUTLINED];
            for (four, step) in fours.iter().zip(group.as_chunks::<{ 4 * OUTLINED }>().0) {
                for (sum, row) in out.iter_mut().zip(step.as_chunks::<4>().0) {
                    for (q, r) in four.iter().zip(row) {
                        *sum += i32::from(*q) * (i32::from(*r) - RAISED);
                    }
                }
            }
        }
    }
}

/// The largest height − rests·reach; −∞ if there is none.
#[inline(always)]
pub(super) fn surest(heights: &Heights<'_>) -> f32 {
    let mut tops = [f32::NEG_INFINITY; LANES];
    let (sums, rest) = heights.sums.as_chunks::<LANES>();
    for (i, sums) in sums.iter().enumerate() {
        let range = i * LANES..(i + 1) * LANES;
        let scales: &[f32; LANES] = heights.scales[range.clone()].try_into().expect("LANES");
        let rests: &[f32; LANES] = heights.rests[range.clone()].try_into().expect("LANES");
        let halves: &[f32; LANES] = heights.halves[range].try_into().expect("LANES");
        for lane in 0..LANES {
            let height = (sums[lane] as f32 * scales[lane]) * heights.step - halves[lane];
            tops[lane] = larger(tops[lane], height - rests[lane] * heights.reach);
        }
    }
    let last = heights.sums.len() - rest.len()..heights.sums.len();
    let last = last.map(|i| heights.height(i) - heights.rests[i] * heights.reach);
    last.chain(tops).fold(f32::NEG_INFINITY, larger)
}

/// What every row may reach; see [`super::Kernels::tops`].
#[inline(always)]
pub(super) fn tops(heights: &Heights<'_>, out: &mut [f32]) -> [f32; 2] {
    let top = |sum: i32, scale: f32, rest: f32, half: f32| {
        ((sum as f32 * scale) * heights.step - half) + rest * heights.reach
    };
    let (mut lows, mut highs) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let (sums, rest) = heights.sums.as_chunks::<LANES>();
    let (outs, out_rest) = out.as_chunks_mut::<LANES>();
    for (i, (out, sums)) in outs.iter_mut().zip(sums).enumerate() {
        let range = i * LANES..(i + 1) * LANES;
        let scales: &[f32; LANES] = heights.scales[range.clone()].try_into().expect("LANES");
        let rests: &[f32; LANES] = heights.rests[range.clone()].try_into().expect("LANES");
        let halves: &[f32; LANES] = heights.halves[range].try_into().expect("LANES");
        for lane in 0..LANES {
            let top = top(sums[lane], scales[lane], rests[lane], halves[lane]);
            lows[lane] = smaller(lows[lane], top);
            highs[lane] = larger(highs[lane], top);
            out[lane] = top;
        }
    }
    let mut low = lows.into_iter().fold(f32::INFINITY, smaller);
    let mut high = highs.into_iter().fold(f32::NEG_INFINITY, larger);
    let first = heights.sums.len() - rest.len();
    for (i, (out, &sum)) in (first..).zip(out_rest.iter_mut().zip(rest)) {
        *out = top(sum, heights.scales[i], heights.rests[i], heights.halves[i]);
        (low, high) = (smaller(low, *out), larger(high, *out));
    }
    [low, high]
}

/// How many reach `least`; see [`super::Kernels::count_from`].
#[inline(always)]
pub(super) fn count_from(values: &[f32], least: f32) -> usize {
    let mut counts = [0u32; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            counts[lane] += u32::from(block[lane] >= least);
        }
    }
    let rest = rest.iter().filter(|&&x| x >= least).count();
    counts.iter().sum::<u32>() as usize + rest
}

/// Which reach `least`; see [`super::Kernels::places_from`].
#[inline(always)]
pub(super) fn places_from(values: &[f32], least: f32, found: &mut Vec<u32>) {
    let (blocks, rest) = values.as_chunks::<LANES>();
    for (first, block) in (0u32..).step_by(LANES).zip(blocks) {
        let mut any = false;
        for x in block {
            any |= *x >= least;
        }
        if any {
            // Every place is written and those that reach are stepped over, so nothing is foretold.
            let mut places = [0u32; LANES];
            let mut count = 0;
            for (i, x) in (first..).zip(block) {
                places[count % LANES] = i;
                count += usize::from(*x >= least);
            }
            found.extend_from_slice(&places[..count]);
        }
    }
    let rest = (values.len() as u32 - rest.len() as u32..).zip(rest);
    found.extend(rest.filter(|(_, x)| **x >= least).map(|(i, _)| i));
}

/// Writes `query` in whole steps of `step`, at most `most` of them; returns Σ xᵢ² and the sum of
/// squares of what that leaves out, in eight columns of f64.
#[inline(always)]
pub(super) fn whole(query: &[f32], step: f32, most: f64, numbers: &mut [i16]) -> [f64; 2] {
    /// Added and taken off, it rounds to whole numbers: f64 has no bits below 1 there.
    const ROUND: f64 = (3u64 << 51) as f64;
    let (step, steps) = (f64::from(step), if step > 0.0 { 1.0 / f64::from(step) } else { 0.0 });
    let (mut squares, mut offs) = ([0.0f64; 8], [0.0f64; 8]);
    for (query, numbers) in query.chunks(8).zip(numbers.chunks_mut(8)) {
        let mut eight = [0.0f32; 8];
        eight[..query.len()].copy_from_slice(query);
        for i in 0..8 {
            let x = f64::from(eight[i]);
            let steps = (x * steps).max(-most).min(most);
            let whole = (steps + ROUND) - ROUND;
            let off = x - step * whole;
            numbers[i] = whole as i32 as i16;
            squares[i] += x * x;
            offs[i] += off * off;
        }
    }
    [squares.iter().sum(), offs.iter().sum()]
}

/// Appends to `found` the places of `heights` that reach its level.
#[inline(always)]
pub(super) fn reaching(heights: &Heights<'_>, found: &mut Vec<u32>) {
    found.extend(
        (0u32..).zip(heights.sums).map(|(i, _)| i).filter(|i| heights.reaches(*i as usize)),
    );
}

/// The sums of one block; see [`super::Kernels::scan`].
#[inline(always)]
fn block_sums(tables: &[u8], block: &[u8]) -> [u16; BLOCK] {
    let mut sums = [0u16; BLOCK];
    for (codes, tables) in block.as_chunks::<32>().0.iter().zip(tables.as_chunks::<64>().0) {
        for (lane, codes) in codes.as_chunks::<16>().0.iter().enumerate() {
            let (low, high) = (&tables[16 * lane..][..16], &tables[16 * (lane + 2)..][..16]);
            for (sum, byte) in sums.iter_mut().zip(codes) {
                let both = low[usize::from(byte & 15)] + high[usize::from(byte >> 4)];
                *sum = sum.wrapping_add(u16::from(both));
            }
        }
    }
    sums
}

/// Sums of table entries for every code of every block; see [`super::Kernels::scan`].
#[inline(always)]
pub(super) fn scan(tables: &[u8], blocks: &[u8], out: &mut [u16]) {
    let blocks = blocks.chunks_exact(tables.len() / 2);
    for (out, block) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks) {
        *out = block_sums(tables, block);
    }
}

/// Codes whose sum is at least `least`; see [`super::Kernels::scan_from`].
#[inline(always)]
pub(super) fn scan_from(tables: &[u8], blocks: &[u8], least: u16, found: &mut Passing) {
    for (first, block) in (0u32..).step_by(BLOCK).zip(blocks.chunks_exact(tables.len() / 2)) {
        for (i, sum) in (first..).zip(block_sums(tables, block)) {
            if sum >= least {
                found.push((i, sum));
            }
        }
    }
}

/// Tables of all parts; see [`super::Kernels::part_dots`].
#[inline(always)]
pub(super) fn part_dots(query: &[f32], width: usize, books: &[f32], out: &mut [f32]) {
    part_sums(query, width, books, out, positive_product);
}

/// Tables of all parts; see [`super::Kernels::part_l2s`].
#[inline(always)]
pub(super) fn part_l2s(query: &[f32], width: usize, books: &[f32], out: &mut [f32]) {
    part_sums(query, width, books, out, square);
}

#[inline(always)]
fn part_sums(
    query: &[f32],
    width: usize,
    books: &[f32],
    out: &mut [f32],
    term: impl Fn(f32, f32) -> f32 + Copy,
) {
    match width {
        1 => part_sums_of::<1>(query, books, out, term),
        2 => part_sums_of::<2>(query, books, out, term),
        4 => part_sums_of::<4>(query, books, out, term),
        8 => part_sums_of::<8>(query, books, out, term),
        _ => part_sums_of::<SHORT>(query, books, out, term),
    }
}

#[inline(always)]
fn part_sums_of<const N: usize>(
    query: &[f32],
    books: &[f32],
    out: &mut [f32],
    term: impl Fn(f32, f32) -> f32 + Copy,
) {
    let (parts, _) = query.as_chunks::<N>();
    let centroids = out.len() / parts.len().max(1);
    let books = books.chunks_exact(centroids * N);
    for ((part, book), out) in parts.iter().zip(books).zip(out.chunks_exact_mut(centroids)) {
        let blocks = book.as_chunks::<16>().0.as_chunks::<N>().0;
        for (out, block) in out.as_chunks_mut::<16>().0.iter_mut().zip(blocks) {
            *out = sums_of_16(part, block, term);
        }
    }
}

/// Entries as whole steps above the least of their part; see [`super::Kernels::to_steps`].
#[inline(always)]
pub(super) fn to_steps(entries: &[f32], most: f32, out: &mut [u8]) -> (f32, f32) {
    let ends = |part: &[f32; 16]| [fold(part, smaller), fold(part, larger)];
    to_steps_by(entries, most, out, ends, |part, low, steps, out| {
        for (entry, out) in part.iter().zip(out) {
            // Adding 2²³ rounds to a whole number, which then lies in the lowest bits.
            let whole = smaller((entry - low) * steps, MOST_ENTRY) + WHOLE;
            *out = whole.to_bits() as u8;
        }
    })
}

/// A number that leaves no bits below 1.
pub(super) const WHOLE: f32 = 8_388_608.0;

/// The same, by what a tier has to find the least and the largest of sixteen, and to write sixteen
/// entries as so many steps to 1 above the least.
#[inline(always)]
pub(super) fn to_steps_by(
    entries: &[f32],
    most: f32,
    out: &mut [u8],
    ends: impl Fn(&[f32; 16]) -> [f32; 2],
    write: impl Fn(&[f32; 16], f32, f32, &mut [u8; 16]),
) -> (f32, f32) {
    let (parts, _) = entries.as_chunks::<16>();
    let (mut widest, mut all, mut bias) = (0.0f32, 0.0f32, 0.0f32);
    for part in parts {
        let [low, high] = ends(part);
        widest = larger(widest, high - low);
        all += high - low;
        bias += low;
    }
    let step = larger(widest / MOST_ENTRY, all / most);
    let steps = if step > 0.0 { 1.0 / step } else { 0.0 };
    for (part, out) in parts.iter().zip(out.as_chunks_mut::<16>().0) {
        write(part, ends(part)[0], steps, out);
    }
    (step, bias)
}

#[inline(always)]
fn fold(part: &[f32; 16], better: impl Fn(f32, f32) -> f32) -> f32 {
    let mut best: [f32; 8] = std::array::from_fn(|i| better(part[i], part[i + 8]));
    for half in [4, 2, 1] {
        for i in 0..half {
            best[i] = better(best[i], best[i + half]);
        }
    }
    best[0]
}
