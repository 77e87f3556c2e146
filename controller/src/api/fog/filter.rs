//! The filter that a list takes as a JSON body: stored fields by their names, all of which must
//! fit.

use serde_json::Value;

use crate::state::Refusal;
use crate::state::class::{Body, Class};
use crate::state::field::Field;
use crate::state::needle::is_like;
use crate::state::value::{FogTime, NEVER, NO_DAY, fold, is_falsy, leading_number, scalar};

/// What one field must be.
pub(super) enum Test {
    /// Zero, empty or never.
    Nothing,
    Like(String),
    /// Equal to one of these, compared as the field's type is.
    OneOf(Vec<String>),
}

/// A filter for rows of class `C`.
pub(super) struct Filter<C: Class> {
    tests: Vec<(&'static Field<C>, Test)>,
    /// Secrets are compared as they are; otherwise as the blank that is shown, so that nobody
    /// guesses them letter by letter.
    secrets: bool,
}

impl<C: Class> Filter<C> {
    /// Names that are no stored fields of the class, nulls, objects, and the fields in `without`
    /// are ignored.
    pub(super) fn new(body: &Body, without: &[&str], secrets: bool) -> Self {
        let wanted = C::FIELDS
            .iter()
            .filter(|field| !without.contains(&field.name));
        let tests = wanted
            .filter_map(|field| {
                body.get(field.name)
                    .and_then(test)
                    .map(|test| (field, test))
            })
            .collect();
        Self { tests, secrets }
    }

    /// Refuses what [`Filter::new`] ignores, and numbers that are none.
    ///
    /// # Errors
    /// [`Refusal::Selector`] with the first member that means nothing.
    pub(super) fn check(body: &Body) -> Result<(), Refusal> {
        for (name, value) in body {
            let refuse = |why: String| Refusal::Selector {
                name: name.clone(),
                why,
            };
            let Some(field) = C::FIELDS.iter().find(|field| field.name == name) else {
                let class = C::NAME;
                return Err(refuse(format!(
                    "a {class} has no such field; nothing was changed"
                )));
            };
            check_value(value, field.is_number())
                .map_err(|why| refuse(format!("{why}; nothing was changed")))?;
        }
        Ok(())
    }

    /// Whether it lets everything through.
    pub(super) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    pub(super) fn fits(&self, row: &C) -> bool {
        self.tests.iter().all(|(field, test)| {
            let value = if !self.secrets && field.hides(row) {
                "".into()
            } else {
                field.show(row)
            };
            test.fits(&value, field.is_number(), field.is_time())
        })
    }
}

fn check_value(value: &Value, is_number: bool) -> Result<(), String> {
    let values = match value {
        Value::Array(items) => items.iter().collect(),
        value => vec![value],
    };
    for value in values {
        let text = match value {
            Value::Null | Value::Object(_) | Value::Array(_) => None,
            value => scalar(value).ok().flatten(),
        };
        let Some(text) = text else {
            return Err(format!("{value} is no value to look for"));
        };
        let is_exact = text.contains('%') || is_falsy(value) || text.parse::<i64>().is_ok();
        if is_number && !is_exact {
            return Err(format!("{value} is not a whole number"));
        }
    }
    Ok(())
}

impl Test {
    /// Whether a value, as it is on the wire, is what it must be.
    pub(super) fn fits(&self, value: &str, is_number: bool, is_time: bool) -> bool {
        match self {
            Self::Nothing => {
                value.is_empty()
                    || value == NEVER
                    || value == NO_DAY
                    || (is_number && leading_number(value) == 0)
                    || value == "0"
            }
            Self::Like(pattern) => is_like(value, pattern),
            Self::OneOf(texts) => texts
                .iter()
                .any(|text| equal(value, text, is_number, is_time)),
        }
    }
}

/// The test that a value of a filter stands for; `None` for what is ignored.
pub(super) fn test(value: &Value) -> Option<Test> {
    match value {
        Value::Null | Value::Object(_) => None,
        value if is_falsy(value) => Some(Test::Nothing),
        Value::String(text) if text.contains('%') => Some(Test::Like(text.clone())),
        Value::Array(items) => Some(Test::OneOf(
            items
                .iter()
                .filter_map(|item| scalar(item).ok().flatten())
                .map(|text| text.into_owned())
                .collect(),
        )),
        value => scalar(value)
            .ok()
            .flatten()
            .map(|text| Test::OneOf(vec![text.into_owned()])),
    }
}

fn equal(value: &str, text: &str, is_number: bool, is_time: bool) -> bool {
    if is_number {
        leading_number(value) == leading_number(text)
    } else if is_time {
        value == FogTime::read(text).text()
    } else {
        fold(value) == fold(text)
    }
}
