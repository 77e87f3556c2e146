//! Sizes, offsets and rates with their unit in the type.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct ByteCount(u64);

impl ByteCount {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1 048 576 bytes.
    #[must_use]
    pub const fn from_mib(mib: u32) -> Self {
        Self((mib as u64) << 20)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl Add for ByteCount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for ByteCount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for ByteCount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl std::iter::Sum for ByteCount {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for ByteCount {
    /// For people: three significant digits with a binary unit (`1.50 GiB`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = UNITS[0];
        for next in &UNITS[1..] {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        let decimals = if value < 10.0 {
            2
        } else {
            usize::from(value < 100.0)
        };
        write!(f, "{value:.decimals$} {unit}")
    }
}

impl fmt::Debug for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// A place on a disk or in a file, in bytes from its start.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteOffset(u64);

impl ByteOffset {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.0)
    }
}

/// A speed in bits per second.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BitRate(u64);

impl BitRate {
    /// So many bits per second.
    #[must_use]
    pub const fn from_bits_per_second(bits: u64) -> Self {
        Self(bits)
    }

    /// So many million bits per second.
    #[must_use]
    pub const fn from_mbit(mbit: u32) -> Self {
        Self(mbit as u64 * 1_000_000)
    }

    /// Saturates far above any network.
    #[must_use]
    pub const fn from_bytes_per_second(bytes: u64) -> Self {
        Self(bytes.saturating_mul(8))
    }

    /// In bits per second.
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// Whole bytes per second, rounded down.
    #[must_use]
    pub const fn bytes_per_second(self) -> u64 {
        self.0 / 8
    }

    /// What moves so many bytes in this time on average; `None` when no time has passed.
    #[must_use]
    pub fn average(bytes: u64, time: Duration) -> Option<Self> {
        let bits = u128::from(bytes) * 8 * 1_000_000_000;
        bits.checked_div(time.as_nanos())
            .map(|bits| Self(u64::try_from(bits).unwrap_or(u64::MAX)))
    }

    /// An equal part for each of `parts`; the whole when nobody shares.
    #[must_use]
    pub fn shared_by(self, parts: u64) -> Self {
        Self(self.0.checked_div(parts).unwrap_or(self.0))
    }
}

/// A limit for a transfer that is so low that nothing would come of it: most likely the unit was
/// forgotten.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{given} bit/s is too slow to be a limit, which starts at 1 Mbit/s: did you mean {meant}?")]
pub struct LimitTooLow {
    given: u64,
    meant: String,
}

impl BitRate {
    /// The lowest limit of a transfer; 0 is no limit.
    pub const LEAST_LIMIT: Self = Self::from_mbit(1);

    /// The rate as the limit of a transfer.
    ///
    /// # Errors
    /// [`LimitTooLow`] below [`Self::LEAST_LIMIT`], except for 0.
    pub fn as_limit(self) -> Result<Self, LimitTooLow> {
        if self.0 == 0 || self >= Self::LEAST_LIMIT {
            return Ok(self);
        }
        let number = if self.0 < 1000 { self.0 } else { self.0 / 1000 };
        Err(LimitTooLow {
            given: self.0,
            meant: format!("{number}m"),
        })
    }
}

/// A text that is not a bit rate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a bit rate; write it like \"800m\", \"1g\" or \"950 Mbit/s\"")]
pub struct ParseBitRateError(String);

impl FromStr for BitRate {
    type Err = ParseBitRateError;

    /// A number of bits per second, whole or with a fraction, with `k`, `m` or `g` for a thousand,
    /// a million, a thousand million; `bit`, `bit/s` or `bps` may follow, and case does not
    /// matter.
    fn from_str(text: &str) -> Result<Self, ParseBitRateError> {
        let refuse = || ParseBitRateError(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let short = ["bit/s", "bits/s", "bps", "bit"]
            .iter()
            .find_map(|end| lower.strip_suffix(end))
            .unwrap_or(&lower);
        let (number, factor) = match short.trim_end().char_indices().next_back() {
            Some((at, 'k')) => (&short[..at], 1e3),
            Some((at, 'm')) => (&short[..at], 1e6),
            Some((at, 'g')) => (&short[..at], 1e9),
            _ => (short, 1.0),
        };
        let number = number.trim();
        let plain = !number.is_empty()
            && number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        let bits = number
            .parse::<f64>()
            .ok()
            .filter(|_| plain)
            .ok_or_else(refuse)?
            * factor;
        // Above this no network sends; below it a float tells every bit apart.
        if bits > 1e15 {
            Err(refuse())
        } else {
            Ok(Self(bits.round() as u64))
        }
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} Mbit/s", self.0 as f64 / 1e6)
    }
}

/// The place of a chunk on a disk: the chunk covers bytes `index * 1 MiB ..` of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChunkIndex(u32);

impl ChunkIndex {
    /// The chunk that covers bytes `index * 1 MiB ..`.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// As a plain number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ChunkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk {}", self.0)
    }
}

/// Number of a distinct chunk of an image: counted from 0 in the order in which a disk first needs
/// each.
///
/// Not a [`ChunkIndex`], which is a place: a chunk that is at two places has two indexes and one
/// number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkNumber(u32);

impl ChunkNumber {
    /// The chunk with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// As a plain number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// As an index into what is kept per chunk.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ChunkNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Bytes in one logical sector of a disk. Only the two sizes that exist in the field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum SectorSize {
    /// 512 bytes.
    B512,
    /// 4096 bytes.
    B4096,
}

/// A disk said that its sectors have this many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("sectors of {0} bytes are not supported, only 512 and 4096")]
pub struct UnknownSectorSize(pub u64);

impl SectorSize {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

impl TryFrom<u64> for SectorSize {
    type Error = UnknownSectorSize;
    fn try_from(bytes: u64) -> Result<Self, Self::Error> {
        match bytes {
            512 => Ok(Self::B512),
            4096 => Ok(Self::B4096),
            other => Err(UnknownSectorSize(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_read_well() {
        let shown = [0, 1023, 1024, 1536, 10 << 20, 1500 << 20, 3 << 40]
            .map(|n| ByteCount::from_bytes(n).to_string());
        assert_eq!(
            shown,
            [
                "0 B", "1023 B", "1.00 KiB", "1.50 KiB", "10.0 MiB", "1.46 GiB", "3.00 TiB"
            ]
        );
    }
    #[test]
    fn bit_rates_are_written_in_several_ways() {
        for (text, bits) in [
            ("64000", 64_000),
            ("100m", 100_000_000),
            (" 1g ", 1_000_000_000),
            ("2.5G", 2_500_000_000),
            ("950 Mbit/s", 950_000_000),
            ("8kbps", 8_000),
            ("0", 0),
        ] {
            assert_eq!(
                text.parse(),
                Ok(BitRate::from_bits_per_second(bits)),
                "{text}"
            );
        }
        for text in [
            "",
            "m",
            "fast",
            "-1m",
            "1e9",
            "1 . 2",
            "inf",
            "99999999g",
            "10MB",
        ] {
            assert!(text.parse::<BitRate>().is_err(), "{text:?}");
        }
        assert_eq!(BitRate::from_bytes_per_second(125).bytes_per_second(), 125);
    }

    #[test]
    fn a_limit_without_its_unit_is_noticed() {
        let limit = |text: &str| text.parse::<BitRate>().unwrap().as_limit();
        for fine in ["0", "1m", "500m", "1g", "1000000"] {
            assert!(limit(fine).is_ok(), "{fine}");
        }
        for (text, meant) in [
            ("500", "500m"),
            ("1", "1m"),
            ("500k", "500m"),
            ("62500", "62m"),
        ] {
            let refused = limit(text).unwrap_err().to_string();
            assert!(
                refused.ends_with(&format!("did you mean {meant}?")),
                "{refused}"
            );
        }
    }

    #[test]
    fn bit_rates_are_measured_and_shared() {
        let second = Duration::from_secs(1);
        assert_eq!(
            BitRate::average(125_000_000, second),
            Some(BitRate::from_mbit(1000))
        );
        assert_eq!(
            BitRate::average(125_000_000, second * 4),
            Some(BitRate::from_mbit(250))
        );
        assert_eq!(BitRate::average(1, Duration::ZERO), None);
        assert_eq!(
            BitRate::average(u64::MAX, Duration::from_nanos(1)),
            Some(BitRate::from_bits_per_second(u64::MAX))
        );
        assert_eq!(
            BitRate::from_mbit(900).shared_by(3),
            BitRate::from_mbit(300)
        );
        assert_eq!(
            BitRate::from_mbit(900).shared_by(0),
            BitRate::from_mbit(900)
        );
    }
}
