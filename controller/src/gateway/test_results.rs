//! Tests that a device runs, such as remote actions: their beginning, their end, their artefacts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::door::Speaker;
use super::refused::{Refused, json, whole};
use crate::app::devices::tests::{self, Begun, TestError, Told};
use crate::ctx::Ctx;

/// What is written otherwise in a part of a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Begins {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    test_id: Option<String>,
}

/// `POST /tests`
pub(super) async fn begin(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, String), Refused> {
    let sent: Begins = json(&whole(body)?)?;
    let begun = Begun {
        name: sent.name.unwrap_or_default(),
        target: sent.target.unwrap_or_default(),
        test_id: sent.test_id.unwrap_or_default(),
    };
    let id = tests::begin(&ctx.state, device.uuid, &begun).await?;
    Ok((StatusCode::CREATED, id))
}

#[derive(Deserialize)]
struct Ends {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    details: Option<String>,
    #[serde(default)]
    artifacts: Option<Vec<String>>,
}

/// Where an artefact is to be sent.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Place {
    url: String,
    content_type: &'static str,
}

/// `PUT /tests/{id}`
pub(super) async fn end(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<BTreeMap<String, Place>>, Refused> {
    let sent: Ends = json(&whole(body)?)?;
    let told = Told {
        status: sent.status.unwrap_or_default(),
        details: sent.details.unwrap_or_default(),
        artifacts: sent.artifacts.unwrap_or_default(),
    };
    tests::tell(&ctx.state, device.uuid, &id, &told).await?;
    // As the device has called the gateway: it gets there.
    let asked = headers.get(header::HOST);
    let asked = asked.and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str());
    let host = host.or(asked).or(ctx.settings.gateway_address.as_deref());
    let host = host.unwrap_or_default();
    let id = utf8_percent_encode(&id, IN_PATH);
    let place = |name: String| {
        let part = utf8_percent_encode(&name, IN_PATH);
        let url = format!("https://{host}/tests/{id}/{part}");
        let content_type = tests::content_type(&name);
        (name, Place { url, content_type })
    };
    Ok(Json(told.artifacts.into_iter().map(place).collect()))
}

/// `PUT /tests/{id}/{artifact}`
pub(super) async fn artifact(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    Path((id, name)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refused> {
    let content = whole(body)?;
    tests::put_artifact(&ctx.state, device.uuid, (&id, &name), content).await?;
    Ok(StatusCode::OK)
}

impl From<TestError> for Refused {
    fn from(error: TestError) -> Self {
        let message = error.to_string();
        let status = match error {
            TestError::State(refusal) => return refusal.into(),
            TestError::NoName => return Self::field("name", message),
            TestError::BadName(_) | TestError::TooMany => return Self::field("artifacts", message),
            // It was deleted since the door.
            TestError::NotThere(_) => StatusCode::FORBIDDEN,
            TestError::NoTest(_) | TestError::NoArtifact { .. } => StatusCode::NOT_FOUND,
            TestError::TooLong(_) | TestError::Full(_) => StatusCode::PAYLOAD_TOO_LARGE,
            TestError::AllFull => StatusCode::INSUFFICIENT_STORAGE,
            TestError::Stored | TestError::Overtaken => StatusCode::CONFLICT,
        };
        Self::new(status, message)
    }
}
