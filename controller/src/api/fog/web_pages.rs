//! Paths under `/fog` that are web pages on a FOG server and no routes of its API: they need no
//! log-in. One of them is served, because clients ask it which dialect they speak.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;

use super::answer;
use super::path::{self, Route};

/// The version of FOG whose dialect this is. Clients speak that of 1.6, which has other routes,
/// when they are told a version from 1.6 on.
const VERSION: &str = "1.5.8";
/// The version of FOG's client for installed machines that belongs to it.
const CLIENT_VERSION: &str = "0.11.19";

/// The answer to a request for a page; `None` for a request to the API.
pub(super) fn answer(method: &Method, uri: &Uri) -> Option<Response> {
    match path::parse(method, uri.path())? {
        Route::Version => Some(version(uri)),
        Route::Page => Some(absent(uri.path())),
        _ => None,
    }
}

fn version(uri: &Uri) -> Response {
    let asks_for = |name: &str| {
        uri.query()
            .unwrap_or_default()
            .split('&')
            .any(|pair| pair.split('=').next() == Some(name))
    };
    if asks_for("url") {
        let text = "Foghorn does not ask other servers for their version: leave out `url`";
        return answer::problem(StatusCode::NOT_FOUND, text);
    }
    let text = if asks_for("clientver") || asks_for("client") {
        CLIENT_VERSION
    } else {
        VERSION
    };
    let mut response = answer::ok(text);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn absent(path: &str) -> Response {
    let text = format!(
        "there is no page {path}: Foghorn serves FOG's API, and neither FOG's web pages nor its \
         client for installed machines nor its boot environment"
    );
    answer::problem(StatusCode::NOT_FOUND, &text)
}
