//! Converts JSON to values of a script and back.

use rhai::{Dynamic, Map};
use serde_json::{Number, Value};

/// Deeper values are not accepted from a script: answers of the API are far less deep.
const MOST_DEPTH: usize = 24;

/// The result of a script cannot be converted to JSON.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NotJson {
    #[error("a value of type {0} cannot be converted to JSON")]
    Type(String),
    #[error("a number that is not finite cannot be converted to JSON")]
    NotFinite,
    #[error("a value is nested more than {MOST_DEPTH} levels deep")]
    TooDeep,
}

pub(super) fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(yes) => (*yes).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) => float.into(),
            (None, None) => Dynamic::UNIT,
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(to_dynamic).collect::<rhai::Array>().into(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.as_str().into(), to_dynamic(value)))
            .collect::<Map>()
            .into(),
    }
}

/// `before` is what the value was: members of an object stay in its order, new ones follow.
///
/// # Errors
/// [`NotJson`].
pub(super) fn to_json(value: Dynamic, before: Option<&Value>) -> Result<Value, NotJson> {
    to_json_at(value, before, 0)
}

fn to_json_at(value: Dynamic, before: Option<&Value>, depth: usize) -> Result<Value, NotJson> {
    if depth > MOST_DEPTH {
        return Err(NotJson::TooDeep);
    }
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(yes) = value.as_bool() {
        return Ok(Value::Bool(yes));
    }
    if let Ok(number) = value.as_int() {
        return Ok(Value::Number(number.into()));
    }
    if let Ok(number) = value.as_float() {
        return Number::from_f64(number)
            .map(Value::Number)
            .ok_or(NotJson::NotFinite);
    }
    if let Ok(letter) = value.as_char() {
        return Ok(Value::String(letter.to_string()));
    }
    if value.is_string() {
        return value
            .into_string()
            .map(Value::String)
            .map_err(|kind| NotJson::Type(kind.to_owned()));
    }
    if value.is_array() {
        let items = value
            .into_array()
            .map_err(|kind| NotJson::Type(kind.to_owned()))?;
        let old = before.and_then(Value::as_array);
        let item = |(place, item)| to_json_at(item, old.and_then(|old| old.get(place)), depth + 1);
        return items.into_iter().enumerate().map(item).collect();
    }
    let kind = value.type_name().to_owned();
    let mut members: Map = value.try_cast().ok_or(NotJson::Type(kind))?;
    let mut object = serde_json::Map::new();
    for (name, old) in before.and_then(Value::as_object).into_iter().flatten() {
        if let Some(value) = members.remove(name.as_str()) {
            object.insert(name.clone(), to_json_at(value, Some(old), depth + 1)?);
        }
    }
    for (name, value) in members {
        object.insert(name.to_string(), to_json_at(value, None, depth + 1)?);
    }
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_come_back_as_they_went_and_in_their_order() {
        let value =
            json!({"z": "1", "a": [1, 2.5, null, true, {"y": "ä", "b": "\u{1F600}"}], "m": {}});
        let back = to_json(to_dynamic(&value), Some(&value)).unwrap();
        assert_eq!(back.to_string(), value.to_string());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert_eq!(to_json(f64::NAN.into(), None), Err(NotJson::NotFinite));
        assert!(matches!(
            to_json(Dynamic::from(1_u8), None),
            Err(NotJson::Type(_))
        ));
        let deep = (0..40).fold(Dynamic::from(1_i64), |inner, _| vec![inner].into());
        assert_eq!(to_json(deep, None), Err(NotJson::TooDeep));
    }
}
