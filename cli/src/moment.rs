//! Times as people write them.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// A time that a person has written: `2026-12-01 03:00`, `2026-12-01T02:00:00Z`, `03:00` (the next
/// one) or `+2h`. Without a zone it is local time.
///
/// # Errors
/// In words, when it is none of these, or a local time that does not exist.
pub fn parse(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Some(later) = text.strip_prefix('+') {
        let wait = crate::number::parse_duration(later)?;
        let then = now.timestamp().checked_add(wait);
        return then.map_err(|_| "it is too far away".to_owned());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if !text.contains(['-', 'T', ' '])
        && let Ok(time) = text.parse::<Time>()
    {
        return next(time, now);
    }
    text.parse::<DateTime>()
        .map_err(|_| {
            format!("{text:?} is not a time: write 2026-12-01 03:00, 03:00 (the next one) or +2h")
        })
        .and_then(|time| in_zone(time, now.time_zone()))
}

fn next(time: Time, now: &Zoned) -> Result<Timestamp, String> {
    let today = in_zone(now.date().to_datetime(time), now.time_zone())?;
    if today > now.timestamp() {
        return Ok(today);
    }
    let tomorrow = now.date().tomorrow().map_err(|error| error.to_string())?;
    in_zone(tomorrow.to_datetime(time), now.time_zone())
}

fn in_zone(time: DateTime, zone: &TimeZone) -> Result<Timestamp, String> {
    let zoned = zone.to_ambiguous_zoned(time);
    let zoned = zoned.unambiguous().map_err(|_| {
        format!(
            "{time} does not exist, or exists twice, because clocks are changed: write it with its offset, such as {time}+02:00"
        )
    })?;
    Ok(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sunday() -> Zoned {
        "2026-11-29T15:04:05+01:00[Europe/Berlin]".parse().unwrap()
    }

    #[test]
    fn a_time_may_be_written_in_four_ways() {
        for (text, meant) in [
            ("2026-12-01 03:00", "2026-12-01T02:00:00Z"),
            ("2026-12-01T03:00", "2026-12-01T02:00:00Z"),
            ("2026-12-01T03:00:00Z", "2026-12-01T03:00:00Z"),
            ("2026-12-01T03:00:00+02:00", "2026-12-01T01:00:00Z"),
            ("16:00", "2026-11-29T15:00:00Z"),
            ("15:04", "2026-11-30T14:04:00Z"),
            ("+2h", "2026-11-29T16:04:05Z"),
        ] {
            let found = parse(text, &sunday()).map(|time| time.to_string());
            assert_eq!(found.as_deref(), Ok(meant), "{text}");
        }
        for bad in ["", "noon", "25:00", "2026-13-01 03:00", "+soon"] {
            assert!(parse(bad, &sunday()).is_err(), "{bad}");
        }
        // The hour that summer time skips.
        assert!(parse("2027-03-28 02:30", &sunday()).is_err());
    }
}
