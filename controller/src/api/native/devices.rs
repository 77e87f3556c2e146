//! Devices in Foghorn's own words: listed, shown, deleted, and let in again. Configurations and tags are
//! given in those of a FoundriesFactory only.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use foghorn_rest_types::native::{
    DeniedDeviceList, DeniedDeviceStatus, DeviceBinding, DeviceList, DeviceNetwork, DeviceState,
    DeviceStatus, Named,
};
use foghorn_types::{HostId, MachineUuid, Role, StorageGroupId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::Refused;
use super::input::Query;
use super::paging::{self, page};
use crate::api::auth::Principal;
use crate::api::routes::{Routes, delete, get};
use crate::app::devices::denied::{self, AllowError};
use crate::app::devices::edit::{self, DeleteError};
use crate::app::devices::factories::name_of;
use crate::app::devices::list::{self as listed, Rings, Shown};
use crate::app::devices::status::{Condition, condition};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::classes::User;
use crate::state::machines::denied::DeniedDevice;
use crate::state::machines::device::{Bound, BoundBy, Network};

const ALL: &str = "/foghorn/v1/devices";
const ONE: &str = "/foghorn/v1/devices/{uuid}";
const DENIED: &str = "/foghorn/v1/denied-devices";
/// What `{uuid}` is.
const UUID: &str = "UUID of the device.";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get(ALL, list)
                .needs(Role::ReadOnly)
                .named("hosts", "devices", "List devices")
                .about("Machines that have an identity of their own, after imaging.")
                .query::<Asked>()
                .gives::<DeviceList>(200, "In the order of their UUIDs."),
        )
        .add(
            get(ONE, show)
                .needs(Role::ReadOnly)
                .named("hosts", "device", "Show a device")
                .path::<String>("uuid", UUID)
                .gives::<DeviceStatus>(200, "The device.")
                .refuses(&[404]),
        )
        .add(
            delete(ONE, remove)
                .needs(Role::Operator)
                .named("hosts", "delete_device", "Delete a device")
                .about(
                    "With its configuration and its history. Its certificate is refused from then on, until the ban is \
                     lifted. Its host stays.",
                )
                .rehearses()
                .path::<String>("uuid", UUID)
                .gives_nothing(204, "It is gone, and denied.")
                .refuses(&[404]),
        )
        .add(
            get(DENIED, denied)
                .needs(Role::ReadOnly)
                .named("hosts", "denied_devices", "List deleted devices")
                .query::<Which>()
                .gives::<DeniedDeviceList>(200, "Those whose certificates are refused, by UUID."),
        )
        .add(
            delete("/foghorn/v1/denied-devices/{uuid}", allow)
                .needs(Role::Operator)
                .named("hosts", "allow_device", "Lift the ban of a device")
                .about("At its next contact the device is made anew.")
                .rehearses()
                .path::<String>("uuid", UUID)
                .gives_nothing(204, "It may come back.")
                .refuses(&[404]),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Only devices of this factory, which is a storage group, by id.
    factory: Option<StorageGroupId>,
    /// Only the device that is this host, by id.
    host: Option<HostId>,
    /// Only devices that are getting on like this.
    status: Option<DeviceState>,
    /// Where to continue: `next` of an earlier answer.
    after: Option<String>,
    /// Maximum number of devices in the answer, 1 to 1000; default 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// Which part of a list is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Where to continue: `next` of an earlier answer.
    after: Option<String>,
    /// Maximum number of devices in the answer, 1 to 1000; default 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(asked): Query<Asked>,
) -> Result<Json<DeviceList>, Refused> {
    let limit = paging::limit(asked.limit)?;
    let after = after(asked.after.as_deref())?;
    let now = Timestamp::now();
    let page = ctx.state.read(|tables| {
        let mut rings = Rings::new(tables);
        page(
            tables.devices().after(after),
            limit,
            |device| device.uuid.to_string(),
            |device| {
                let last_seen = ctx.sightings.last(device);
                let status = state(condition(device, last_seen, now));
                let is_meant = asked.factory.is_none_or(|asked| asked == device.factory)
                    && asked
                        .host
                        .is_none_or(|asked| device.host.is_some_and(|bound| bound.to == asked))
                    && asked.status.is_none_or(|asked| asked == status);
                is_meant.then(|| view(tables, &rings.shown(&ctx.sightings, device), now))
            },
        )
    });
    Ok(Json(DeviceList {
        devices: page.items,
        next: page.next,
    }))
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    Path(text): Path<String>,
) -> Result<Json<DeviceStatus>, Refused> {
    let uuid = uuid("uuid", &text)?;
    let shown = listed::show(&ctx.state, &ctx.sightings, uuid);
    let shown = shown.ok_or_else(|| Refused::not_found("device", uuid))?;
    let now = Timestamp::now();
    Ok(Json(ctx.state.read(|tables| view(tables, &shown, now))))
}

async fn remove(
    State(ctx): State<Arc<Ctx>>,
    caller: Principal,
    Path(text): Path<String>,
) -> Result<StatusCode, Refused> {
    let uuid = uuid("uuid", &text)?;
    edit::delete(&ctx.state, &ctx.sightings, uuid, caller.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn denied(
    State(ctx): State<Arc<Ctx>>,
    Query(asked): Query<Which>,
) -> Result<Json<DeniedDeviceList>, Refused> {
    let limit = paging::limit(asked.limit)?;
    let after = after(asked.after.as_deref())?;
    let page = ctx.state.read(|tables| {
        page(
            tables.denied_devices().after(after),
            limit,
            |device| device.uuid.to_string(),
            |device| Some(denied_view(tables, device)),
        )
    });
    Ok(Json(DeniedDeviceList {
        devices: page.items,
        next: page.next,
    }))
}

async fn allow(
    State(ctx): State<Arc<Ctx>>,
    Path(text): Path<String>,
) -> Result<StatusCode, Refused> {
    denied::allow(&ctx.state, None, uuid("uuid", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn uuid(field: &str, text: &str) -> Result<MachineUuid, Refused> {
    let uuid = text.parse::<MachineUuid>();
    uuid.map_err(|error| Refused::field(StatusCode::BAD_REQUEST, field, error.to_string()))
}

fn after(text: Option<&str>) -> Result<Option<MachineUuid>, Refused> {
    text.map(|text| uuid("after", text)).transpose()
}

fn view(tables: &Tables, shown: &Shown, now: Timestamp) -> DeviceStatus {
    let device = &*shown.device;
    let running = &device.running;
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    DeviceStatus {
        uuid: device.uuid.to_string(),
        name: shown.name.clone(),
        factory: Named {
            id: device.factory,
            name: shown.factory.clone(),
        },
        host: device.host.map(|bound| host(tables, bound)),
        bound_by: device.host.map(|bound| binding(bound.by)),
        group: shown.group.as_ref().map(|group| group.name.clone()),
        owner: user(tables, device.owner),
        status: state(condition(device, shown.last_seen, now)),
        last_seen: shown.last_seen.map(|at| at.to_string()),
        created: device.meta.created_at.to_string(),
        production: device.is_prod,
        tag: given(&running.tag),
        target: given(&running.target),
        up_to_date: shown.is_up_to_date,
        apps: running.apps.clone(),
        hardware_id: device.hardware_id.clone(),
        network: device.network.as_ref().map(network),
    }
}

fn denied_view(tables: &Tables, device: &DeniedDevice) -> DeniedDeviceStatus {
    DeniedDeviceStatus {
        uuid: device.uuid.to_string(),
        name: device.name.clone(),
        factory: Named {
            id: device.factory,
            name: name_of(tables, device.factory),
        },
        denied_by: user(tables, device.by),
        denied: device.at.to_string(),
    }
}

fn host(tables: &Tables, bound: Bound) -> Named<HostId> {
    let row = tables.hosts().get(bound.to.get());
    Named {
        id: bound.to,
        name: row.map(|row| row.name.clone()).unwrap_or_default(),
    }
}

fn user(tables: &Tables, number: u32) -> Option<String> {
    let row = tables.of::<User>().get(number)?;
    Some(row.name.clone())
}

fn network(told: &Network) -> DeviceNetwork {
    DeviceNetwork {
        hostname: told.hostname.clone(),
        ip: told.local_ipv4.clone(),
        mac: told.mac.clone(),
    }
}

const fn binding(by: BoundBy) -> DeviceBinding {
    match by {
        BoundBy::Certificate => DeviceBinding::Certificate,
        BoundBy::Uuid => DeviceBinding::Uuid,
        BoundBy::Address => DeviceBinding::Address,
    }
}

const fn state(condition: Condition) -> DeviceState {
    match condition {
        Condition::New => DeviceState::New,
        Condition::Online => DeviceState::Online,
        Condition::Offline => DeviceState::Offline,
        Condition::Cloned => DeviceState::Cloned,
    }
}

impl From<DeleteError> for Refused {
    fn from(error: DeleteError) -> Self {
        let text = error.to_string();
        match error {
            DeleteError::NotThere(_) => Self::new(StatusCode::NOT_FOUND, text),
            DeleteError::State(refusal) => refusal.into(),
        }
    }
}

impl From<AllowError> for Refused {
    fn from(error: AllowError) -> Self {
        let text = error.to_string();
        match error {
            AllowError::NotDenied(_) => Self::new(StatusCode::NOT_FOUND, text),
            AllowError::State(refusal) => refusal.into(),
        }
    }
}
