//! The API described: OpenAPI 3.1 at `/openapi.json` and 3.0 at `/openapi-3.0.json`, made from the
//! declarations of the classes, of the routes and of their bodies, and pages to read and try it
//! under `/docs`. The FoundriesFactory dialect, where it is served, is a document of its own at
//! `/openapi-factory.json`. They hold no data and need no credentials.

mod classes;
mod document;
mod factory;
mod fog;
mod legacy;
mod native;
mod operation;
mod pages;
mod schemas;
mod tags;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use foghorn_types::chain;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::task::JoinError;
use tracing::error;

use super::routes::{Declared as DeclaredRoute, Routes, get};
use crate::ctx::Ctx;
use crate::state::dynamic::Declared;

/// Every route of this module. They hold no data of the fleet.
pub(super) fn routes() -> Routes<Arc<Book>> {
    Routes::new()
        .add(get("/openapi.json", document).open().not_described())
        .add(
            get("/openapi-3.0.json", legacy_document)
                .open()
                .not_described(),
        )
        .add(
            get("/openapi-factory.json", factory_document)
                .open()
                .not_described(),
        )
        .add(get("/", pages::root).open().not_described())
        .add(get("/docs", pages::front).open().not_described())
        .add(get("/docs/", pages::index).open().not_described())
        .add(get("/docs/{*rest}", pages::file).open().not_described())
}

/// The documents, and what they are made of.
pub(super) struct Book {
    ctx: Arc<Ctx>,
    /// The native routes.
    routes: Vec<DeclaredRoute>,
    made: ArcSwapOption<Documents>,
    /// That of the FoundriesFactory dialect; `None` where that is not served. It never changes.
    factory: Option<Rendered>,
    /// Held while the documents are made: it takes much memory, and many may ask at once.
    turn: Arc<Mutex<()>>,
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
    pub(super) fn new(
        ctx: Arc<Ctx>,
        routes: Vec<DeclaredRoute>,
        factory: Vec<DeclaredRoute>,
    ) -> Self {
        Self {
            ctx,
            routes,
            made: ArcSwapOption::empty(),
            factory: match factory.is_empty() {
                true => None,
                false => Some(rendered(&factory::build(&factory))),
            },
            turn: Arc::default(),
        }
    }

    /// Whether the FoundriesFactory dialect is served.
    fn has_factory(&self) -> bool {
        self.factory.is_some()
    }

    /// The documents if they have been made and the plugins' classes are still the same.
    fn made(&self) -> Option<Arc<Documents>> {
        let declared = self.ctx.state.declared();
        let made = self.made.load_full();
        made.filter(|made| Arc::ptr_eq(&made.declared, &declared))
    }

    /// The documents as they are now. Making them takes long enough to keep it off the threads that
    /// serve others.
    async fn open(self: Arc<Self>) -> Result<Arc<Documents>, JoinError> {
        if let Some(made) = self.made() {
            return Ok(made);
        }
        // Held by the thread, so that callers who go away do not start a second one.
        let turn = self.turn.clone().lock_owned().await;
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            self.made().unwrap_or_else(|| self.make())
        })
        .await
    }

    fn make(&self) -> Arc<Documents> {
        let declared = self.ctx.state.declared();
        let document = document::build(&super::fog::schemas(&self.ctx.state), &self.routes);
        let legacy = rendered(&legacy::rewrite(&document));
        let made = Arc::new(Documents {
            declared,
            legacy,
            current: rendered(&document),
        });
        self.made.store(Some(made.clone()));
        made
    }
}

fn rendered(document: &serde_json::Value) -> Rendered {
    let text = document.to_string();
    let etag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..32]);
    Rendered {
        text: text.into(),
        etag: HeaderValue::from_str(&etag).expect("hexadecimal digits fit a header"),
    }
}

#[derive(Deserialize)]
struct Wanted {
    version: Option<String>,
}

async fn document(
    State(book): State<Arc<Book>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    match wanted.version.as_deref() {
        None | Some("3.1" | "3.1.0") => send(book, &headers, |documents| &documents.current).await,
        Some("3.0" | "3.0.3") => send(book, &headers, |documents| &documents.legacy).await,
        Some(_) => (StatusCode::BAD_REQUEST, "version: 3.1 and 3.0 are served").into_response(),
    }
}

async fn legacy_document(State(book): State<Arc<Book>>, headers: HeaderMap) -> Response {
    send(book, &headers, |documents| &documents.legacy).await
}

async fn factory_document(State(book): State<Arc<Book>>, headers: HeaderMap) -> Response {
    match book.factory.clone() {
        Some(rendered) => sent(rendered, &headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn send(
    book: Arc<Book>,
    headers: &HeaderMap,
    which: fn(&Documents) -> &Rendered,
) -> Response {
    let made = book.open().await;
    match made.map(|made| which(&made).clone()) {
        Ok(rendered) => sent(rendered, headers),
        Err(error) => {
            error!(error = %chain(&error), "the description of the API could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn sent(Rendered { text, etag }: Rendered, headers: &HeaderMap) -> Response {
    if headers.get(header::IF_NONE_MATCH) == Some(&etag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let json = HeaderValue::from_static("application/json");
    let revalidate = HeaderValue::from_static("no-cache");
    (
        [
            (header::CONTENT_TYPE, json),
            (header::ETAG, etag),
            (header::CACHE_CONTROL, revalidate),
        ],
        text,
    )
        .into_response()
}
