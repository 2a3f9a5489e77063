//! The inner loops, and the only choice of instruction set. `unsafe` lives here, always argued.
//!
//! | kernel | result | on every tier |
//! |---|---|---|
//! | `dot`, `l2`, `axpy`, `axpy_i8`, `sum_rows_i8`, `dots`, `l2s` | canonical `f32`: multiply then add, [`LANES`] sums | same bits |
//! | `dots_f16`, `l2s_f16`, `dots_i8`, `l2s_i8` | the same of rows kept shorter, each number exact as `f32` | same bits |
//! | `nearest_short` | the nearest by `l2`, of many short vectors at once, in [`Columns`] | same bits |
//! | `part_dots`, `part_l2s`, `to_steps` | a query's tables, as `f32` and as bytes | same bits |
//! | `tops`, `count_from`, `places_from` | numbers for ranking, and which of them reach a level | same bits |
//! | `scan`, `scan_from` | integer sums of 4-bit codes | same integers |
//! | `dots_i16`, `outline_dots` | integer dot products of bytes, of seven bits | same integers |
//! | `reaching`, `surest` | proposals within a derived bound | close; never stored |
//!
//! What is stored or returned is decided by the canonical kernels: proposals whose gap is below
//! the bound are looked at again (see `cluster`), so results depend on neither tier nor threads.
#![allow(unsafe_code, reason = "instruction sets are entered here and nowhere else")]

use std::sync::OnceLock;

use crate::MatrixRef;

/// One macro names a tier's features, for the detection and for every function of that tier.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! tier {
    ($tier:ident, $detect:ident, $features:tt; $($own:item)+) => {
        /// The kernels of this tier, if this CPU has its features.
        pub(super) fn kernels() -> Option<Kernels> {
            tier!(@detect $detect $features).then_some(Kernels {
                tier: Tier::$tier,
                dot,
                l2,
                axpy,
                axpy_i8,
                sum_rows_i8,
                dots,
                l2s,
                dots_f16,
                l2s_f16,
                dots_i8,
                l2s_i8,
                nearest_short,
                reaching,
                surest,
                tops,
                count_from,
                places_from,
                whole,
                dots_i16,
                outline,
                outline_dots,
                part_dots,
                part_l2s,
                to_steps,
                scan,
                scan_from,
            })
        }
        tier!(@enable $features fn dot(a: &[f32], b: &[f32]) -> f32 { portable::dot(a, b) });
        tier!(@enable $features fn l2(a: &[f32], b: &[f32]) -> f32 { portable::l2(a, b) });
        tier!(@enable $features fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
            portable::axpy(alpha, x, y)
        });
        tier!(@enable $features fn axpy_i8(alpha: f32, x: &[i8], y: &mut [f32]) {
            portable::axpy_i8(alpha, x, y)
        });
        tier!(@enable $features fn sum_rows_i8(table: &[i8], rows: &[(u32, f32)], out: &mut [f32]) {
            portable::sum_rows_i8(table, rows, out)
        });
        tier!(@enable $features fn dots(query: &[f32], rows: MatrixRef<'_>, out: &mut [f32]) {
            portable::dots(query, rows, out)
        });
        tier!(@enable $features fn l2s(query: &[f32], rows: MatrixRef<'_>, out: &mut [f32]) {
            portable::l2s(query, rows, out)
        });
        tier!(@enable $features fn dots_f16(query: &[f32], rows: &[u16], out: &mut [f32]) {
            portable::dots_f16(query, rows, out)
        });
        tier!(@enable $features fn l2s_f16(query: &[f32], rows: &[u16], out: &mut [f32]) {
            portable::l2s_f16(query, rows, out)
        });
        tier!(@enable $features fn dots_i8(
            query: &[f32], rows: &[i8], scales: &[f32], out: &mut [f32]
        ) {
            portable::dots_i8(query, rows, scales, out)
        });
        tier!(@enable $features fn l2s_i8(
            query: &[f32], rows: &[i8], scales: &[f32], out: &mut [f32]
        ) {
            portable::l2s_i8(query, rows, scales, out)
        });
        tier!(@enable $features fn nearest_short(
            width: usize, blocks: &[f32], book: &[f32], numbers: &mut [u32], distances: &mut [f32]
        ) {
            portable::nearest_short(width, blocks, book, numbers, distances)
        });
        tier!(@enable $features fn surest(heights: &Heights<'_>) -> f32 {
            portable::surest(heights)
        });
        tier!(@enable $features fn tops(heights: &Heights<'_>, out: &mut [f32]) -> [f32; 2] {
            portable::tops(heights, out)
        });
        tier!(@enable $features fn whole(
            query: &[f32], step: f32, most: f64, numbers: &mut [i16]
        ) -> [f64; 2] {
            portable::whole(query, step, most, numbers)
        });
        tier!(@enable $features fn part_dots(
            query: &[f32], width: usize, books: &[f32], out: &mut [f32]
        ) {
            portable::part_dots(query, width, books, out)
        });
        tier!(@enable $features fn part_l2s(
            query: &[f32], width: usize, books: &[f32], out: &mut [f32]
        ) {
            portable::part_l2s(query, width, books, out)
        });
        tier!(@all $features $($own)+);
    };
    (@all $features:tt $first:item $($rest:item)*) => {
        tier!(@enable $features $first);
        tier!(@all $features $($rest)*);
    };
    (@all $features:tt) => {};
    (@detect $detect:ident [$($feature:tt),+]) => {
        $(std::arch::$detect!($feature))&&+
    };
    (@enable [$($feature:tt),+] $function:item) => {
        $(#[target_feature(enable = $feature)])+
        $function
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod columns;
#[cfg(target_arch = "aarch64")]
mod neon;
mod outline;
mod portable;
mod sketch;

pub use columns::{Columns, SHORT};
pub use outline::{MOST_OUTLINED, OUTLINED, Outline};
pub use sketch::{Probe, largest, outline_rest, rest, to_bytes};

/// Independent sums of a canonical reduction: two 512-bit or four 256-bit registers.
pub const LANES: usize = 32;

/// Codes in one block of the 4-bit scan.
pub const BLOCK: usize = 16;

/// Parts that a block keeps together; codes of fewer are filled up with zeros.
pub const GROUP: usize = 4;

/// The largest table entry of a scan: eight of them fit into a byte, so that they are added there.
pub const MOST_ENTRY: f32 = 31.0;

/// Places and sums that [`Kernels::scan_from`] finds.
pub type Passing = Vec<(u32, u16)>;

/// The number that the bits of an IEEE half stand for, exactly.
pub fn half(bits: u16) -> f32 {
    portable::half(bits)
}

/// Numbers of a query of `dim`, as [`Kernels::dots_i16`] reads it: filled up with zeros.
pub fn padded(dim: usize) -> usize {
    dim.next_multiple_of(LANES)
}

/// Sums of products of bytes, one a row, and what each says of its row: the `height`
/// `sums·scales·step − halves`, give or take `rests·reach`.
#[derive(Debug, Clone, Copy)]
pub struct Heights<'a> {
    /// What [`Kernels::dots_i16`] gave for one query.
    pub sums: &'a [i32],
    /// What one of the row's bytes is worth.
    pub scales: &'a [f32],
    /// How far the bytes lie from the row.
    pub rests: &'a [f32],
    /// What is taken off.
    pub halves: &'a [f32],
    /// What one of the query's steps is worth.
    pub step: f32,
    /// How long the query is.
    pub reach: f32,
    /// How high a row has to reach.
    pub level: f32,
}

impl Heights<'_> {
    /// The height of row `i`.
    #[inline(always)]
    pub fn height(&self, i: usize) -> f32 {
        (self.sums[i] as f32 * self.scales[i]) * self.step - self.halves[i]
    }

    /// Whether row `i` may be as high as the level.
    #[inline(always)]
    pub fn reaches(&self, i: usize) -> bool {
        self.height(i) + self.rests[i] * self.reach >= self.level
    }
}

/// An instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Whatever the compiler targets by default; on every CPU.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
    /// The same with VNNI.
    Avx512Vnni,
    /// AArch64 with Advanced SIMD.
    Neon,
}

impl Tier {
    /// Every tier there is, whether or not this CPU has it.
    pub const ALL: [Self; 5] =
        [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Vnni, Self::Neon];

    /// The name that `MAGNETITE_TIER` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512vnni",
            Self::Neon => "neon",
        }
    }
}

/// Query, bytes, scales, one result a row.
type OfBytes = unsafe fn(&[f32], &[i8], &[f32], &mut [f32]);

/// Width, blocks of columns, book; writes numbers and distances.
type NearestShort = unsafe fn(usize, &[f32], &[f32], &mut [u32], &mut [f32]);

/// Entries, the largest sum, bytes; gives the step and the sum of the least entries.
type SumRows = unsafe fn(&[i8], &[(u32, f32)], &mut [f32]);
type ToSteps = unsafe fn(&[f32], f32, &mut [u8]) -> (f32, f32);

/// The kernels of one instruction set, held only if this CPU has it.
#[derive(Debug, Clone, Copy)]
pub struct Kernels {
    tier: Tier,
    dot: unsafe fn(&[f32], &[f32]) -> f32,
    l2: unsafe fn(&[f32], &[f32]) -> f32,
    axpy: unsafe fn(f32, &[f32], &mut [f32]),
    axpy_i8: unsafe fn(f32, &[i8], &mut [f32]),
    sum_rows_i8: SumRows,
    dots: unsafe fn(&[f32], MatrixRef<'_>, &mut [f32]),
    l2s: unsafe fn(&[f32], MatrixRef<'_>, &mut [f32]),
    dots_f16: unsafe fn(&[f32], &[u16], &mut [f32]),
    l2s_f16: unsafe fn(&[f32], &[u16], &mut [f32]),
    dots_i8: OfBytes,
    l2s_i8: OfBytes,
    nearest_short: NearestShort,
    reaching: unsafe fn(&Heights<'_>, &mut Vec<u32>),
    surest: unsafe fn(&Heights<'_>) -> f32,
    tops: unsafe fn(&Heights<'_>, &mut [f32]) -> [f32; 2],
    count_from: unsafe fn(&[f32], f32) -> usize,
    places_from: unsafe fn(&[f32], f32, &mut Vec<u32>),
    whole: unsafe fn(&[f32], f32, f64, &mut [i16]) -> [f64; 2],
    dots_i16: unsafe fn(&[i16], &[i8], usize, &mut [i32]),
    outline: unsafe fn(&[i8], usize, &mut [u8], &mut [i32]),
    outline_dots: unsafe fn(&[i8], usize, &[u8], &mut [i32]),
    part_dots: unsafe fn(&[f32], usize, &[f32], &mut [f32]),
    part_l2s: unsafe fn(&[f32], usize, &[f32], &mut [f32]),
    to_steps: ToSteps,
    scan: unsafe fn(&[u8], &[u8], &mut [u16]),
    scan_from: unsafe fn(&[u8], &[u8], u16, &mut Passing),
}

impl Kernels {
    const PORTABLE: Self = Self {
        tier: Tier::Portable,
        dot: portable::dot,
        l2: portable::l2,
        axpy: portable::axpy,
        axpy_i8: portable::axpy_i8,
        sum_rows_i8: portable::sum_rows_i8,
        dots: portable::dots,
        l2s: portable::l2s,
        dots_f16: portable::dots_f16,
        l2s_f16: portable::l2s_f16,
        dots_i8: portable::dots_i8,
        l2s_i8: portable::l2s_i8,
        nearest_short: portable::nearest_short,
        reaching: portable::reaching,
        surest: portable::surest,
        tops: portable::tops,
        count_from: portable::count_from,
        places_from: portable::places_from,
        whole: portable::whole,
        dots_i16: portable::dots_i16,
        outline: portable::outline,
        outline_dots: portable::outline_dots,
        part_dots: portable::part_dots,
        part_l2s: portable::part_l2s,
        to_steps: portable::to_steps,
        scan: portable::scan,
        scan_from: portable::scan_from,
    };

    /// Every tier this CPU can run, slowest first. Dispatch, tests and benches share this list.
    pub fn available() -> impl DoubleEndedIterator<Item = Self> {
        let tiers = [
            Some(Self::PORTABLE),
            #[cfg(target_arch = "x86_64")]
            avx2::kernels(),
            #[cfg(target_arch = "x86_64")]
            avx512::kernels(),
            #[cfg(target_arch = "x86_64")]
            avx512vnni::kernels(),
            #[cfg(target_arch = "aarch64")]
            neon::kernels(),
        ];
        tiers.into_iter().flatten()
    }

    /// The tier that `MAGNETITE_TIER` names, else the fastest. Chosen once a process.
    ///
    /// A tier that is unknown or that this CPU lacks is said on standard error, and the fastest
    /// is used: every tier returns the same results, so nothing but speed depends on it.
    pub fn best() -> Self {
        static BEST: OnceLock<Kernels> = OnceLock::new();
        *BEST.get_or_init(|| {
            let fastest = Self::available().next_back().unwrap_or(Self::PORTABLE);
            let Ok(name) = std::env::var("MAGNETITE_TIER") else { return fastest };
            Self::available().find(|kernels| kernels.tier.name() == name).unwrap_or_else(|| {
                let names: Vec<_> = Self::available().map(|kernels| kernels.tier.name()).collect();
                let (names, used) = (names.join(", "), fastest.tier.name());
                eprintln!(
                    "MAGNETITE_TIER must be one of {names} on this CPU; got {name:?}; using {used}"
                );
                fastest
            })
        })
    }

    /// Which instruction set.
    pub fn tier(self) -> Tier {
        self.tier
    }

    /// Σ aᵢ·bᵢ; canonical. Panics if the lengths differ.
    #[inline]
    pub fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "dot needs two vectors of one length");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.dot)(a, b) }
    }

    /// Σ (aᵢ−bᵢ)²; canonical. Panics if the lengths differ.
    #[inline]
    pub fn l2(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "l2 needs two vectors of one length");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.l2)(a, b) }
    }

    /// yᵢ += alpha·xᵢ; canonical. Panics if the lengths differ.
    #[inline]
    pub fn axpy(self, alpha: f32, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "axpy needs two vectors of one length");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.axpy)(alpha, x, y) }
    }

    /// yᵢ += alpha·xᵢ for bytes x, which are exact as `f32`; canonical. Panics if the lengths differ.
    #[inline]
    pub fn axpy_i8(self, alpha: f32, x: &[i8], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "axpy needs two vectors of one length");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.axpy_i8)(alpha, x, y) }
    }

    /// `out` = Σ factor·row over `(row, factor)` in their order: the bits of zeros and then `axpy_i8`
    /// with each. Rows of `table` are as long as `out`; panics if one is not there.
    pub fn sum_rows_i8(self, table: &[i8], rows: &[(u32, f32)], out: &mut [f32]) {
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.sum_rows_i8)(table, rows, out) }
    }

    /// `out[i]` = `dot(query, row i)`, the same bits; one call for a whole block of rows.
    pub fn dots(self, query: &[f32], rows: MatrixRef<'_>, out: &mut [f32]) {
        assert_eq!((query.len(), out.len()), (rows.dim(), rows.rows()), "dots: one score a row");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.dots)(query, rows, out) }
    }

    /// `out[i]` = `l2(query, row i)`, the same bits; one call for a whole block of rows.
    pub fn l2s(self, query: &[f32], rows: MatrixRef<'_>, out: &mut [f32]) {
        assert_eq!((query.len(), out.len()), (rows.dim(), rows.rows()), "l2s: one distance a row");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.l2s)(query, rows, out) }
    }

    /// `out[i]` = `dot(query, row i)`, the same bits, for rows of the bits of IEEE halves.
    pub fn dots_f16(self, query: &[f32], rows: &[u16], out: &mut [f32]) {
        assert_eq!(rows.len(), query.len() * out.len(), "dots_f16: one score a row");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.dots_f16)(query, rows, out) }
    }

    /// `out[i]` = `l2(query, row i)`, the same bits, for rows of the bits of IEEE halves.
    pub fn l2s_f16(self, query: &[f32], rows: &[u16], out: &mut [f32]) {
        assert_eq!(rows.len(), query.len() * out.len(), "l2s_f16: one distance a row");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.l2s_f16)(query, rows, out) }
    }

    /// `out[i]` = `dot(query, row i)`, the same bits, for rows of bytes: a byte of row i stands for
    /// `scales[i]` times it, rounded once.
    pub fn dots_i8(self, query: &[f32], rows: &[i8], scales: &[f32], out: &mut [f32]) {
        assert_eq!(rows.len(), query.len() * out.len(), "dots_i8: one score a row");
        assert_eq!(scales.len(), out.len(), "dots_i8: one scale a row");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.dots_i8)(query, rows, scales, out) }
    }

    /// `out[i]` = `l2(query, row i)`, the same bits, for rows of bytes as in [`Kernels::dots_i8`].
    pub fn l2s_i8(self, query: &[f32], rows: &[i8], scales: &[f32], out: &mut [f32]) {
        assert_eq!(rows.len(), query.len() * out.len(), "l2s_i8: one distance a row");
        assert_eq!(scales.len(), out.len(), "l2s_i8: one scale a row");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.l2s_i8)(query, rows, scales, out) }
    }

    /// The number of the nearest vector of `book` for each of the vectors in columns, the lower on
    /// ties, and its squared distance, with the bits of `l2`.
    ///
    /// The vectors of `book`, at least one, lie row after row, filled up as the columns are.
    pub fn nearest_short(
        self,
        columns: &Columns,
        book: &[f32],
        numbers: &mut Vec<u32>,
        distances: &mut Vec<f32>,
    ) {
        let whole = book.len().is_multiple_of(columns.width());
        assert!(whole && !book.is_empty(), "nearest_short: whole vectors of a book");
        numbers.resize(columns.padded_len(), 0);
        distances.resize(columns.padded_len(), 0.0);
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe {
            (self.nearest_short)(columns.width(), columns.blocks(), book, numbers, distances);
        }
        numbers.truncate(columns.len());
        distances.truncate(columns.len());
    }

    /// Appends to `found` the places where height + rests·reach is at least the level.
    ///
    /// A proposing kernel in `f32`, whose rounding is in the level; see `dense::flat`.
    pub fn reaching(self, heights: &Heights<'_>, found: &mut Vec<u32>) {
        let lengths = [heights.scales.len(), heights.rests.len(), heights.halves.len()];
        assert_eq!(lengths, [heights.sums.len(); 3], "reaching: one number of each kind a row");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.reaching)(heights, found) }
    }

    /// The largest height − rests·reach, what some row has for certain; −∞ if there are no rows.
    pub fn surest(self, heights: &Heights<'_>) -> f32 {
        let lengths = [heights.scales.len(), heights.rests.len(), heights.halves.len()];
        assert_eq!(lengths, [heights.sums.len(); 3], "surest: one number of each kind a row");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.surest)(heights) }
    }

    /// `out[i]` = height + rests·reach of row i; returns the least and the largest. Canonical.
    pub fn tops(self, heights: &Heights<'_>, out: &mut [f32]) -> [f32; 2] {
        let lengths = [heights.scales.len(), heights.rests.len(), heights.halves.len(), out.len()];
        assert_eq!(lengths, [heights.sums.len(); 4], "tops: one number of each kind a row");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.tops)(heights, out) }
    }

    /// How many of `values` are at least `least`.
    pub fn count_from(self, values: &[f32], least: f32) -> usize {
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.count_from)(values, least) }
    }

    /// Appends to `found` the places of `values` that are at least `least`, in their order.
    pub fn places_from(self, values: &[f32], least: f32, found: &mut Vec<u32>) {
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.places_from)(values, least, found) }
    }

    /// Writes `query` in whole steps of `step`, at most `most` either way, and zeros after it; returns
    /// Σ xᵢ² and the sum of squares of what the steps leave out.
    fn whole(self, query: &[f32], step: f32, most: f64, numbers: &mut [i16]) -> [f64; 2] {
        assert_eq!(numbers.len(), padded(query.len()), "whole: a padded query");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.whole)(query, step, most, numbers) }
    }

    /// `out[i·n + j]` = Σ query i · row j, for n rows of `dim` bytes and queries of [`padded`] numbers.
    ///
    /// Sums are taken modulo 2³² on every tier, hence exact wherever dim · 128 · the query's largest
    /// number is below 2³¹.
    pub fn dots_i16(self, queries: &[i16], rows: &[i8], dim: usize, out: &mut [i32]) {
        assert!(dim > 0 && rows.len().is_multiple_of(dim), "dots_i16: whole rows");
        assert!(queries.len().is_multiple_of(padded(dim)), "dots_i16: whole queries");
        let count = queries.len() / padded(dim) * (rows.len() / dim);
        assert_eq!(out.len(), count, "dots_i16: one sum a query and row");
        if out.is_empty() {
            return;
        }
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU; the lengths
        // that the tiers rely on were checked just above.
        unsafe { (self.dots_i16)(queries, rows, dim, out) }
    }

    /// Makes `outline` that of rows of `dim` bytes.
    pub fn outline(self, rows: &[i8], dim: usize, outline: &mut Outline) {
        assert!(dim > 0 && rows.len().is_multiple_of(dim), "outline: whole rows");
        let (steps, left) = outline.shape(rows.len() / dim, dim);
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.outline)(rows, dim, steps, left) }
    }

    /// `out[i·n + j]` = Σ query i · outline of row j, for n = [`Outline::padded_rows`], the last of
    /// which mean nothing, and queries of [`padded`] numbers.
    ///
    /// Sums are the same on every tier if no number exceeds [`MOST_OUTLINED`] either way: with RAISED
    /// and as many columns as an index takes they stay below 2³¹.
    pub fn outline_dots(self, queries: &[i8], rows: &Outline, out: &mut [i32]) {
        let width = rows.width;
        assert!(width > 0 && queries.len().is_multiple_of(width), "outline_dots: whole queries");
        let count = queries.len() / width * rows.padded_rows();
        assert_eq!(out.len(), count, "outline_dots: one sum a query and row");
        if out.is_empty() {
            return;
        }
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU; `width` is a
        // multiple of LANES and `steps` holds as many numbers of whole sixteens of rows, as `shape`
        // made them; the other lengths that the tiers rely on were checked just above.
        unsafe { (self.outline_dots)(queries, width, &rows.steps, out) }
    }

    /// `out[centroids·p + j]` = `dot(part p of query, vector j of book p)`, the same bits.
    ///
    /// A part is `width` numbers, 1, 2, 4, 8 or 16; its book holds a multiple of 16 vectors as
    /// [`Columns`] lays them out.
    pub fn part_dots(self, query: &[f32], width: usize, books: &[f32], out: &mut [f32]) {
        Self::check_books(query, width, books, out);
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.part_dots)(query, width, books, out) }
    }

    /// `out[centroids·p + j]` = `l2(part p of query, vector j of book p)`, the same bits.
    pub fn part_l2s(self, query: &[f32], width: usize, books: &[f32], out: &mut [f32]) {
        Self::check_books(query, width, books, out);
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.part_l2s)(query, width, books, out) }
    }

    fn check_books(query: &[f32], width: usize, books: &[f32], out: &[f32]) {
        assert!(width.is_power_of_two() && width <= SHORT, "a part is 1, 2, 4, 8 or 16 numbers");
        assert!(!query.is_empty() && query.len().is_multiple_of(width), "whole parts");
        assert!(out.len().is_multiple_of(query.len() / width * 16), "sixteens of centroids a part");
        assert_eq!(books.len(), out.len() * width, "one vector an entry");
    }

    /// Writes `entries`, 16 a part, as whole steps above the least of their part, and returns the
    /// step and the sum of the least: entry ≈ its part's least + step · byte.
    ///
    /// With w the widest part's span and W the sum of the spans, step = max(w / 31, W / `most`): no
    /// byte exceeds 31, no sum of one byte a part exceeds `most` by more than half a part's step each.
    pub fn to_steps(self, entries: &[f32], most: f32, out: &mut [u8]) -> (f32, f32) {
        assert!(entries.len().is_multiple_of(16), "16 entries a part");
        assert_eq!(entries.len(), out.len(), "one byte an entry");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU.
        unsafe { (self.to_steps)(entries, most, out) }
    }

    /// For every code of every block, the sum of its table entries, one of 16 a part.
    ///
    /// `tables` holds 16 bytes a part, none above [`MOST_ENTRY`], for a multiple of [`GROUP`] parts. A
    /// block holds [`BLOCK`] codes, 32 bytes a group: byte j has the code of row j for the group's
    /// first part in its low half and for its third in its high half, byte j + 16 those for the
    /// second and the fourth. `out[16·b + j]` is the sum of code j of block b.
    ///
    /// Bound: sums are taken modulo 2¹⁶ on every tier, hence exact whenever the largest entries of
    /// the parts add up to at most 65,535. `quantize::ByteTables` is built only if that holds, and
    /// only of entries that are small enough; larger ones give sums that mean nothing.
    pub fn scan(self, tables: &[u8], blocks: &[u8], out: &mut [u16]) {
        Self::check_scan(tables, blocks);
        assert_eq!(blocks.len() / (tables.len() / 2) * BLOCK, out.len(), "scan: one sum a code");
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU; the lengths
        // that the pointer arithmetic of the tiers relies on were checked just above.
        unsafe { (self.scan)(tables, blocks, out) }
    }

    /// Appends to `found` the place and the sum, as of [`Kernels::scan`], of every code whose sum is
    /// at least `least`, in order of place.
    #[inline]
    pub fn scan_from(self, tables: &[u8], blocks: &[u8], least: u16, found: &mut Passing) {
        Self::check_scan(tables, blocks);
        // SAFETY: `self` exists, so `available` saw this tier's features on this CPU; the lengths
        // that the pointer arithmetic of the tiers relies on were checked just above.
        unsafe { (self.scan_from)(tables, blocks, least, found) }
    }

    #[inline]
    fn check_scan(tables: &[u8], blocks: &[u8]) {
        let group = 16 * GROUP;
        assert!(!tables.is_empty() && tables.len().is_multiple_of(group), "scan: whole groups");
        assert_eq!(blocks.len() % (tables.len() / 2), 0, "scan: whole blocks");
    }

    /// Asks the CPU to bring `bytes` near. Changes nothing but time.
    #[inline]
    pub fn prefetch<T>(self, numbers: &[T]) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            let start = numbers.as_ptr().cast::<i8>();
            for line in (0..size_of_val(numbers)).step_by(64) {
                // SAFETY: SSE is part of x86-64; `line` lies inside `numbers`, and a prefetch of any
                // address reads nothing that the program could see.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(start.add(line)) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = numbers;
    }
}
