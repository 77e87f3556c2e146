//! Foghorn's own objects, read from its native routes: typed for people, and as the server sent
//! them for programs, which may know members that this program does not.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure};

/// Objects that the server gives in one answer.
const PAGE: usize = 1000;

/// One object.
#[derive(Clone, Debug)]
pub struct Native<T> {
    pub view: T,
    pub raw: Value,
}

/// What of a collection is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Parameters of the query.
    pub filters: Vec<(&'static str, String)>,
    /// So many objects at most.
    pub limit: Option<usize>,
}

impl Wanted {
    /// Adds a filter, if there is one.
    #[must_use]
    pub fn only(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.filters
            .extend(value.map(|value| (name, value.to_string())));
        self
    }
}

/// The object with this number in a collection such as `hosts`.
///
/// # Errors
/// As the server answers.
pub fn one<T: DeserializeOwned>(
    api: &Api,
    collection: &str,
    id: u32,
) -> Result<Native<T>, ApiError> {
    at(api, &format!("/foghorn/v1/{collection}/{id}"))
}

/// The object under this path.
///
/// # Errors
/// As the server answers.
pub fn at<T: DeserializeOwned>(api: &Api, path: &str) -> Result<Native<T>, ApiError> {
    read(api.get(path)?)
}

/// The objects of a collection, page by page.
///
/// # Errors
/// As the server answers.
pub fn list<T: DeserializeOwned>(
    api: &Api,
    collection: &str,
    wanted: &Wanted,
) -> Result<Vec<Native<T>>, ApiError> {
    listed(api, (collection, collection), wanted)
}

/// As [`list`], of a collection whose answers have the objects under another name.
///
/// # Errors
/// As the server answers.
pub fn listed<T: DeserializeOwned>(
    api: &Api,
    (collection, member): (&str, &str),
    wanted: &Wanted,
) -> Result<Vec<Native<T>>, ApiError> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let rest = wanted
            .limit
            .map_or(PAGE, |most| most - found.len())
            .min(PAGE);
        let path = path(collection, wanted, rest, after.as_deref());
        let mut page: Value = api.get(&path)?;
        let mut items = page.get_mut(member).map(Value::take);
        for item in items.iter_mut().filter_map(Value::as_array_mut).flatten() {
            found.push(read(item.take())?);
        }
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() || wanted.limit.is_some_and(|most| found.len() >= most) {
            return Ok(found);
        }
    }
}

fn path(collection: &str, wanted: &Wanted, limit: usize, after: Option<&str>) -> String {
    let mut path = format!("/foghorn/v1/{collection}?limit={limit}");
    let filters = wanted
        .filters
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    for (name, value) in filters.chain(after.map(|after| ("after", after))) {
        path.push_str(&format!("&{name}={}", encoded(value)));
    }
    path
}

fn read<T: DeserializeOwned>(raw: Value) -> Result<Native<T>, ApiError> {
    match serde_json::from_value(raw.clone()) {
        Ok(view) => Ok(Native { view, raw }),
        Err(source) => Err(ApiError::Answer {
            source: source.into(),
        }),
    }
}

/// What to say of an object that was there a moment ago.
#[must_use]
pub fn gone(noun: &str, name: &str, error: ApiError) -> Failure {
    match error {
        ApiError::NotFound(_) => Failure::new(
            Exit::NotFound,
            format!("the {noun} {name} does not exist any more"),
        ),
        error => error.into(),
    }
}

/// Percent-encodes characters that are not allowed in a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_the_filters_and_the_place_to_continue() {
        let wanted = Wanted::default()
            .only("group", Some(7))
            .only("image", None::<u32>);
        assert_eq!(
            path("hosts", &wanted, 5, Some("Lab & PC")),
            "/foghorn/v1/hosts?limit=5&group=7&after=Lab%20%26%20PC"
        );
    }
}
