//! The settings of a program in layers: a file, variables of the environment over it, flags over
//! both.
//!
//! The layers become one TOML table before the program's types are read from it: there is one
//! parser and one set of errors, and each error says where the value comes from ([`Layers`]). Which
//! keys there are, what they mean, and what they are unless they are set follows from the JSON
//! Schema of these types ([`Form`]), which the program also prints, as it does a sample file.

#![warn(missing_docs)]

mod error;
mod form;
mod instead;
mod key;
mod layers;
mod origin;
mod readable;
mod sample;
mod shown;
mod variables;
mod wrong_line;

pub use error::{SettingsError, WrongValue};
pub use form::{Form, Program};
pub use instead::Instead;
pub use key::Key;
pub use layers::Layers;
pub use origin::Origin;
pub use readable::readable;
pub use wrong_line::WrongLine;
