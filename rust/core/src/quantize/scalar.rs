//! Numbers kept shorter one by one: as IEEE halves. Bytes with a scale are made in `kernels::sketch`.

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
