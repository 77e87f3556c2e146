//! One config file as an operator gives it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::FileName;

/// A config file of one level. As JSON it is what the API shows and what is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConfigFile {
    /// Where the file is put below the folder of extracted files.
    pub name: FileName,
    /// Its content when it is `unencrypted`. Otherwise, at a device: what was encrypted for that device, as base64. At the
    /// other levels: a secret in clear, which its keeper encrypts.
    #[serde(default)]
    pub value: String,
    /// Whether `value` is no secret.
    #[serde(default)]
    pub unencrypted: bool,
    /// Program and arguments that run on the device when the file has changed or is gone; empty for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_changed: Vec<String>,
}

impl ConfigFile {
    /// What it counts towards [`LONGEST_VERSION`](crate::LONGEST_VERSION): the bytes in UTF-8 of its name, its value as it was
    /// given (base64 as base64) and of each argument of its handler. JSON around them does not count.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let handler: usize = self.on_changed.iter().map(String::len).sum();
        self.name.as_str().len() + self.value.len() + handler
    }
}

impl fmt::Debug for ConfigFile {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("name", &self.name)
            .field("unencrypted", &self.unencrypted)
            .field("on_changed", &self.on_changed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_that_of_the_api() {
        let text = r#"{"name":"a/b","value":"v","unencrypted":true,"on-changed":["/h","x"]}"#;
        let file: ConfigFile = serde_json::from_str(text).unwrap();
        assert_eq!(file.on_changed, ["/h", "x"]);
        assert_eq!(file.bytes(), 3 + 1 + 2 + 1);
        assert_eq!(serde_json::to_string(&file).unwrap(), text);
        let secret: ConfigFile = serde_json::from_str(r#"{"name":"s","value":"hidden"}"#).unwrap();
        assert!(!secret.unencrypted);
        assert_eq!(
            serde_json::to_string(&secret).unwrap(),
            r#"{"name":"s","value":"hidden","unencrypted":false}"#
        );
        assert!(!format!("{secret:?}").contains("hidden"));
    }
}
