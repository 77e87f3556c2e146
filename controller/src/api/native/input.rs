//! Inputs of a native request: JSON body, ids in the path, parameters of the query. A refusal names
//! the field.

use axum::extract::{self, FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::Refused;
use super::wording;

/// Maximum number of hosts in one request.
pub(super) const MOST_HOSTS: usize = 10_000;

/// A JSON body. An empty one is read as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| {
                Refused::new(rejection.status(), "the body is too large or was cut off")
            })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        // serde would also read the members from a list, by their place: no way to name a disk.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refused::new(
                StatusCode::BAD_REQUEST,
                "the body must be a JSON object",
            ));
        }
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|error| bad_json(text, &error))
    }
}

fn bad_json(text: &[u8], error: &serde_json::Error) -> Refused {
    match field_at_fault(text, error) {
        Some(field) => Refused::field(StatusCode::BAD_REQUEST, &field, wording::of_json(error)),
        None => Refused::new(
            StatusCode::BAD_REQUEST,
            format!(
                "the body is not valid JSON: see line {}, column {}",
                error.line(),
                error.column()
            ),
        ),
    }
}

/// The field that serde speaks of, or the one in whose value it stopped. Bodies here are flat
/// objects.
fn field_at_fault(text: &[u8], error: &serde_json::Error) -> Option<String> {
    if let Some(name) = wording::field(&error.to_string()) {
        return Some(name.to_owned());
    }
    // What is JSON but not a word where one is expected is an error of syntax to serde_json.
    if !error.is_data() && serde_json::from_slice::<IgnoredAny>(text).is_err() {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let before: String = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .collect();
    let end = before.len() + error.column();
    let (key, _) = text.get(..end.min(text.len()))?.rsplit_once("\":")?;
    key.rsplit('"').next().map(str::to_owned)
}

/// The id in the path.
pub(super) struct Id<T>(pub(super) T);

impl<T: std::str::FromStr + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let refuse = |text: &str| {
            Refused::field(
                StatusCode::BAD_REQUEST,
                "id",
                format!("{text:?} is not an id"),
            )
        };
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| refuse(""))?;
        text.parse().map(Self).map_err(|_| refuse(&text))
    }
}

/// The parameters of the query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refused> {
        let query = extract::Query::try_from_uri(&parts.uri);
        query
            .map(|extract::Query(members)| Self(members))
            .map_err(|rejection| bad_query(&rejection.body_text()))
    }
}

/// axum reports `what failed: parameter: why`.
fn bad_query(text: &str) -> Refused {
    let report = text.split_once(": ").map_or(text, |(_, report)| report);
    let (field, report) = match report.split_once(": ") {
        Some((field, report)) => (Some(field), report),
        None => (wording::field(report), report),
    };
    let why = wording::of_value(report);
    match field {
        Some(field) => Refused::field(StatusCode::BAD_REQUEST, field, why),
        None => Refused::new(StatusCode::BAD_REQUEST, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foghorn_proto::http::CheckInRequest;

    fn field(text: &str) -> Option<String> {
        let error =
            serde_json::from_slice::<CheckInRequest>(text.as_bytes()).expect_err("bad input");
        field_at_fault(text.as_bytes(), &error)
    }

    #[test]
    fn the_field_at_fault_is_named() {
        assert_eq!(
            field(r#"{"boot_token":"a","mac":"zz","csr_pem":""}"#).as_deref(),
            Some("mac")
        );
        assert_eq!(
            field("{\"boot_token\":\"a\",\n \"mac\": 5}").as_deref(),
            Some("mac")
        );
        assert_eq!(field(r#"{"extra":1}"#).as_deref(), Some("extra"));
        assert_eq!(
            field(r#"{"mac":"02:00:00:00:00:01"}"#).as_deref(),
            Some("boot_token")
        );
        assert_eq!(field(r#"{"mac":"#), None);
        assert_eq!(field(r#"{"mac":"a","mac":"b"}"#).as_deref(), Some("mac"));
    }
}
