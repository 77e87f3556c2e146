//! Swagger UI: its files come with the program, nothing is loaded from elsewhere.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use tracing::error;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

const INDEX: &str = include_str!("pages/index.html");
const START: &str = include_str!("pages/start.js");

/// Files of Swagger UI that the page loads, with their types.
const FILES: &[(&str, &str)] = &[
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("favicon-32x32.png", "image/png"),
];

/// Scripts, styles and requests of this server only. Swagger UI sets styles on its elements and has its icons as data.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name → contents, unpacked at first use.
static UNPACKED: LazyLock<HashMap<&'static str, Bytes>> = LazyLock::new(|| match unpack() {
    Ok(files) => files,
    Err(error) => {
        error!(error = &error as &dyn std::error::Error, "the files of the pages under /docs cannot be unpacked");
        HashMap::new()
    }
});

fn unpack() -> zip::result::ZipResult<HashMap<&'static str, Bytes>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let names: Vec<String> =
        archive.file_names().map(|name| name.map(|name| name.into_owned())).collect::<Result<_, _>>()?;
    let mut files = HashMap::new();
    for (file, _) in FILES {
        let ending = format!("/dist/{file}");
        let Some(name) = names.iter().find(|name| name.ends_with(&ending) && name.matches('/').count() == 2) else {
            continue;
        };
        let mut contents = Vec::new();
        archive.by_name(name)?.read_to_end(&mut contents)?;
        files.insert(*file, Bytes::from(contents));
    }
    Ok(files)
}

/// Links in the page are relative, so it has to be under a folder.
pub(super) async fn front() -> Redirect {
    Redirect::permanent("docs/")
}

pub(super) async fn index() -> Response {
    page("text/html; charset=utf-8", INDEX.into())
}

pub(super) async fn file(Path(name): Path<String>) -> Response {
    if name == "start.js" {
        return page("text/javascript; charset=utf-8", START.into());
    }
    let Some((file, kind)) = FILES.iter().find(|(file, _)| *file == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let unpacked = tokio::task::spawn_blocking(|| UNPACKED.get(file).cloned()).await;
    match unpacked {
        Ok(Some(contents)) => page(kind, contents),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
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
        let files = unpack().unwrap();
        for (file, _) in FILES {
            assert!(files.get(file).is_some_and(|contents| !contents.is_empty()), "{file}");
        }
        for linked in INDEX.split('"').filter_map(|text| text.strip_prefix("./")) {
            assert!(linked == "start.js" || FILES.iter().any(|(file, _)| *file == linked), "{linked}");
        }
    }
}
