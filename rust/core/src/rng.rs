//! Randomness as a function of (seed, stream, position): the same on every machine, for ever.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): one addition and one mix a draw. Hand-written because builds
//! promise stable bytes, and a random-number crate may change its streams between releases.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream `stream` of `seed`; different streams are independent.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed) ^ stream.wrapping_mul(GOLDEN)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `0..n`; panics if `n` is 0. The bias is below n / 2⁶⁴.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "there is no number below 0");
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// `k` different numbers below `n`, ascending (Floyd's sampling); panics if `k > n`.
    pub fn sample(&mut self, n: usize, k: usize) -> Vec<usize> {
        assert!(k <= n, "cannot draw {k} different numbers below {n}");
        let mut drawn = std::collections::BTreeSet::new();
        for top in n - k..n {
            let pick = self.below(top + 1);
            if !drawn.insert(pick) {
                drawn.insert(top);
            }
        }
        drawn.into_iter().collect()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
