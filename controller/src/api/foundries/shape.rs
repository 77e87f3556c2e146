//! Refusals in the form of this dialect, also those that are made before or around its handlers.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::not_served;

/// Refusals of others are short texts.
const LONGEST: usize = 64 << 10;

/// A refusal.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in crate::api) struct FactoryError {
    /// What is wrong.
    pub(super) message: String,
    /// Why, by the field or the parameter at fault; may be empty.
    pub(super) errors: BTreeMap<String, String>,
}

/// Marks an answer that has the form already.
#[derive(Clone, Copy)]
struct Shaped;

/// A refusal as it is sent.
pub(super) fn answer(status: StatusCode, error: FactoryError) -> Response {
    let mut response = (status, Json(error)).into_response();
    response.extensions_mut().insert(Shaped);
    response
}

/// Around everything that answers a request.
pub(in crate::api) async fn shape(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path != "/ota" && !path.starts_with("/ota/") {
        return next.run(request).await;
    }
    let (method, path) = (request.method().clone(), path.to_owned());
    let response = next.run(request).await;
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    if !is_refusal || response.extensions().get::<Shaped>().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let said = to_bytes(body, LONGEST).await.unwrap_or_default();
    let (status, error) = reshaped(status, &said, &method, &path);
    let mut shaped = answer(status, error);
    for (name, value) in &parts.headers {
        let is_of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name);
        if !is_of_body {
            shaped.headers_mut().append(name.clone(), value.clone());
        }
    }
    shaped.extensions_mut().extend(parts.extensions);
    shaped
}

/// What others say of a refusal, in our form. Nothing stands for a path or a method that is not there.
fn reshaped(
    status: StatusCode,
    said: &Bytes,
    method: &Method,
    path: &str,
) -> (StatusCode, FactoryError) {
    let plain = |message: &str| FactoryError {
        message: message.to_owned(),
        errors: BTreeMap::new(),
    };
    let is_nowhere = matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    );
    if is_nowhere && said.is_empty() {
        return match (not_served::why(method, path), status) {
            (Some(why), _) => (StatusCode::NOT_IMPLEMENTED, plain(why)),
            (None, StatusCode::NOT_FOUND) => (status, plain("there is nothing at this path")),
            (None, _) => (status, plain("this path does not take this method")),
        };
    }
    let problem = serde_json::from_slice::<Value>(said).unwrap_or_default();
    let text = problem["error"]
        .as_str()
        .or_else(|| std::str::from_utf8(said).ok())
        .filter(|text| !text.trim().is_empty());
    let reason = status.canonical_reason().unwrap_or("the request failed");
    let mut error = plain(text.unwrap_or(reason));
    if let Some(field) = problem["field"].as_str() {
        error.errors.insert(field.to_owned(), error.message.clone());
    }
    (status, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, said: &'static str, method: Method, path: &str) -> (u16, FactoryError) {
        let status = StatusCode::from_u16(status).unwrap();
        let said = Bytes::from_static(said.as_bytes());
        let (status, error) = reshaped(status, &said, &method, path);
        (status.as_u16(), error)
    }

    #[test]
    fn words_of_others_are_kept() {
        let problem = r#"{"error":"no room","field":"dry_run"}"#;
        let (status, error) = of(429, problem, Method::GET, "/ota/devices/");
        assert_eq!((status, error.message.as_str()), (429, "no room"));
        assert_eq!(error.errors["dry_run"], "no room");
        let (status, error) = of(415, "", Method::POST, "/ota/devices/");
        assert_eq!(
            (status, error.message.as_str()),
            (415, "Unsupported Media Type")
        );
        let (_, error) = of(400, "Invalid URL", Method::GET, "/ota/devices/%ff/");
        assert_eq!(error.message, "Invalid URL");
    }

    #[test]
    fn what_is_left_out_is_told_from_what_does_not_exist() {
        let (status, error) = of(404, "", Method::GET, "/ota/factories/lab/waves/");
        assert_eq!(status, 501, "{error:?}");
        let (status, _) = of(405, "", Method::POST, "/ota/factories/lab/targets/");
        assert_eq!(status, 501);
        assert_eq!(of(404, "", Method::GET, "/ota/nowhere/").0, 404);
        assert_eq!(of(405, "", Method::PUT, "/ota/factories/").0, 405);
        let (status, error) = of(404, r#"{"error":"x"}"#, Method::GET, "/ota/repo/lab/");
        assert_eq!((status, error.message.as_str()), (404, "x"));
    }
}
