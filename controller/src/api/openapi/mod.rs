//! The API described: OpenAPI 3.1 at `/openapi.json` and 3.0 at `/openapi-3.0.json`, made from the declarations of the
//! classes and from the routes, and pages to read and try it under `/docs`. They hold no data and need no credentials.

mod accounts;
mod bodies;
mod classes;
mod document;
mod fog;
mod legacy;
mod multicast;
mod native;
mod operation;
mod pages;
mod schedules;
mod snapins;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use serde::Deserialize;
use tracing::error;

use crate::ctx::Ctx;
use crate::state::dynamic::Declared;

/// Every route of this module.
pub fn router(ctx: Arc<Ctx>) -> Router {
    let book = Arc::new(Book { ctx, made: ArcSwapOption::empty() });
    Router::new()
        .route("/openapi.json", get(document))
        .route("/openapi-3.0.json", get(legacy_document))
        .with_state(book)
        .route("/docs", get(pages::front))
        .route("/docs/", get(pages::index))
        .route("/docs/{*rest}", get(pages::file))
}

/// The documents, and what they are made of.
struct Book {
    ctx: Arc<Ctx>,
    made: ArcSwapOption<Documents>,
}

/// Both renderings. They change with the program, and with what plugins declare.
struct Documents {
    declared: Arc<Declared>,
    current: Rendered,
    legacy: Rendered,
}

/// A document as it is sent.
#[derive(Clone)]
struct Rendered {
    text: Bytes,
    etag: HeaderValue,
}

impl Book {
    /// The documents as they are now; made again when the plugins' classes have changed. Takes a while then.
    fn open(&self) -> Arc<Documents> {
        let declared = self.ctx.state.declared();
        if let Some(made) = self.made.load_full().filter(|made| Arc::ptr_eq(&made.declared, &declared)) {
            return made;
        }
        let document = document::build(&super::fog::schemas(&self.ctx.state));
        let legacy = rendered(&legacy::rewrite(&document));
        let made = Arc::new(Documents { declared, legacy, current: rendered(&document) });
        self.made.store(Some(made.clone()));
        made
    }
}

fn rendered(document: &serde_json::Value) -> Rendered {
    let text = document.to_string();
    let etag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..32]);
    Rendered { text: text.into(), etag: HeaderValue::from_str(&etag).expect("hexadecimal digits fit a header") }
}

#[derive(Deserialize)]
struct Wanted {
    version: Option<String>,
}

async fn document(State(book): State<Arc<Book>>, Query(wanted): Query<Wanted>, headers: HeaderMap) -> Response {
    match wanted.version.as_deref() {
        None | Some("3.1" | "3.1.0") => send(book, &headers, |documents| &documents.current).await,
        Some("3.0" | "3.0.3") => send(book, &headers, |documents| &documents.legacy).await,
        Some(_) => (StatusCode::BAD_REQUEST, "version: 3.1 and 3.0 are served").into_response(),
    }
}

async fn legacy_document(State(book): State<Arc<Book>>, headers: HeaderMap) -> Response {
    send(book, &headers, |documents| &documents.legacy).await
}

/// The first request makes the documents, which takes long enough to keep it off the threads that serve others.
async fn send(book: Arc<Book>, headers: &HeaderMap, which: fn(&Documents) -> &Rendered) -> Response {
    let made = tokio::task::spawn_blocking(move || which(&book.open()).clone()).await;
    let Rendered { text, etag } = match made {
        Ok(rendered) => rendered,
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "the description of the API could not be made");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    if headers.get(header::IF_NONE_MATCH) == Some(&etag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let json = HeaderValue::from_static("application/json");
    let revalidate = HeaderValue::from_static("no-cache");
    ([(header::CONTENT_TYPE, json), (header::ETAG, etag), (header::CACHE_CONTROL, revalidate)], text).into_response()
}
