//! `POST /ota/devices/`: a machine asks for the certificate of a device, with the token of an operator.
//!
//! Of its request the authority takes the key; what the certificate says is decided here.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::{Extension, Json};
use bytes::Bytes;
use foghorn_types::{MachineUuid, StorageGroupId, chain};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::BODY;
use super::door::identity_of;
use super::refused::{Refused, json, whole};
use crate::app::devices::contact::{self, New, RegisterError};
use crate::app::devices::edit::EditError;
use crate::app::devices::factories;
use crate::app::devices::sota::{self, BadSettings, Settings};
use crate::app::devices::tokens::{Caller, Forbidden};
use crate::ctx::Ctx;
use crate::state::machines::scope::Scope;
use crate::trust::{DeviceCertificate, DeviceName, DeviceRequest, DeviceRequestError};

/// What a device is given, by name of the file.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DeviceFiles {
    /// Its certificate and that of the authority, PEM.
    #[serde(rename = "client.pem")]
    client_pem: String,
    /// The authority of the gateway, PEM.
    #[serde(rename = "root.crt")]
    root_crt: String,
    /// Settings of its update agent, TOML.
    #[serde(rename = "sota.toml")]
    sota_toml: String,
}

/// Registers a device. Whoever mounts it puts the [`Caller`] into the extensions, and gives refusals
/// the form of its own.
pub(crate) async fn post_device(
    State(ctx): State<Arc<Ctx>>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<DeviceFiles>), Refused> {
    caller.may(Scope::DevicesCreate, None)?;
    let Some(gateway) = &ctx.settings.gateway_address else {
        let message = "this controller has no gateway of devices: set dialects.foundries.gateway";
        return Err(Refused::new(StatusCode::NOT_IMPLEMENTED, message));
    };
    let body = whole(body)?;
    if body.len() > BODY {
        return Err(Refused::too_large("the body is too large"));
    }
    let asked = Asked::read(&body)?;
    let (factory, factory_name) = factory_of(&ctx, &caller, &asked.request)?;
    caller.may(Scope::DevicesCreate, Some(factory))?;
    let settings = Settings {
        gateway,
        folder: asked.folder.as_deref().unwrap_or(sota::FOLDER),
        hardware_id: asked.hardware_id.as_deref(),
        overrides: &asked.overrides,
    };
    let sota_toml = sota::sota_toml(&settings)?;
    let name = DeviceName {
        uuid: asked.uuid,
        factory: factory_name,
        is_prod: asked.request.is_prod,
    };
    let issued = ctx.trust.issue_device(&name, &asked.request);
    let issued = issued.map_err(|error| Refused::ours(&error))?;
    let certificate = DeviceCertificate::read(&issued.der);
    let certificate = certificate.map_err(|error| Refused::ours(&error))?;
    // Nobody has seen the certificate as long as this fails.
    let new = New {
        identity: identity_of(certificate),
        name: asked.name.unwrap_or_default(),
        group: asked.group.unwrap_or_default(),
        hardware_id: asked.hardware_id,
        host: None,
        owner: caller.user,
    };
    contact::register(&ctx.state, &new).await?;
    let files = DeviceFiles {
        client_pem: issued.chain_pem,
        root_crt: ctx.trust.ca_pem().to_owned(),
        sota_toml,
    };
    Ok((StatusCode::CREATED, Json(files)))
}

/// The body of a registration. The tool writes every value as a text, also those that are none.
struct Asked {
    uuid: MachineUuid,
    request: DeviceRequest,
    name: Option<String>,
    group: Option<String>,
    hardware_id: Option<String>,
    folder: Option<String>,
    overrides: Map<String, Value>,
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, Refused> {
        let body: Map<String, Value> = json(body)?;
        let csr = text(&body, "csr")?;
        let csr = csr.ok_or_else(|| Refused::field("csr", "is required"))?;
        let request = DeviceRequest::read(&csr)?;
        let uuid = uuid_of(text(&body, "uuid")?, &request)?;
        let overrides = match body.get("overrides") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(overrides)) => overrides.clone(),
            Some(_) => return Err(BadSettings::Overrides.into()),
        };
        Ok(Self {
            uuid,
            request,
            name: text(&body, "name")?,
            group: text(&body, "group")?,
            hardware_id: text(&body, "hardware-id")?,
            folder: text(&body, "sota-config-dir")?,
            overrides,
        })
    }
}

/// A value that is a text or can be one; `None` for one that is not there or empty.
fn text(body: &Map<String, Value>, key: &str) -> Result<Option<String>, Refused> {
    let text = match body.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(Refused::field(key, "is not a text")),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The UUID that body and request agree on.
fn uuid_of(told: Option<String>, request: &DeviceRequest) -> Result<MachineUuid, Refused> {
    let subject = request.common_name.as_ref();
    let subject = subject.ok_or_else(|| {
        let why = "its subject does not have exactly one common name, the UUID of the device";
        Refused::field("csr", why)
    })?;
    let uuid = subject.parse::<MachineUuid>();
    let uuid = uuid.map_err(|error| Refused::field("csr", format!("common name: {error}")))?;
    match told.map(|told| told.parse::<MachineUuid>()) {
        Some(Err(error)) => Err(Refused::field("uuid", error.to_string())),
        Some(Ok(told)) if told != uuid => {
            let why = format!("is not that of the certificate request, {uuid}");
            Err(Refused::field("uuid", why))
        }
        _ => Ok(uuid),
    }
}

/// The factory that the request names; where it names none, the only one of the caller.
fn factory_of(
    ctx: &Ctx,
    caller: &Caller,
    request: &DeviceRequest,
) -> Result<(StorageGroupId, String), Refused> {
    ctx.state.read(|tables| {
        let Some(name) = &request.factory else {
            let mut own = factories::all(tables, &caller.reach).into_iter();
            return match (own.next(), own.next()) {
                (Some(only), None) => Ok((only.id, only.name)),
                _ => Err(Refused::field(
                    "csr",
                    "its subject does not have exactly one organizational unit, the name of the factory",
                )),
            };
        };
        let factory = factories::named(tables, name).ok_or_else(|| {
            let message = format!("there is no factory {name:?}");
            Refused::new(StatusCode::NOT_FOUND, message)
        })?;
        Ok((factory, factories::name_of(tables, factory)))
    })
}

impl From<Forbidden> for Refused {
    fn from(error: Forbidden) -> Self {
        Self::new(StatusCode::FORBIDDEN, error.to_string())
    }
}

impl From<DeviceRequestError> for Refused {
    fn from(error: DeviceRequestError) -> Self {
        match error.is_bad_request() {
            true => Self::field("csr", chain(&error).to_string()),
            false => Self::ours(&error),
        }
    }
}

impl From<BadSettings> for Refused {
    fn from(error: BadSettings) -> Self {
        let field = match error {
            BadSettings::Folder => "sota-config-dir",
            BadSettings::Overrides => "overrides",
        };
        Self::field(field, error.to_string())
    }
}

impl From<RegisterError> for Refused {
    fn from(error: RegisterError) -> Self {
        let message = error.to_string();
        let status = match error {
            RegisterError::HardwareId(why) => return Self::field("hardware-id", why.to_string()),
            RegisterError::Edit(EditError::BadName(why)) => {
                return Self::field("name", why.to_string());
            }
            RegisterError::State(refusal) | RegisterError::Edit(EditError::State(refusal)) => {
                return refusal.into();
            }
            RegisterError::NoFactory(_) | RegisterError::Edit(EditError::NoGroup(_)) => {
                StatusCode::NOT_FOUND
            }
            RegisterError::Edit(EditError::NoUser) => StatusCode::BAD_REQUEST,
            RegisterError::Exists(_)
            | RegisterError::Denied(_)
            | RegisterError::Host(_)
            | RegisterError::Edit(EditError::NameTaken(_) | EditError::NotThere(_)) => {
                StatusCode::CONFLICT
            }
        };
        Self::new(status, message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_texts_or_become_ones() {
        let body = json!({"a": "x", "b": false, "c": 7, "d": null, "e": "", "f": []});
        let body = body.as_object().unwrap();
        let read = |key| text(body, key).unwrap();
        assert_eq!(read("a").as_deref(), Some("x"));
        assert_eq!(read("b").as_deref(), Some("false"));
        assert_eq!(read("c").as_deref(), Some("7"));
        assert_eq!((read("d"), read("e"), read("missing")), (None, None, None));
        assert!(text(body, "f").is_err());
    }
}
