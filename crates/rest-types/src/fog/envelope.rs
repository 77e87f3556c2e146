//! What is around the objects: the list envelope `{"count": n, "hosts": […]}` and the error body.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A class of the FOG dialect.
pub trait FogObject: DeserializeOwned {
    /// Name of the class in the path, and with an `s` in the list envelope.
    const CLASS: &'static str;
    /// What people call it.
    const NOUN: &'static str;
    /// Id of the object.
    fn number(&self) -> u32;
    /// Empty for classes whose objects have no name.
    fn name(&self) -> &str;
}

/// One object: as it was sent, and as we read it.
#[derive(Clone, Debug)]
pub struct Row<T> {
    pub raw: Value,
    pub view: T,
}

/// `{"error": "…"}`, the body of most refusals.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct ErrorBody {
    pub error: String,
    /// The field that is at fault, where the server says so.
    #[serde(default)]
    pub field: Option<String>,
}

/// An answer that is not what the class promises.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ReadListError {
    #[error("the answer has no list {0:?}")]
    NoList(String),
    #[error("a {class} in the answer cannot be read")]
    Object {
        class: &'static str,
        source: serde_json::Error,
    },
}

/// Reads one object.
///
/// # Errors
/// When a field that we need is missing or does not hold what it should.
pub fn read_one<T: FogObject>(raw: Value) -> Result<Row<T>, ReadListError> {
    let view = T::deserialize(&raw).map_err(|source| ReadListError::Object {
        class: T::CLASS,
        source,
    })?;
    Ok(Row { raw, view })
}

/// Reads a list envelope.
///
/// # Errors
/// As [`read_one`], and when the list is not there.
pub fn read_list<T: FogObject>(mut body: Value) -> Result<Vec<Row<T>>, ReadListError> {
    let key = format!("{}s", T::CLASS);
    match body.get_mut(&key).map(Value::take) {
        Some(Value::Array(rows)) => rows.into_iter().map(read_one).collect(),
        _ => Err(ReadListError::NoList(key)),
    }
}
