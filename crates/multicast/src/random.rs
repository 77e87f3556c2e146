//! Randomness that a seed repeats; for jitter, never for secrets.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// `value` less up to a quarter.
    pub(crate) const fn shorten(&mut self, value: std::time::Duration) -> std::time::Duration {
        let micros = value.as_micros() as u64;
        std::time::Duration::from_micros(micros - self.next() % (micros / 4 + 1))
    }
}
