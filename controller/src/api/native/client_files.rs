//! The client for download, for machines that have none yet. No credentials: it is the same file
//! for everybody, and whoever downloads it checks its hash or its signature.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use foghorn_types::chain;

use super::error::Refused;
use crate::api::routes::{Routes, get};
use crate::ctx::Ctx;
use crate::downloads::{Download, DownloadError};

/// The certificate of the authority, whose key signs.
const AUTHORITY: &str = "ca.pem";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new().add(
        get("/client/{file}", file)
            .open()
            .named("clients", "client_file", "Download the client")
            .about(
                "foghorn-client-x86_64 is the program, which needs no libraries; with .sha256 its SHA-256 as sha256sum writes \
                 it, with .sig the signature of those bytes by the key of the certificate authority (ECDSA, SHA-256, DER), \
                 whose certificate is ca.pem.",
            )
            .path::<String>("file", "Name of the file.")
            .gives_file("The content; of the program with its SHA-256 as `ETag`.")
            .gives_nothing(304, "The program is the one of `If-None-Match`.")
            .refuses(&[404, 500, 503]),
    )
}

async fn file(
    State(ctx): State<Arc<Ctx>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    if file == AUTHORITY {
        return Ok(text(ctx.trust.ca_pem().to_owned()));
    }
    if let Some(name) = file.strip_suffix(".sha256") {
        return Ok(text(checksum(name, &ctx.downloads.find(name).await?)));
    }
    if let Some(name) = file.strip_suffix(".sig") {
        let signed = checksum(name, &ctx.downloads.find(name).await?);
        let signature = ctx.trust.sign_text(signed.as_bytes()).map_err(|error| {
            tracing::error!(error = %chain(&error), "could not sign the client");
            Refused::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the controller could not sign the client; see its log",
            )
        })?;
        return Ok(content(Body::from(signature)));
    }
    let found = ctx.downloads.find(&file).await?;
    let tag = format!("\"{}\"", found.sha256);
    if is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let size = found.size;
    let mut response = content(Body::from_stream(ctx.downloads.send(found)?));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    let tag = HeaderValue::try_from(tag).ok();
    headers.extend(tag.map(|tag| (header::ETAG, tag)));
    Ok(response)
}

/// As `sha256sum` writes and reads it.
fn checksum(name: &str, found: &Download) -> String {
    format!("{}  {name}\n", found.sha256)
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag)
}

fn text(text: String) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn content(body: Body) -> Response {
    let kind = HeaderValue::from_static("application/octet-stream");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

impl From<DownloadError> for Refused {
    fn from(error: DownloadError) -> Self {
        let text = chain(&error).to_string();
        match error {
            DownloadError::BadName | DownloadError::Missing { .. } => {
                Self::new(StatusCode::NOT_FOUND, text)
            }
            DownloadError::Read { .. } => {
                tracing::error!(error = text, "could not offer the client for download");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the controller could not read the client; see its log",
                )
            }
            DownloadError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, text),
        }
    }
}
