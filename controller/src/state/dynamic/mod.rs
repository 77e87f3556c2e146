//! Classes that plugins declare while the controller runs: their rows, their rules, and what ties
//! them to the other classes.
//!
//! A row says itself what it refers to and which of its values are unique. So rows stay whole while
//! nobody declares their class: deleting a host takes its rows along, guards are given back, and
//! the rows are served again when the plugin returns.

pub mod change;
mod record;
pub mod row;
pub mod rows;
pub mod spec;
mod word;

pub use row::DynamicRow;
pub use rows::{DynamicRows, DynamicTable};
pub use spec::{ClassSpec, Declared, FieldSpec, Kind, MemberSpec, WhenGone};
pub use word::{TooManyWords, word};
