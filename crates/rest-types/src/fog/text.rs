//! Reading FOG's fields: a number, an id or a flag is a string there (`"7"`, `"0"`, `""`), and now
//! and then a JSON number or boolean all the same.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// A field that does not hold what its class says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadFieldError(pub String);

impl Display for ReadFieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadFieldError {}

/// The text of a scalar; `null` is empty, as FOG stores it.
fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(if flag { "1" } else { "0" }.to_owned()),
        other => Err(de::Error::custom(format!(
            "expected a plain value, found {other}"
        ))),
    }
}

/// An id that must be there.
pub(super) fn id<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    let text = scalar(deserializer)?;
    text.trim()
        .parse()
        .map_err(|error| de::Error::custom(format!("{text:?} is not an id: {error}")))
}

/// An id, where `0` and the empty text mean that there is none.
pub(super) fn id_or_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    let text = scalar(deserializer)?;
    match text.trim().trim_start_matches('0') {
        "" => Ok(None),
        digits => digits
            .parse()
            .map(Some)
            .map_err(|error| de::Error::custom(format!("{text:?} is not an id: {error}"))),
    }
}

/// A number, where the empty text is 0.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = scalar(deserializer)?;
    match text.trim() {
        "" => Ok(0),
        digits => digits
            .parse()
            .map_err(|_| de::Error::custom(format!("{text:?} is not a number"))),
    }
}

/// A flag: everything but `0` and the empty text is set.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(!matches!(scalar(deserializer)?.trim(), "" | "0" | "false"))
}

/// Text, or `None` where FOG has the empty text.
pub(super) fn text_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = scalar(deserializer)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A time as FOG writes it, where all zeros mean never.
pub(super) fn time_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(text_or_none(deserializer)?.filter(|text| !text.starts_with("0000-00-00")))
}

/// A flag as FOG takes it.
pub(super) fn write_flag<S: Serializer>(
    flag: &Option<bool>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    flag.map(|set| if set { "1" } else { "0" })
        .serialize(serializer)
}
