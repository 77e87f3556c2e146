//! Wall-clock time as stored and sent.

use std::cell::Cell;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. For what is stored or compared between machines;
/// measure with `Instant`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

const CLOCK_CAN_BE_SET: bool = cfg!(debug_assertions);

thread_local! {
    static SET_CLOCK: Cell<Option<Timestamp>> = const { Cell::new(None) };
}

impl Timestamp {
    /// The time of this machine's clock, or that which a simulation has set
    /// ([`Timestamp::set_clock`]). The one place where a pure crate reads one: pure code takes a
    /// `Timestamp` as an argument.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "for everybody else, who may not ask a clock of their own"
    )]
    pub fn now() -> Self {
        let set = if CLOCK_CAN_BE_SET {
            SET_CLOCK.get()
        } else {
            None
        };
        set.unwrap_or_else(|| Self(jiff::Timestamp::now().as_millisecond()))
    }

    /// From here on [`Timestamp::now`] is this time for the calling thread; with `None` it is that of
    /// the machine again. For simulations, which have several machines in one thread: it does nothing
    /// in a release build, so that asking for the time costs nothing more there.
    pub fn set_clock(now: Option<Self>) {
        SET_CLOCK.set(now);
    }

    /// So many milliseconds after 1970-01-01T00:00:00Z; before it when negative.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Time from `earlier` until `self`; zero when the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// FOG's text form, `YYYY-MM-DD HH:MM:SS` in UTC.
    #[must_use]
    pub fn to_fog(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .unwrap_or_default()
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    }

    /// Such as `2026-11-29T030000Z`: for names of files, which are sorted by time then. The part of a
    /// second is cut off.
    #[must_use]
    pub fn to_name(self) -> String {
        let second = Self(self.0.div_euclid(1000) * 1000);
        // A colon is not possible in a name on every file system.
        let time = second.to_fog().replace(':', "").replace(' ', "T");
        format!("{time}Z")
    }

    /// The time that [`Timestamp::to_name`] has written so; `None` for any other text.
    #[must_use]
    pub fn from_name(text: &str) -> Option<Self> {
        let (date, clock) = text.split_once('T')?;
        let (hours, minutes, rest) = (clock.get(0..2)?, clock.get(2..4)?, clock.get(4..)?);
        let time: Self = format!("{date}T{hours}:{minutes}:{rest}").parse().ok()?;
        (time.to_name() == text).then_some(time)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time: jiff::Timestamp = text
            .parse()
            .map_err(|_| ParseTimestampError(text.to_owned()))?;
        Ok(Self(time.as_millisecond()))
    }
}

/// A text that is not a time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a time in the form of RFC 3339, such as 2026-01-31T08:00:00Z")]
pub struct ParseTimestampError(String);

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        jiff::Timestamp::from_millisecond(self.0)
            .unwrap_or_default()
            .fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_file_is_read_as_it_is_written() {
        let time = Timestamp::from_millis(1_700_000_000_999);
        assert_eq!(time.to_name(), "2023-11-14T221320Z");
        let read = Timestamp::from_name("2023-11-14T221320Z");
        assert_eq!(read, Some(Timestamp::from_millis(1_700_000_000_000)));
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14T221320+00:00",
            "2023-11-14T221320.5Z",
            "2023-13-14T221320Z",
            "2023-11-14Tüü",
            "",
        ] {
            assert_eq!(Timestamp::from_name(text), None, "{text}");
        }
    }

    #[test]
    fn shown_in_utc_in_both_forms() {
        let time = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(time.to_fog(), "2023-11-14 22:13:20");
        assert_eq!(time.to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(
            (time + Duration::from_secs(2)).since(time),
            Duration::from_secs(2)
        );
        assert_eq!(time.since(time + Duration::from_secs(2)), Duration::ZERO);
    }
}
