//! Bytes per second.

use std::fmt;
use std::time::Duration;

/// Bytes per second on the wire, Ethernet, IP and UDP headers included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Rate(u64);

impl Rate {
    /// So many bytes per second.
    #[must_use]
    pub const fn from_bytes_per_second(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Megabits (10⁶) per second.
    #[must_use]
    pub const fn from_megabits(megabits: u64) -> Self {
        Self(megabits * 125_000)
    }

    /// In bytes per second.
    #[must_use]
    pub const fn bytes_per_second(self) -> u64 {
        self.0
    }

    /// `parts` of a million of this rate.
    #[must_use]
    pub fn share_ppm(self, parts: u64) -> Self {
        Self(u64::try_from(u128::from(self.0) * u128::from(parts) / 1_000_000).unwrap_or(u64::MAX))
    }

    /// How many bytes this is in `span`.
    #[must_use]
    pub fn bytes_in(self, span: Duration) -> u64 {
        u64::try_from(u128::from(self.0) * span.as_micros() / 1_000_000).unwrap_or(u64::MAX)
    }

    /// How long `bytes` take, rounded up to a microsecond. A rate of zero takes a very long time.
    #[must_use]
    pub fn time_for(self, bytes: u64) -> Duration {
        let micros = (u128::from(bytes) * 1_000_000).div_ceil(u128::from(self.0.max(1)));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} Mbit/s", self.0 as f64 / 125_000.0)
    }
}
