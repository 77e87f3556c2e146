//! The configuration of a device: fetched when it has changed, and what the device adds of its own.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use foghorn_host_config::conditional::format_date;
use foghorn_host_config::{BadRequest, ConfigCreate, SealError};
use foghorn_types::{MachineUuid, Timestamp, chain};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::door::Speaker;
use super::refused::{Refused, json, whole};
use crate::app::devices::config::{self, ConfigError};
use crate::app::devices::effective::{self, Due, EffectiveError, Given, GivenConfig};
use crate::ctx::Ctx;
use crate::state::machines::config::Level;

/// Configurations that are made at one time.
static MAKING: Semaphore = Semaphore::const_new(4);

/// `GET /config`
pub(super) async fn get(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let since = headers.get(header::IF_MODIFIED_SINCE);
    let since = since.and_then(|value| value.to_str().ok());
    let now = Timestamp::now();
    let due = match effective::given(&ctx.state, device.uuid, since, now)? {
        Given::Nothing => return Ok(StatusCode::NO_CONTENT.into_response()),
        Given::NotModified => return Ok(StatusCode::NOT_MODIFIED.into_response()),
        Given::Due(due) => due,
    };
    let Some(config) = made(&ctx, due).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    if let Some(version) = config.version {
        note_fetched(&ctx, device.uuid, version, now).await;
    }
    let mut response = config.document.write().into_response();
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    // Not the present time: the device asks with it whether there is anything newer.
    if let Ok(date) = HeaderValue::try_from(format_date(config.date)) {
        headers.insert(header::DATE, date);
    }
    Ok(response)
}

/// Not on a thread that answers others, and a few at a time: encrypting takes a quarter of a millisecond or more for each secret.
async fn made(ctx: &Ctx, due: Due) -> Result<Option<GivenConfig>, Refused> {
    let turn = MAKING
        .acquire()
        .await
        .map_err(|gone| Refused::ours(&gone))?;
    let trust = ctx.trust.clone();
    let making = tokio::task::spawn_blocking(move || {
        // It goes on when the device has gone, and nobody has its turn until then.
        let _turn = turn;
        due.make(&trust)
    });
    let made = making.await.map_err(|ended| Refused::ours(&ended))?;
    made.map_err(Refused::from)
}

/// The device gets its configuration also when that cannot be noted.
async fn note_fetched(ctx: &Ctx, uuid: MachineUuid, version: u32, now: Timestamp) {
    match effective::fetched(&ctx.state, uuid, version, now).await {
        Ok(true) => debug!(%uuid, version, "a device has a new version of its configuration"),
        Ok(false) => {}
        Err(error) => {
            warn!(
                %uuid,
                version,
                error = %chain(&error),
                "could not note that a device has its configuration"
            );
        }
    }
}

/// What a device sends beside the files.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sent {
    #[serde(default)]
    public_key: Option<String>,
}

/// `PATCH /config`
pub(super) async fn patch(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refused> {
    let body = whole(body)?;
    let change = ConfigCreate::read(&body)?;
    let sent: Sent = json(&body)?;
    let key = sent.public_key.filter(|key| !key.is_empty());
    // Operators encrypt with the key that the authority has seen.
    if key.is_some_and(|key| !is_same(&key, &device.public_key)) {
        let why = "is not the key of the certificate";
        return Err(Refused::field("public-key", why));
    }
    let level = Level::Device(device.uuid);
    // A device says the same at every start; the history is for changes.
    if !is_news(&ctx, level, &change)? {
        return Ok(StatusCode::CREATED);
    }
    config::merge(&ctx.state, &ctx.trust, level, &change, 0).await?;
    Ok(StatusCode::CREATED)
}

fn is_news(ctx: &Ctx, level: Level, change: &ConfigCreate) -> Result<bool, Refused> {
    let latest = config::latest(&ctx.state, level).map_err(ConfigError::from)?;
    let files = latest.map(|latest| latest.files).unwrap_or_default();
    let merged = files.merged(change).map_err(ConfigError::from)?;
    Ok(merged != files)
}

/// Whether two texts in PEM are one, whatever their ends of lines.
fn is_same(one: &str, other: &str) -> bool {
    let signs = |text: &str| text.split_whitespace().collect::<String>();
    signs(one) == signs(other)
}

impl From<EffectiveError> for Refused {
    fn from(error: EffectiveError) -> Self {
        match error {
            // It was deleted since the door.
            EffectiveError::NotThere(_) => Self::new(StatusCode::FORBIDDEN, error.to_string()),
            EffectiveError::Seal {
                source: SealError::Recipient(_),
                ..
            } => {
                let why = chain(&error).to_string();
                warn!(why, "a device gets no configuration");
                let advice = "let it enrol again, with a key on P-256";
                Self::new(StatusCode::CONFLICT, format!("{why}; {advice}"))
            }
            EffectiveError::Config { .. } | EffectiveError::Seal { .. } => Self::ours(&error),
        }
    }
}

impl From<BadRequest> for Refused {
    fn from(error: BadRequest) -> Self {
        let why = chain(&error).to_string();
        match (error.is_too_large(), error.field()) {
            (true, _) => Self::too_large(why),
            (false, "") => Self::bad(why),
            (false, field) => Self::field(field, why),
        }
    }
}

impl From<ConfigError> for Refused {
    fn from(error: ConfigError) -> Self {
        match error {
            too_large if too_large.is_too_large() => Self::too_large(chain(&too_large).to_string()),
            ConfigError::NotThere(_) => Self::new(StatusCode::FORBIDDEN, error.to_string()),
            ConfigError::NoSuchFile(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            ConfigError::Files(_) => Self::field("files", chain(&error).to_string()),
            ConfigError::State(refusal) => refusal.into(),
            ours => Self::ours(&ours),
        }
    }
}

#[cfg(test)]
mod tests {
    use foghorn_host_config::ecies::BadRecipient;

    use super::*;

    #[test]
    fn a_device_whose_key_cannot_be_used_is_told_so() {
        let refused = Refused::from(EffectiveError::Seal {
            device: MachineUuid::from_bits(1),
            source: SealError::Recipient(BadRecipient),
        });
        let (status, message, _) = refused.into_parts();
        assert_eq!(status, StatusCode::CONFLICT);
        assert!(message.contains("enrol again"), "{message}");
    }

    #[test]
    fn ends_of_lines_do_not_make_another_key() {
        let key = "-----BEGIN PUBLIC KEY-----\nMFkw\nEwYH\n-----END PUBLIC KEY-----\n";
        assert!(is_same(&key.replace('\n', "\r\n"), key));
        assert!(is_same(key.trim_end(), key));
        assert!(is_same(&key.replace("w\nE", "wE"), key));
        assert!(!is_same(&key.replace("MFkw", "MFkx"), key));
    }
}
