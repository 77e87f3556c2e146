//! How fast something may be done, by the time of the day: `22:00-06:00 unlimited, else 50m`.

use std::str::FromStr;

use crate::BitRate;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Rates with the times for which they hold; the first that fits counts, and where none does there
/// is no limit.
#[derive(Clone, PartialEq, Debug)]
pub struct Timetable(Vec<Entry>);

/// What may be done at some time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Allowed {
    /// As fast as it goes.
    Unlimited,
    /// So much.
    Rate(BitRate),
    /// Nothing.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Entry {
    /// From a minute of the day up to another one, which may be of the next day; `None`: always.
    times: Option<(u16, u16)>,
    allowed: Allowed,
}

/// A text that is not a timetable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{found:?} is not part of a timetable: write times and a rate, such as `22:00-06:00 unlimited, else 50m`"
)]
pub struct ParseTimetableError {
    found: String,
}

impl Timetable {
    /// What may be moved in a second at this minute of the day; `None`: any amount.
    #[must_use]
    pub fn at(&self, minute: u16) -> Option<BitRate> {
        match self.allowed(minute) {
            Allowed::Rate(rate) => Some(rate),
            Allowed::Unlimited | Allowed::Nothing => None,
        }
    }

    /// What holds at this minute of the day.
    #[must_use]
    pub fn allowed(&self, minute: u16) -> Allowed {
        let holds = |entry: &&Entry| match entry.times {
            None => true,
            Some((from, to)) if from < to => (from..to).contains(&minute),
            Some((from, to)) => minute >= from || minute < to,
        };
        let found = self.0.iter().find(holds);
        found.map_or(Allowed::Unlimited, |entry| entry.allowed)
    }

    /// Always as fast as it goes.
    #[must_use]
    pub fn unlimited() -> Self {
        let (times, allowed) = (None, Allowed::Unlimited);
        Self(vec![Entry { times, allowed }])
    }

    /// Always the same rate.
    #[must_use]
    pub fn always(rate: BitRate) -> Self {
        let (times, allowed) = (None, Allowed::Rate(rate));
        Self(vec![Entry { times, allowed }])
    }

    /// Reads a timetable in which times may also be `off`.
    ///
    /// # Errors
    /// When the text is not one.
    pub fn with_pauses(text: &str) -> Result<Self, ParseTimetableError> {
        let entries = text.split(',').map(|part| {
            let part = part.trim();
            entry(part).ok_or_else(|| ParseTimetableError {
                found: part.to_owned(),
            })
        });
        Ok(Self(entries.collect::<Result<_, _>>()?))
    }
}

impl FromStr for Timetable {
    type Err = ParseTimetableError;

    fn from_str(text: &str) -> Result<Self, ParseTimetableError> {
        let table = Self::with_pauses(text)?;
        let mut entries = table.0.iter();
        match entries.position(|entry| entry.allowed == Allowed::Nothing) {
            None => Ok(table),
            Some(nth) => Err(ParseTimetableError {
                found: text.split(',').nth(nth).unwrap_or(text).trim().to_owned(),
            }),
        }
    }
}

fn entry(part: &str) -> Option<Entry> {
    let (times, rate) = match part.split_once(char::is_whitespace) {
        None => (None, part),
        Some(("else", rate)) => (None, rate),
        Some((times, rate)) if times.contains(':') => (Some(span(times)?), rate),
        // A rate may have a space before its unit.
        Some(_) => (None, part),
    };
    let allowed = match rate.trim() {
        "unlimited" => Allowed::Unlimited,
        "off" => Allowed::Nothing,
        text => {
            let rate: BitRate = text.parse().ok()?;
            Allowed::Rate(Some(rate).filter(|rate| rate.bytes_per_second() > 0)?)
        }
    };
    Some(Entry { times, allowed })
}

fn span(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from != to && from < DAY).then_some((from, to))
}

/// `24:00` is the end of the day.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_short = |text: &str| (1..=2).contains(&text.len());
    let (hours, minutes) = Some((hours, minutes)).filter(|(h, m)| is_short(h) && m.len() == 2)?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY).then_some(minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(table: &str, time: &str) -> Option<u64> {
        let table: Timetable = table.parse().unwrap();
        table
            .at(minute(time).unwrap())
            .map(BitRate::bytes_per_second)
    }

    #[test]
    fn the_first_that_fits_counts() {
        let table = "22:00-06:00 unlimited, 12:00-13:00 100m, else 50m";
        assert_eq!(at(table, "21:59"), Some(6_250_000));
        assert_eq!(at(table, "22:00"), None);
        assert_eq!(at(table, "0:00"), None);
        assert_eq!(at(table, "05:59"), None);
        assert_eq!(at(table, "06:00"), Some(6_250_000));
        assert_eq!(at(table, "12:30"), Some(12_500_000));
        assert_eq!(at("8m", "12:30"), Some(1_000_000));
        assert_eq!(at("8 Mbit/s", "12:30"), Some(1_000_000));
        assert_eq!(
            at("08:00-18:00 8m", "18:00"),
            None,
            "no limit where none is said"
        );
        assert_eq!(at("18:00-24:00 8m", "23:59"), Some(1_000_000));
    }

    #[test]
    fn times_may_be_off_where_that_is_meant() {
        let table = Timetable::with_pauses("22:00-06:00 400m, else off").unwrap();
        let at = |time| table.allowed(minute(time).unwrap());
        assert_eq!(at("23:00"), Allowed::Rate(BitRate::from_mbit(400)));
        assert_eq!(at("06:00"), Allowed::Nothing);
        let text = "22:00-06:00 400m, else off";
        let error = text.parse::<Timetable>().unwrap_err();
        assert_eq!(error.found, "else off");
    }

    #[test]
    fn what_is_not_a_timetable_is_refused_with_the_part_that_is_wrong() {
        for bad in [
            "",
            "50m,",
            "22:00 50m",
            "22:00-22:00 50m",
            "24:00-06:00 50m",
            "22:60-23:00 50m",
            "9:5-10:00 50m",
            "22:00-06:00",
            "else",
            "0",
            "else 0m",
            "fast",
            "else fast",
        ] {
            assert!(bad.parse::<Timetable>().is_err(), "{bad:?} was taken");
        }
        let error = "22:00-06:00 unlimited, soon 5m"
            .parse::<Timetable>()
            .unwrap_err();
        assert_eq!(error.found, "soon 5m");
    }
}
