//! When machines may be imaged without anybody asking: days of the week and times of the day.

use std::fmt;
use std::str::FromStr;

use foghorn_types::Timestamp;
use jiff::tz::TimeZone;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// As they are written, the first day of a week first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Stands for all of them.
const DAILY: &str = "daily";

/// Days and times, such as `mon-fri 22:00-05:00`. What goes past midnight belongs to the day on which
/// it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    days: [bool; 7],
    /// Minute of the day.
    from: u16,
    /// Minute of the day, up to 24:00; of the next day unless it is after `from`.
    to: u16,
}

/// A text that is not a window.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no window: write days and times, such as `mon-fri 22:00-05:00` or `daily 01:00-04:30`"
)]
pub struct ParseWindowError(String);

impl Window {
    /// Whether it is open at this moment, by the clocks of the zone.
    #[must_use]
    pub fn is_open(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let Ok(time) = jiff::Timestamp::from_millisecond(now.as_millis()) else {
            return false;
        };
        let local = time.to_zoned(zone.clone());
        let day = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
        self.holds(day, local.hour() as u16 * 60 + local.minute() as u16)
    }

    /// The same, by the day of the week from 0, which is Monday, and the minute of the day.
    fn holds(&self, day: usize, minute: u16) -> bool {
        let (today, yesterday) = (self.days[day % 7], self.days[(day + 6) % 7]);
        if self.from < self.to {
            return today && (self.from..self.to).contains(&minute);
        }
        (today && minute >= self.from) || (yesterday && minute < self.to)
    }
}

impl FromStr for Window {
    type Err = ParseWindowError;

    fn from_str(text: &str) -> Result<Self, ParseWindowError> {
        read(text).ok_or_else(|| ParseWindowError(text.chars().take(64).collect()))
    }
}

fn read(text: &str) -> Option<Window> {
    let mut words = text.split_whitespace();
    let (days, times) = (words.next()?, words.next()?);
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    let days = days_in(&days.to_ascii_lowercase())?;
    let is_window = words.next().is_none() && from < DAY && from != to;
    is_window.then_some(Window { days, from, to })
}

fn days_in(text: &str) -> Option<[bool; 7]> {
    if text == DAILY {
        return Some([true; 7]);
    }
    let number = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (number(first)?, number(last)?);
        days[day] = true;
        // `sat-mon` goes past the end of a week.
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Some(days)
}

/// `24:00` is the end of the day.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = (1..=2).contains(&hours.len()) && minutes.len() == 2;
    if !is_time || !are_digits(hours) || !are_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY).then_some(minute)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days == [true; 7] {
            f.write_str(DAILY)?;
        } else {
            let days = DAYS.iter().zip(self.days).filter(|(_, is_in)| *is_in);
            let days: Vec<&str> = days.map(|(day, _)| *day).collect();
            f.write_str(&days.join(","))?;
        }
        let (from, to) = (self.from, self.to);
        write!(
            f,
            " {:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        )
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::zone;

    fn is_open(window: &str, at: &str, zone_name: &str) -> bool {
        let window: Window = window.parse().unwrap();
        let at: Timestamp = at.parse().unwrap();
        window.is_open(at, &zone::named(zone_name).unwrap())
    }

    #[test]
    fn what_goes_past_midnight_belongs_to_the_day_on_which_it_begins() {
        // The fourth of December 2026 is a Friday.
        for (at, expected) in [
            ("2026-12-04T21:59:59Z", false),
            ("2026-12-04T22:00:00Z", true),
            ("2026-12-05T04:59:59Z", true),
            ("2026-12-05T05:00:00Z", false),
            ("2026-12-05T23:00:00Z", false),
            ("2026-12-07T04:00:00Z", false),
            ("2026-12-07T22:30:00Z", true),
        ] {
            assert_eq!(is_open("mon-fri 22:00-05:00", at, "UTC"), expected, "{at}");
        }
        assert!(is_open("sat,sun 0:00-24:00", "2026-12-06T23:59:00Z", "UTC"));
        assert!(!is_open(
            "sat,sun 0:00-24:00",
            "2026-12-07T00:00:00Z",
            "UTC"
        ));
    }

    #[test]
    fn the_clocks_of_the_zone_count() {
        // One hour ahead in winter, two in summer.
        let (winter, summer) = ("2026-12-04T21:00:00Z", "2026-07-03T20:00:00Z");
        for at in [winter, summer] {
            assert!(is_open("fri 22:00-23:00", at, "Europe/Berlin"), "{at}");
            assert!(!is_open("fri 22:00-23:00", at, "UTC"), "{at}");
        }
    }

    #[test]
    fn a_window_is_written_as_it_is_read() {
        for (text, written) in [
            ("mon-wed,sat 22:00-5:00", "mon,tue,wed,sat 22:00-05:00"),
            ("Sat-Mon 0:00-24:00", "mon,sat,sun 00:00-24:00"),
            ("mon-sun 1:30-2:00", "daily 01:30-02:00"),
            ("daily  01:30-02:00", "daily 01:30-02:00"),
        ] {
            let window: Window = text.parse().unwrap();
            assert_eq!(window.to_string(), written);
            assert_eq!(written.parse(), Ok(window));
        }
        for text in [
            "",
            "mon",
            "22:00-05:00",
            "mon 22:00",
            "mon 22:00-22:00",
            "mon 24:00-02:00",
            "mon 22:00-24:01",
            "mon 22:60-23:00",
            "mon +1:00-02:00",
            "day 22:00-23:00",
            "mon- 22:00-23:00",
            "mon, 22:00-23:00",
            "mon 22:00-23:00 tue",
        ] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }
}
