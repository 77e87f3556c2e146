//! The file of a snapin as it is sent over HTTP: to operators, and to hosts that run it.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use data_encoding::{BASE64, HEXLOWER};
use foghorn_types::SnapinId;

use super::{DownloadError, download};
use crate::ctx::Ctx;

/// Streams the file, with its SHA-512 as `ETag` and in `Repr-Digest`. The length is known, so a stream that is
/// cut off is noticed by whoever reads it.
///
/// # Errors
/// See [`DownloadError`].
pub(crate) async fn answer(ctx: &Ctx, id: SnapinId) -> Result<Response, DownloadError> {
    let (record, _name, parts) = download(ctx, id).await?;
    let mut response = Body::from_stream(parts).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(record.size.bytes()),
    );
    let sha = HEXLOWER
        .decode(record.sha512.as_bytes())
        .unwrap_or_default();
    for (name, value) in [
        (header::ETAG, format!("\"{}\"", record.sha512)),
        (
            HeaderName::from_static("repr-digest"),
            format!("sha-512=:{}:", BASE64.encode(&sha)),
        ),
    ] {
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    }
    Ok(response)
}
