//! Swagger UI: its files come with the program, nothing is loaded from elsewhere.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;

use super::Book;

const INDEX: &str = include_str!("pages/index.html");
/// The same page over the document of the FoundriesFactory dialect.
const FACTORY: &str = include_str!("pages/factory.html");
const START: &str = include_str!("pages/start.js");

/// Files of Swagger UI that the page loads, with their types and contents. `build.rs` unpacks them.
const FILES: &[(&str, &str, &[u8])] = &[
    (
        "swagger-ui.css",
        "text/css; charset=utf-8",
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css")),
    ),
    (
        "swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js")),
    ),
    (
        "favicon-32x32.png",
        "image/png",
        include_bytes!(concat!(env!("OUT_DIR"), "/favicon-32x32.png")),
    ),
];

/// Scripts, styles and requests of this server only. Swagger UI sets styles on its elements and has
/// its icons as data.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Leads people to the description. Programs get what they get at any path that does not exist: some
/// look at `/` to learn what kind of server this is.
pub(super) async fn root(headers: HeaderMap) -> Response {
    if !is_browser(&headers) {
        return StatusCode::NOT_FOUND.into_response();
    }
    (StatusCode::FOUND, [(header::LOCATION, "/docs/")]).into_response()
}

/// Browsers ask for a page; programs for JSON or for anything.
fn is_browser(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| value.to_str().is_ok_and(|text| text.contains("text/html")))
}

/// Links in the page are relative, so it has to be under a folder.
pub(super) async fn front() -> Redirect {
    Redirect::permanent("docs/")
}

pub(super) async fn index() -> Response {
    page("text/html; charset=utf-8", INDEX.into())
}

pub(super) async fn file(State(book): State<Arc<Book>>, Path(name): Path<String>) -> Response {
    if name == "factory.html" && book.has_factory() {
        return page("text/html; charset=utf-8", FACTORY.into());
    }
    if name == "start.js" {
        return page("text/javascript; charset=utf-8", START.into());
    }
    match FILES.iter().find(|(file, ..)| *file == name) {
        Some((_, kind, contents)) => page(kind, Bytes::from_static(contents)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn page(kind: &'static str, contents: Bytes) -> Response {
    let fixed = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    let headers = [
        fixed(header::CONTENT_TYPE, kind),
        fixed(header::CONTENT_SECURITY_POLICY, POLICY),
        fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        fixed(header::REFERRER_POLICY, "no-referrer"),
        fixed(header::CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, contents).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_in_the_program() {
        for (file, _, contents) in FILES {
            assert!(!contents.is_empty(), "{file}");
        }
        let links = INDEX.split('"').chain(FACTORY.split('"'));
        for linked in links.filter_map(|text| text.strip_prefix("./")) {
            assert!(
                ["start.js", "factory.html", ""].contains(&linked)
                    || FILES.iter().any(|(file, ..)| *file == linked),
                "{linked}"
            );
        }
    }

    #[tokio::test]
    async fn the_root_leads_browsers_to_the_description_and_nobody_else() {
        let ask = |accept: Option<&'static str>| {
            let accept = accept.map(|text| (header::ACCEPT, HeaderValue::from_static(text)));
            root(accept.into_iter().collect())
        };
        let browser = ask(Some("text/html,application/xhtml+xml,*/*;q=0.8")).await;
        assert_eq!(browser.status(), StatusCode::FOUND);
        assert_eq!(browser.headers()[header::LOCATION], "/docs/");
        for program in [None, Some("*/*"), Some("application/json")] {
            assert_eq!(ask(program).await.status(), StatusCode::NOT_FOUND);
        }
    }
}
