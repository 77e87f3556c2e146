//! The values that FOG's fields have, and how loosely typed JSON becomes one of them.
//!
//! On FOG's wire every stored field is a string. A client may send a number or a boolean where a
//! string is meant, so there is one reading of JSON scalars ([`scalar`]) and each type says what it
//! makes of the text.

use std::borrow::Cow;

use foghorn_types::Timestamp;
use serde_json::Value;

/// A yes/no field, which on FOG's wire may also be neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flag {
    #[default]
    Unset,
    No,
    Yes,
}

impl Flag {
    #[must_use]
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }

    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unset => "",
            Self::No => "0",
            Self::Yes => "1",
        }
    }

    /// Reads what a client sent. FOG's database takes `2` for the second of the two values, so it
    /// is a yes.
    #[must_use]
    pub fn read(text: &str) -> Self {
        match text {
            "1" | "2" => Self::Yes,
            "0" => Self::No,
            _ => Self::Unset,
        }
    }
}

impl From<bool> for Flag {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// A point in time, to the second and in UTC, or none, which FOG writes as zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct FogTime(pub Option<Timestamp>);

/// How FOG writes "never".
pub const NEVER: &str = "0000-00-00 00:00:00";

impl FogTime {
    #[must_use]
    pub fn text(self) -> Cow<'static, str> {
        self.0
            .map_or(Cow::Borrowed(NEVER), |time| Cow::Owned(time.to_fog()))
    }

    /// Reads `YYYY-MM-DD`, `YYYY-MM-DD HH:MM:SS` and the same with `T` and a zone of `Z`. Anything
    /// else is "never".
    #[must_use]
    pub fn read(text: &str) -> Self {
        let plain = text.trim().trim_end_matches('Z');
        let time = plain
            .parse::<jiff::civil::DateTime>()
            .or_else(|_| {
                plain
                    .parse::<jiff::civil::Date>()
                    .map(|date| date.at(0, 0, 0, 0))
            })
            .and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC));
        Self(
            time.ok()
                .map(|zoned| Timestamp::from_millis(zoned.timestamp().as_millisecond())),
        )
    }
}

impl From<Timestamp> for FogTime {
    fn from(time: Timestamp) -> Self {
        Self(Some(time))
    }
}

/// A day, or none, which FOG writes as zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct FogDate(pub Option<jiff::civil::Date>);

/// How FOG writes "no day".
pub const NO_DAY: &str = "0000-00-00";

impl FogDate {
    #[must_use]
    pub fn text(self) -> Cow<'static, str> {
        self.0
            .map_or(Cow::Borrowed(NO_DAY), |day| Cow::Owned(day.to_string()))
    }

    /// Reads `YYYY-MM-DD`, alone or before a time of day. Anything else is "none".
    #[must_use]
    pub fn read(text: &str) -> Self {
        let plain = text.trim().trim_end_matches('Z');
        let day = plain
            .parse::<jiff::civil::Date>()
            .or_else(|_| plain.parse::<jiff::civil::DateTime>().map(|at| at.date()));
        Self(day.ok())
    }
}

/// A list or an object came where one value belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected one value, found a list or an object")]
pub struct NotScalar;

/// The text that FOG makes of a JSON value; `None` for `null`, which means "not sent".
///
/// # Errors
/// When the value is a list or an object.
pub fn scalar(value: &Value) -> Result<Option<Cow<'_, str>>, NotScalar> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(yes) => Ok(Some(Cow::Borrowed(if *yes { "1" } else { "" }))),
        Value::Number(number) => Ok(Some(Cow::Owned(number.to_string()))),
        Value::String(text) => Ok(Some(Cow::Borrowed(text.trim()))),
        Value::Array(_) | Value::Object(_) => Err(NotScalar),
    }
}

/// Whether FOG takes the value for "not sent" when it creates an object.
#[must_use]
pub fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

/// The number that a database makes of a text: its leading number, rounded, 0 when there is none.
#[must_use]
pub fn leading_number(text: &str) -> i64 {
    let text = text.trim_start();
    let mut seen_dot = false;
    let end = text
        .char_indices()
        .find(|&(place, c)| match c {
            '-' | '+' => place != 0,
            '.' => std::mem::replace(&mut seen_dot, true),
            _ => !c.is_ascii_digit(),
        })
        .map_or(text.len(), |(place, _)| place);
    let number = &text[..end];
    // Most are whole and must not lose digits in a float.
    number.parse::<i64>().unwrap_or_else(|_| {
        number
            .parse::<f64>()
            .map_or(0, |float| float.round() as i64)
    })
}

/// The id in a text, 0 for none. A text without any number is none, as for FOG; a number that is not
/// exactly an id (`1.9`, `1e20`, `7x`) must not name another object, so it is nothing at all.
#[must_use]
pub fn exact_id(text: &str) -> Option<u32> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if !is_number {
        return Some(0);
    }
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// The ids in a value that is a list of them, or one of them. What is no id (0, negative, text) is
/// left out.
#[must_use]
pub fn ids(value: &Value) -> Vec<u32> {
    let one = |value: &Value| {
        let text = scalar(value).ok().flatten()?;
        text.parse::<u32>().ok().filter(|&id| id != 0)
    };
    let mut found: Vec<u32> = match value {
        Value::Array(items) => items.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    };
    let mut seen = std::collections::HashSet::new();
    found.retain(|id| seen.insert(*id));
    found
}

/// Upper case: the form in which names are compared and sorted.
#[must_use]
pub fn fold(name: &str) -> String {
    name.trim().to_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dates_are_read_in_three_spellings() {
        for (text, expected) in [
            ("2026-03-04 05:06:07", "2026-03-04 05:06:07"),
            ("2026-03-04", "2026-03-04 00:00:00"),
            ("2026-03-04T05:06:07Z", "2026-03-04 05:06:07"),
            ("soon", NEVER),
            ("", NEVER),
            (NEVER, NEVER),
        ] {
            assert_eq!(FogTime::read(text).text(), expected, "{text:?}");
        }
    }

    #[test]
    fn days_are_read_with_and_without_a_time() {
        for (text, expected) in [
            ("2026-01-05", "2026-01-05"),
            ("2026-01-05 08:30:00", "2026-01-05"),
            ("soon", NO_DAY),
            (NO_DAY, NO_DAY),
        ] {
            assert_eq!(FogDate::read(text).text(), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_a_database_does() {
        for (text, expected) in [
            ("42", 42),
            ("3.7", 4),
            ("-5", -5),
            ("abc", 0),
            ("1abc", 1),
            ("", 0),
            ("1.2.3", 1),
            ("99999999999", 99_999_999_999),
        ] {
            assert_eq!(leading_number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_number_that_is_not_exactly_an_id_is_none() {
        for (text, expected) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("0", Some(0)),
            ("", Some(0)),
            ("none", Some(0)),
            ("1.9", None),
            ("1e20", None),
            ("100000000000000000000", None),
            ("7x", None),
            ("-1", None),
        ] {
            assert_eq!(exact_id(text), expected, "{text:?}");
        }
    }

    #[test]
    fn scalars_and_lists() {
        assert_eq!(scalar(&json!(true)).unwrap().unwrap(), "1");
        assert_eq!(scalar(&json!(2.75)).unwrap().unwrap(), "2.75");
        assert_eq!(scalar(&json!(null)).unwrap(), None);
        assert!(scalar(&json!(["a"])).is_err());
        assert_eq!(ids(&json!([1, "2", 0, -3, "x", 2])), [1, 2]);
        assert!(is_falsy(&json!("0")) && is_falsy(&json!([])) && !is_falsy(&json!("0.0")));
    }
}
