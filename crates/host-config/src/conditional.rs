//! Conditional requests for the config: is what the device has still what it should have?
//!
//! HTTP knows whole seconds. A device that fetches its config in the second in which it changes twice must not be left with
//! the first of the two. So `Date` never names the present second or a later one: until the second of the change has passed,
//! it is the one before, and the device, which compares what it gets with what it has, asks and is answered once more.

use foghorn_types::Timestamp;

use crate::effective::whole_second;

/// The answer to a request for the config.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// 304.
    NotModified,
    /// 200 with the config and this time as `Date`.
    Modified {
        /// In whole seconds: when the config changed, or the last second that has passed, if that is earlier.
        date: Timestamp,
    },
}

/// Decides about one request. `if_modified_since` is the header as it was sent; one that cannot be read is as none, and so is
/// one later than `now`, which comes from a time when the clock here was ahead. `changed` is
/// [`when_changed`](crate::effective::when_changed).
#[must_use]
pub fn answer(if_modified_since: Option<&str>, changed: Timestamp, now: Timestamp) -> Answer {
    let (changed, now) = (whole_second(changed), whole_second(now));
    let since = if_modified_since
        .and_then(parse_date)
        .filter(|since| *since <= now);
    if since.is_some_and(|since| changed <= since) {
        return Answer::NotModified;
    }
    let passed = Timestamp::from_millis(now.as_millis() - 1000);
    Answer::Modified {
        date: changed.min(passed),
    }
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, also with `UTC` at its end, as a device of this API sends it. The day of the week
/// is not compared with the date.
#[must_use]
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let (week_day, date) = text.trim().split_once(", ")?;
    if week_day.len() != 3 {
        return None;
    }
    let parts: Vec<&str> = date.split(' ').collect();
    let [day, month, year, clock, "GMT" | "UTC"] = parts[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let clock: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = clock[..] else {
        return None;
    };
    let two = |text: &str| digits(text, 2).and_then(|number| i8::try_from(number).ok());
    let time = jiff::civil::DateTime::new(
        digits(year, 4)?,
        i8::try_from(month + 1).ok()?,
        two(day)?,
        two(hour)?,
        two(minute)?,
        two(second)?,
        0,
    );
    let time = jiff::tz::Offset::UTC.to_timestamp(time.ok()?).ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn digits(text: &str, count: usize) -> Option<i16> {
    let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// The time as `Date` has it. A part of a second is cut off.
#[must_use]
pub fn format_date(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(whole_second(time).as_millis())
        .unwrap_or_default()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOMENT: Timestamp = Timestamp::from_millis(784_111_777_000);

    #[test]
    fn a_date_ends_with_gmt_or_utc() {
        for end in ["GMT", "UTC"] {
            let text = format!("Sun, 06 Nov 1994 08:49:37 {end}");
            assert_eq!(parse_date(&text), Some(MOMENT), "{text}");
        }
        assert_eq!(format_date(MOMENT), "Sun, 06 Nov 1994 08:49:37 GMT");
        for text in [
            "",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 99999 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_millis(MOMENT.as_millis() + seconds * 1000)
    }

    #[test]
    fn only_what_changed_strictly_after_is_sent() {
        let header = format_date(after(0));
        let ask = |changed| answer(Some(&header), changed, after(100));
        assert_eq!(ask(after(-1)), Answer::NotModified);
        assert_eq!(ask(after(0)), Answer::NotModified);
        assert_eq!(ask(after(1)), Answer::Modified { date: after(1) });
        let first = answer(None, after(1), after(100));
        assert_eq!(first, Answer::Modified { date: after(1) });
        let nonsense = answer(Some("yesterday"), after(1), after(100));
        assert_eq!(nonsense, Answer::Modified { date: after(1) });
    }

    #[test]
    fn a_clock_that_was_ahead_leaves_no_device_behind() {
        let header = format_date(after(86_400));
        let asked = answer(Some(&header), after(5), after(100));
        assert_eq!(asked, Answer::Modified { date: after(5) });
        let changed_in_the_future = answer(None, after(86_400), after(100));
        assert_eq!(changed_in_the_future, Answer::Modified { date: after(99) });
    }

    proptest! {
        #[test]
        fn every_date_is_read_as_it_is_written(millis in -62_000_000_000_000_i64..250_000_000_000_000) {
            let time = Timestamp::from_millis(millis);
            prop_assert_eq!(parse_date(&format_date(time)), Some(whole_second(time)));
        }

        /// A device and changes at any times, several in one second too: after its last request the device has the last
        /// config, and when nothing changes any more it is soon told so.
        #[test]
        fn no_change_is_missed(
            mut changes in proptest::collection::vec(0..6_000_i64, 1..8),
            mut asks in proptest::collection::vec(0..6_000_i64, 0..8),
        ) {
            changes.sort_unstable();
            asks.sort_unstable();
            asks.extend([8_000, 10_000]);
            let mut header: Option<String> = None;
            let (mut has, mut answers) = (None, Vec::new());
            for ask in asks {
                let Some(newest) = changes.iter().rposition(|change| *change <= ask) else {
                    continue;
                };
                let time = |millis: i64| Timestamp::from_millis(MOMENT.as_millis() + millis);
                let given = answer(header.as_deref(), time(changes[newest]), time(ask));
                if let Answer::Modified { date } = given {
                    header = Some(format_date(date));
                    has = Some(newest);
                }
                prop_assert_eq!(has, Some(newest));
                answers.push(given);
            }
            prop_assert_eq!(answers.last(), Some(&Answer::NotModified));
        }
    }
}
