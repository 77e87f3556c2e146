//! Devices that were deleted, and lifting their ban.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use foghorn_types::MachineUuid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::here::Here;
use super::input::{Query, factory};
use super::page::{Paging, wanted};
use super::refused::Refused;
use super::times;
use crate::api::factory_tokens::By;
use crate::api::routes::{Routes, delete, get};
use crate::app::devices::denied;
use crate::app::devices::factories::user_code;
use crate::ctx::Ctx;
use crate::state::machines::denied::DeniedDevice;
use crate::state::machines::scope::Scope;

/// What `{factory}` is.
pub(super) const FACTORY: &str = "Name of the factory, which is that of a storage group.";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add_either(
            get("/ota/factories/{factory}/denied-devices/", all)
                .scoped(Scope::DevicesRead)
                .named("devices", "denied_factory_devices", "List deleted devices")
                .path::<String>("factory", FACTORY)
                .query::<PageQuery>()
                .gives::<DeniedDeviceList>(200, "Those whose certificates are refused, by UUID.")
                .refuses(&[404]),
        )
        .add_either(
            delete("/ota/factories/{factory}/denied-devices/{uuid}/", allow)
                .scoped(Scope::DevicesDelete)
                .named(
                    "devices",
                    "allow_factory_device",
                    "Lift the ban of a device",
                )
                .about("At its next contact the device is made anew.")
                .path::<String>("factory", FACTORY)
                .path::<String>("uuid", "UUID of the device.")
                .rehearses()
                .gives_nothing(204, "It may come back.")
                .refuses(&[404]),
        )
}

/// Which part of a list is wanted.
#[derive(Deserialize, JsonSchema)]
pub(super) struct PageQuery {
    /// Number of the page, from 1.
    pub(super) page: Option<String>,
    /// Elements of a page, 1 to 1000; else 1000.
    pub(super) limit: Option<String>,
}

/// Devices that are refused.
#[derive(Serialize, JsonSchema)]
struct DeniedDeviceList {
    /// By UUID.
    devices: Vec<DeniedDeviceView>,
    #[serde(flatten)]
    paging: Paging,
}

/// A device that is refused.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct DeniedDeviceView {
    /// Its UUID.
    uuid: String,
    /// What it was called.
    name: String,
    /// Name of the factory where it was.
    factory: String,
    /// Id of the user who deleted it.
    denied_by: String,
    /// When, RFC 3339.
    denied_at: String,
}

impl DeniedDeviceView {
    fn of(denied: &DeniedDevice, factory: &str) -> Self {
        Self {
            uuid: denied.uuid.to_string(),
            name: denied.name.clone(),
            factory: factory.to_owned(),
            denied_by: user_code(denied.by),
            denied_at: times::of_device(denied.at),
        }
    }
}

async fn all(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<DeniedDeviceList>, Refused> {
    let page = wanted(query.page.as_deref(), query.limit.as_deref())?;
    let factory = factory(&ctx, &caller, Scope::DevicesRead, &name)?;
    let paged = denied::list(&ctx.state, factory, page);
    let view = |denied: &Arc<DeniedDevice>| DeniedDeviceView::of(denied, &name);
    Ok(Json(DeniedDeviceList {
        devices: paged.items.iter().map(view).collect(),
        paging: Paging::of(&paged, &here),
    }))
}

async fn allow(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, uuid)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let factory = factory(&ctx, &caller, Scope::DevicesDelete, &name)?;
    let uuid = uuid.parse::<MachineUuid>();
    let uuid = uuid.map_err(|error| Refused::field("uuid", error.to_string()))?;
    denied::allow(&ctx.state, Some(factory), uuid).await?;
    Ok(StatusCode::NO_CONTENT)
}
