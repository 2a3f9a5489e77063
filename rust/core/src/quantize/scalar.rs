//! Numbers kept shorter one by one: IEEE halves, and bytes with one scale a row.

/// The largest number that a half holds.
pub const LARGEST_HALF: f32 = 65_504.0;

/// Bits of the IEEE half nearest to `x`, ties to the even one: within 2⁻¹¹·|x|, below 2⁻¹⁴ within 2⁻²⁵.
/// `None` if that would be an infinity, or `x` is none or NaN.
pub fn to_half(x: f32) -> Option<u16> {
    let size = x.abs();
    if size.is_nan() || size >= LARGEST_HALF + 16.0 {
        return None;
    }
    let bits = if size < 2f32.powi(-14) {
        // A multiple of 2⁻²⁴; the product is exact.
        (size * 2f32.powi(24)).round_ties_even() as u32
    } else {
        let bits = size.to_bits() - ((127 - 15) << 23);
        (bits + 0xFFF + (bits >> 13 & 1)) >> 13
    };
    Some(bits as u16 | (x.to_bits() >> 16 & 0x8000) as u16)
}

/// Writes each number of `row` in steps of the scale that it returns, the largest as ±127.
///
/// `scale · byte`, rounded to `f32`, is within (½ + 2⁻¹⁶)·scale + 2⁻¹⁴³ of the number; the last term is
/// for scales that are subnormal. Panics if the lengths differ.
pub fn to_bytes(row: &[f32], bytes: &mut [i8]) -> f32 {
    /// Added and taken off, it rounds to whole numbers: f64 has no bits below 1 there.
    const ROUND: f64 = (3u64 << 51) as f64;
    assert_eq!(row.len(), bytes.len(), "one byte a number");
    let largest = row.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let scale = (f64::from(largest) / 127.0) as f32;
    if scale == 0.0 {
        bytes.fill(0);
        return 0.0;
    }
    let steps = 1.0 / f64::from(scale);
    for (byte, x) in bytes.iter_mut().zip(row) {
        // Below 127.5 but where a subnormal scale was rounded down; there the cast saturates.
        *byte = (((f64::from(*x) * steps + ROUND) - ROUND) as i8).max(-127);
    }
    scale
}
