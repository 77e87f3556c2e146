//! Settings in the environment.

use std::ffi::OsString;

use crate::error::{SettingsError, WrongValue};
use crate::form::Form;
use crate::origin::Origin;

/// A variable that sets a key.
pub(crate) struct Variable {
    pub(crate) name: String,
    /// Of the key.
    pub(crate) path: String,
    pub(crate) value: toml::Value,
}

/// Those variables that are settings of the program, in the order of their names. An empty one
/// counts as not set, as it does for OpenTelemetry's.
///
/// # Errors
/// When one of them names no key, or has a value that its key cannot have.
pub(crate) fn read(
    form: &Form,
    all: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Variable>, SettingsError> {
    let keys = form.keys();
    let mut found = Vec::new();
    for (name, value) in all {
        // What is no text cannot begin with the prefix.
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(form.program.prefix) else {
            continue;
        };
        let key = keys.iter().find(|key| key.variable() == rest);
        let key = key.ok_or_else(|| SettingsError::UnknownVariable {
            name: name.to_owned(),
            command: form.program.command,
        })?;
        let wrong = |why: String| SettingsError::Value {
            origin: Origin::Variable(name.to_owned()),
            source: WrongValue {
                key: key.path.clone(),
                why,
            },
        };
        let text = value.to_str();
        let text = text.ok_or_else(|| wrong("is not text in UTF-8".to_owned()))?;
        if text.is_empty() {
            continue;
        }
        found.push(Variable {
            name: name.to_owned(),
            path: key.path.clone(),
            value: key.kind.value(text).map_err(wrong)?,
        });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
