//! Registration of devices. What it does is with the gateway, which the devices then talk to.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::{Extension, Json};
use bytes::Bytes;
use schemars::JsonSchema;
use serde_json::Value;

use super::refused::Refused;
use crate::api::factory_tokens::By;
use crate::api::routes::{Routes, post};
use crate::ctx::Ctx;
use crate::gateway::register::{self, DeviceFiles};
use crate::state::machines::scope::Scope;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new().add_either(
        post("/ota/devices/", create)
            .scoped(Scope::DevicesCreate)
            .named("devices", "register_factory_device", "Register a device")
            .about(
                "Signs a certificate for the key of the request. The subject of the request has the UUID of the device as \
                 common name, its factory as organizational unit (which may be missing where the token is for one factory \
                 only) and, of a device of production, the business category `production`. Values may be texts where they \
                 are something else, as the registration tool writes them.",
            )
            .takes::<DeviceRegistration>()
            .gives::<DeviceFiles>(201, "Files for the device, by their names.")
            .refuses(&[404, 409, 501]),
    )
}

/// A device to be registered.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "a description only: the gateway reads the body")]
struct DeviceRegistration {
    /// A name that no other device of the factory has; without it, its UUID.
    name: Option<String>,
    /// Its UUID, which is also the common name in the request.
    uuid: Option<String>,
    /// The certificate request, PEM, with a P-256 key.
    csr: String,
    /// What hardware it is, in the words of targets.
    hardware_id: Option<String>,
    /// Folder of its settings; `/var/sota` unless given.
    sota_config_dir: Option<String>,
    /// Taken and without effect.
    use_ostree_server: Option<String>,
    /// Name of a device group of the factory.
    group: Option<String>,
    /// Further settings of the update agent, by their section.
    overrides: Option<BTreeMap<String, BTreeMap<String, Value>>>,
}

async fn create(
    state: State<Arc<Ctx>>,
    By(caller): By,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<DeviceFiles>), Refused> {
    let registered = register::post_device(state, Extension(caller), body).await;
    Ok(registered?)
}
