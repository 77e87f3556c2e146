//! Updates of devices and their events, and the apps that devices say they run.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::devices::DEV;
use super::here::Here;
use super::input::{OneDevice, Query, device};
use super::page::{Paging, wanted};
use super::refused::Refused;
use super::times;
use crate::api::factory_tokens::By;
use crate::api::routes::{Routes, get};
use crate::app::devices::updates;
use crate::ctx::Ctx;
use crate::state::machines::scope::Scope;
use crate::state::machines::updates::{Update, UpdateEvent};

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add_either(
            get("/ota/devices/{dev}/updates/", all)
                .scoped(Scope::DevicesRead)
                .named(
                    "devices",
                    "factory_device_updates",
                    "List the updates of a device",
                )
                .about("The last ten are kept.")
                .path::<String>("dev", DEV)
                .query::<OfDevice>()
                .gives::<DeviceUpdateList>(200, "The newest first.")
                .refuses(&[404]),
        )
        .add_either(
            get("/ota/devices/{dev}/updates/{correlation}/", show)
                .scoped(Scope::DevicesRead)
                .named(
                    "devices",
                    "factory_device_update",
                    "Show the events of an update",
                )
                .path::<String>("dev", DEV)
                .path::<String>("correlation", "Correlation id of the update.")
                .query::<OneDevice>()
                .gives::<Vec<DeviceUpdateEvent>>(200, "The oldest first.")
                .refuses(&[404]),
        )
        .add_either(
            get("/ota/devices/{dev}/apps-states/", apps)
                .scoped(Scope::DevicesRead)
                .named(
                    "devices",
                    "factory_device_apps",
                    "Show the apps of a device",
                )
                .path::<String>("dev", DEV)
                .query::<OneDevice>()
                .gives::<AppsStates>(200, "As it has sent them last.")
                .refuses(&[404]),
        )
}

/// Which device is meant, and which part of its list.
#[derive(Deserialize, JsonSchema)]
pub(super) struct OfDevice {
    /// Name of its factory; without it, all that the token is for.
    factory: Option<String>,
    /// `1`: what is in the path is a UUID. A UUID is understood without it, too.
    #[serde(rename = "by-uuid")]
    by_uuid: Option<String>,
    /// Number of the page, from 1.
    pub(super) page: Option<String>,
    /// Elements of a page, 1 to 1000; else 1000.
    pub(super) limit: Option<String>,
}

impl OfDevice {
    pub(super) fn one(&self) -> OneDevice {
        OneDevice {
            factory: self.factory.clone(),
            by_uuid: self.by_uuid.clone(),
        }
    }
}

/// Updates of a device.
#[derive(Serialize, JsonSchema)]
struct DeviceUpdateList {
    /// The newest first.
    updates: Vec<DeviceUpdate>,
    #[serde(flatten)]
    paging: Paging,
}

/// An update of a device.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct DeviceUpdate {
    /// By which its events name it.
    correlation_id: String,
    /// Name of the target.
    target: String,
    /// Version of the target.
    version: String,
    /// When it was first heard of, RFC 3339.
    time: String,
}

/// What a device said about an update.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeviceUpdateEvent {
    /// By the clock of the device, as it has sent it.
    device_time: String,
    /// What happened.
    event_type: DeviceEventType,
    /// To what.
    event: DeviceEvent,
}

/// What happened.
#[derive(Serialize, JsonSchema)]
struct DeviceEventType {
    /// Such as `EcuDownloadStarted` or `EcuInstallationCompleted`.
    id: String,
}

/// To what it happened.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeviceEvent {
    /// Version of the target.
    version: String,
    /// Name of the target.
    target_name: String,
    /// Whether it went well; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    /// Words of the device; may be empty.
    details: String,
}

/// Apps of a device.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct AppsStates {
    /// The last one, if the device has sent one.
    apps_states: Vec<Value>,
}

impl From<&Update> for DeviceUpdate {
    fn from(update: &Update) -> Self {
        Self {
            correlation_id: update.correlation_id.clone(),
            target: update.target.clone(),
            version: update.version.clone(),
            time: times::of_target(update.at),
        }
    }
}

impl From<&UpdateEvent> for DeviceUpdateEvent {
    fn from(event: &UpdateEvent) -> Self {
        Self {
            device_time: event.device_time.clone(),
            event_type: DeviceEventType {
                id: event.kind.clone(),
            },
            event: DeviceEvent {
                version: event.version.clone(),
                target_name: event.target.clone(),
                success: event.success,
                details: event.details.clone(),
            },
        }
    }
}

async fn all(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path(name): Path<String>,
    Query(query): Query<OfDevice>,
) -> Result<Json<DeviceUpdateList>, Refused> {
    let page = wanted(query.page.as_deref(), query.limit.as_deref())?;
    let uuid = device(&ctx, &caller, Scope::DevicesRead, (&name, &query.one()))?;
    let paged = ctx.state.read(|tables| updates::list(tables, uuid, page));
    Ok(Json(DeviceUpdateList {
        updates: paged.items.iter().map(DeviceUpdate::from).collect(),
        paging: Paging::of(&paged, &here),
    }))
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, correlation)): Path<(String, String)>,
    Query(one): Query<OneDevice>,
) -> Result<Json<Vec<DeviceUpdateEvent>>, Refused> {
    let uuid = device(&ctx, &caller, Scope::DevicesRead, (&name, &one))?;
    let update = ctx
        .state
        .read(|tables| updates::show(tables, uuid, &correlation));
    let update = update.ok_or_else(|| {
        Refused::not_found(format!("device {name:?} has no update {correlation:?}"))
    })?;
    let events = update.events.iter().map(DeviceUpdateEvent::from);
    Ok(Json(events.collect()))
}

async fn apps(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Query(one): Query<OneDevice>,
) -> Result<Json<AppsStates>, Refused> {
    let uuid = device(&ctx, &caller, Scope::DevicesRead, (&name, &one))?;
    let state = ctx.state.read(|tables| {
        let device = tables.devices().get(&uuid);
        device.and_then(|device| device.apps_state.clone())
    });
    Ok(Json(AppsStates {
        apps_states: state.into_iter().collect(),
    }))
}
