//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The file of `--config`.
    File(PathBuf),
    /// A variable of the environment, by its name.
    Variable(String),
    /// A flag, as it is typed.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the configuration {}", path.display()),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Flag(flag) => write!(f, "the flag {flag}"),
        }
    }
}
