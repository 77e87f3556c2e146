//! What can be wrong with settings.

use std::io;
use std::path::PathBuf;

use crate::origin::Origin;
use crate::wrong_line::WrongLine;

/// Why the settings of a program cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file of `--config`.
    #[error("could not read the configuration {}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no TOML, has an unknown key, or a value of a wrong type; the cause says where.
    #[error("the configuration {} is not valid", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: WrongLine,
    },
    /// A variable with the prefix of the program, and no key of that name.
    #[error("the variable {name} is no setting of `{command}`")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The program.
        command: &'static str,
    },
    /// A value that its key cannot have.
    #[error("{origin} cannot be used")]
    Value {
        /// Where it is set.
        origin: Origin,
        /// What is wrong with it.
        source: WrongValue,
    },
    /// What several layers say together cannot be used, and none of them is at fault alone.
    #[error("the settings of `{command}` cannot be used")]
    Together {
        /// The program.
        command: &'static str,
        /// What is wrong.
        source: WrongValue,
    },
}

/// A key and what is wrong with its value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{key}`: {why}")]
pub struct WrongValue {
    /// Such as `rest.listen`.
    pub key: String,
    /// Such as `must be a whole number`.
    pub why: String,
}

impl SettingsError {
    /// What whoever starts the program can do about it.
    #[must_use]
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::UnknownVariable { .. } => Some(
                "correct its name or unset it: the name of a key is in capital letters, with __ \
                 between its parts; --print-default-config shows all keys",
            ),
            _ => None,
        }
    }
}
