//! Times, durations and quantities for people, in one way for all commands: local times with the
//! offset of their zone, binary units (MiB, GiB, MiB/s), and Mbit/s for the wire
//! ([`foghorn_types::BitRate`]).

use foghorn_types::ByteCount;
use jiff::tz::TimeZone;

/// In which zone times are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Zone {
    /// That of this machine: `TZ`, or `/etc/localtime`.
    #[default]
    Local,
    Utc,
}

impl Zone {
    /// A time of the API (RFC 3339) for people: `2026-11-29 15:04:05 +0100`. Other text is shown as
    /// it is.
    #[must_use]
    pub fn time(self, text: &str) -> String {
        in_zone(text, self.rules())
    }

    fn rules(self) -> TimeZone {
        match self {
            Self::Local => TimeZone::system(),
            Self::Utc => TimeZone::UTC,
        }
    }
}

fn in_zone(text: &str, zone: TimeZone) -> String {
    text.parse::<jiff::Timestamp>().map_or_else(
        |_| text.to_owned(),
        |time| {
            let shown = time.to_zoned(zone);
            shown.strftime("%Y-%m-%d %H:%M:%S %z").to_string()
        },
    )
}

/// A speed of disks and transfers.
#[must_use]
pub fn rate(bytes_per_second: ByteCount) -> String {
    format!("{bytes_per_second}/s")
}

/// How long something took or will take: `45 s`, `1:15 min`, `2:03 h`.
#[must_use]
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A part of a whole in per cent, 0 of nothing.
#[must_use]
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        (part as f64 * 100.0 / whole as f64).min(100.0)
    }
}

/// `1 host`, `3 hosts`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// `yes` or `no`.
#[must_use]
pub fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// An object as an argument of a command: its name, if a shell takes it as it is.
#[must_use]
pub fn argument(name: &str, id: u32) -> String {
    let is_plain = !name.is_empty()
        && !name.starts_with(['-', '.'])
        && !name.bytes().all(|byte| byte.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_plain {
        name.to_owned()
    } else {
        format!("id:{id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_offset_of_their_zone() {
        let berlin = || TimeZone::get("Europe/Berlin").unwrap();
        for (text, shown) in [
            ("2026-11-29T14:04:05Z", "2026-11-29 15:04:05 +0100"),
            ("2026-07-01T12:00:00.25Z", "2026-07-01 14:00:00 +0200"),
            ("not a time", "not a time"),
        ] {
            assert_eq!(in_zone(text, berlin()), shown);
        }
        assert_eq!(
            Zone::Utc.time("2026-11-29T14:04:05Z"),
            "2026-11-29 14:04:05 +0000"
        );
    }

    #[test]
    fn quantities_have_binary_units() {
        assert_eq!(rate(ByteCount::from_mib(105)), "105 MiB/s");
        assert_eq!(rate(ByteCount::ZERO), "0 B/s");
        assert_eq!([45, 75, 7380].map(duration), ["45 s", "1:15 min", "2:03 h"]);
        assert_eq!((percent(1, 2), percent(0, 0)), (50.0, 0.0));
        assert_eq!(
            (count(1, "host"), count(0, "host")),
            ("1 host".into(), "0 hosts".into())
        );
    }

    #[test]
    fn names_that_a_shell_would_read_otherwise_are_ids() {
        assert_eq!(argument("lab-pc01", 7), "lab-pc01");
        for name in ["room 1", "7", "-x", "", "a;b", "über"] {
            assert_eq!(argument(name, 7), "id:7", "{name:?}");
        }
    }
}
