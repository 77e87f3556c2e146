//! Devices: listed, shown, renamed, given away, deleted.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use foghorn_types::MachineUuid;
use schemars::JsonSchema;
use serde::Deserialize;

use super::config_view::ConfigEntry;
use super::device_view::{DeviceList, DeviceRow, DeviceView};
use super::here::Here;
use super::input::{Body, OneDevice, Query, device, maybe_factory, switch};
use super::page::{Paging, given, wanted};
use super::refused::Refused;
use crate::api::factory_tokens::By;
use crate::api::routes::{Routes, delete, get, patch};
use crate::app::devices::edit::{self, Change};
use crate::app::devices::factories::user_in;
use crate::app::devices::filter::{Filter, read_sort};
use crate::app::devices::{config, list};
use crate::ctx::Ctx;
use crate::state::machines::config::Level;
use crate::state::machines::scope::Scope;

const ONE: &str = "/ota/devices/{dev}/";
/// What `{dev}` is.
pub(super) const DEV: &str = "Name or UUID of the device.";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add_either(
            get("/ota/devices/", all)
                .scoped(Scope::DevicesRead)
                .named("devices", "factory_devices", "List devices")
                .about("Filters that are empty are not there; a device must pass all others.")
                .query::<DeviceQuery>()
                .gives::<DeviceList>(200, "A page of them.")
                .refuses(&[404]),
        )
        .add_either(
            get(ONE, show)
                .scoped(Scope::DevicesRead)
                .named("devices", "factory_device", "Show a device")
                .path::<String>("dev", DEV)
                .query::<OneDevice>()
                .gives::<DeviceView>(200, "The device.")
                .refuses(&[404]),
        )
        .add_either(
            patch(ONE, change)
                .scoped(Scope::DevicesReadUpdate)
                .named("devices", "edit_factory_device", "Change a device")
                .about("All of it or nothing. With the name that of its host changes, if a host can have it.")
                .path::<String>("dev", DEV)
                .query::<OneDevice>()
                .rehearses()
                .takes::<DevicePatch>()
                .gives::<DeviceView>(200, "The device as it is now.")
                .refuses(&[404, 409]),
        )
        .add_either(
            delete(ONE, remove)
                .scoped(Scope::DevicesDelete)
                .named("devices", "delete_factory_device", "Delete a device")
                .about("Its certificate is refused from then on, until the ban is lifted. Its host stays.")
                .path::<String>("dev", DEV)
                .query::<OneDevice>()
                .rehearses()
                .gives_nothing(204, "It is gone, and denied.")
                .refuses(&[404]),
        )
}

/// Which devices to list.
#[derive(Deserialize, JsonSchema)]
struct DeviceQuery {
    /// Name of their factory; without it, all that the token is for.
    factory: Option<String>,
    /// A glob for the name, as in a shell.
    name: Option<String>,
    /// A pattern for the name as that of LIKE in SQL, without regard to case.
    name_ilike: Option<String>,
    /// The tag that they follow.
    match_tag: Option<String>,
    /// Name of the target that they run.
    target_name: Option<String>,
    /// Name of their device group.
    group: Option<String>,
    /// UUID of the device.
    uuid: Option<String>,
    /// `1`: only those that the user of the token owns.
    mine: Option<String>,
    /// `1`: only those of production; `0`: only others.
    prod: Option<String>,
    /// `name` and `last_seen` with commas between them, each with `-` in front for the other direction;
    /// else by owner, then by name.
    sortby: Option<String>,
    /// Number of the page, from 1.
    page: Option<String>,
    /// Devices of a page, 1 to 1000; else 1000.
    limit: Option<String>,
}

impl DeviceQuery {
    fn text(text: &Option<String>) -> String {
        given(text.as_deref()).unwrap_or_default().to_owned()
    }
}

async fn all(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Query(query): Query<DeviceQuery>,
) -> Result<Json<DeviceList>, Refused> {
    let scope = Scope::DevicesRead;
    let page = wanted(query.page.as_deref(), query.limit.as_deref())?;
    let sort = read_sort(query.sortby.as_deref().unwrap_or_default())?;
    let is_mine = switch("mine", query.mine.as_deref())? == Some(true);
    let text = DeviceQuery::text;
    let filter = Filter {
        factory: maybe_factory(&ctx, &caller, scope, query.factory.as_deref())?,
        name: text(&query.name),
        name_ilike: text(&query.name_ilike),
        tag: text(&query.match_tag),
        target: text(&query.target_name),
        group: text(&query.group),
        uuid: text(&query.uuid),
        owner: is_mine.then_some(caller.user),
        is_prod: switch("prod", query.prod.as_deref())?,
    };
    let paged = list::list(
        &ctx.state,
        &ctx.sightings,
        &caller.reach,
        &filter,
        &sort,
        page,
    );
    Ok(Json(DeviceList {
        devices: paged.items.iter().map(DeviceRow::of).collect(),
        paging: Paging::of(&paged, &here),
    }))
}

/// What is to change of a device; what is missing stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DevicePatch {
    /// A name that no other device of the factory has.
    name: Option<String>,
    /// Id of the new owner.
    owner: Option<String>,
    /// Name of a device group of the factory; empty: none.
    group: Option<String>,
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Query(one): Query<OneDevice>,
) -> Result<Json<DeviceView>, Refused> {
    let uuid = device(&ctx, &caller, Scope::DevicesRead, (&name, &one))?;
    view(&ctx, uuid, &name)
}

fn view(ctx: &Ctx, uuid: MachineUuid, name: &str) -> Result<Json<DeviceView>, Refused> {
    let shown = list::show(&ctx.state, &ctx.sightings, uuid);
    let shown = shown.ok_or_else(|| Refused::not_found(format!("there is no device {name:?}")))?;
    let config = config::latest(&ctx.state, Level::Device(uuid))?;
    let config = config.as_ref().map(ConfigEntry::of);
    Ok(Json(DeviceView::of(&shown, config)))
}

async fn change(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Query(one): Query<OneDevice>,
    Body(patch): Body<DevicePatch>,
) -> Result<Json<DeviceView>, Refused> {
    let uuid = device(&ctx, &caller, Scope::DevicesReadUpdate, (&name, &one))?;
    let owner = patch.owner.map(|code| {
        user_in(&code).ok_or_else(|| Refused::field("owner", format!("{code:?} is no user's id")))
    });
    let change = Change {
        name: patch.name,
        owner: owner.transpose()?,
        group: patch.group,
    };
    edit::edit(&ctx.state, uuid, &change, caller.user).await?;
    view(&ctx, uuid, &name)
}

async fn remove(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Query(one): Query<OneDevice>,
) -> Result<StatusCode, Refused> {
    let uuid = device(&ctx, &caller, Scope::DevicesDelete, (&name, &one))?;
    edit::delete(&ctx.state, &ctx.sightings, uuid, caller.user).await?;
    Ok(StatusCode::NO_CONTENT)
}
