//! Configurations of devices, of device groups and of factories: the same four verbs at each level.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use foghorn_host_config::{ConfigCreate, FileName};
use schemars::JsonSchema;

use super::config_view::{ConfigCreateBody, ConfigEntry, ConfigHistory};
use super::denied::{FACTORY, PageQuery};
use super::devices::DEV;
use super::groups::{GROUP, group};
use super::here::Here;
use super::input::{OneDevice, Query, Raw, device, factory};
use super::page::{Paging, wanted};
use super::refused::Refused;
use super::updates::OfDevice;
use crate::api::factory_tokens::By;
use crate::api::routes::{Route, Routes, Unnamed, delete, get, patch, post};
use crate::app::devices::config;
use crate::app::devices::paging::Page;
use crate::app::devices::reimage::Operator;
use crate::app::devices::rings::Parts;
use crate::app::devices::tokens::Caller;
use crate::ctx::Ctx;
use crate::state::machines::config::Level;
use crate::state::machines::scope::Scope;

const OF_DEVICE: &str = "/ota/devices/{dev}/config/";
const OF_GROUP: &str = "/ota/factories/{factory}/device-groups/{group}/config/";
const OF_FACTORY: &str = "/ota/factories/{factory}/config/";
const LOOK: Scope = Scope::DevicesRead;
const DO: Scope = Scope::DevicesReadUpdate;
const FILE: &str = "Name of the file, with its slashes.";

/// Bodies of these routes: what JSON makes of a version at its limit, control characters and all.
pub(super) const BODY_LIMIT: usize = 8 << 20;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    of_devices().and(of_groups()).and(of_factories())
}

type Handled = Route<Arc<Ctx>>;

fn read(route: Unnamed<Arc<Ctx>>, id: &'static str, summary: &'static str) -> Handled {
    route
        .named("configurations", id, summary)
        .gives::<ConfigHistory>(200, "The newest first; ten are kept.")
        .refuses(&[404])
}

fn merge(route: Unnamed<Arc<Ctx>>, id: &'static str, summary: &'static str) -> Handled {
    route
        .named("configurations", id, summary)
        .about(
            "The files are added to the latest version, or replace those of the same name; no file is dropped. Names, \
             values and handlers of a version have 1000000 bytes at most.",
        )
        .rehearses()
        .takes::<ConfigCreateBody>()
        .gives::<ConfigEntry>(201, "The whole new version.")
        .refuses(&[404, 409])
}

fn replace(route: Unnamed<Arc<Ctx>>, id: &'static str, summary: &'static str) -> Handled {
    route
        .named("configurations", id, summary)
        .about("The new version has exactly these files.")
        .rehearses()
        .takes::<ConfigCreateBody>()
        .gives::<ConfigEntry>(201, "The new version.")
        .refuses(&[404])
}

fn remove(route: Unnamed<Arc<Ctx>>, id: &'static str, summary: &'static str) -> Handled {
    route
        .named("configurations", id, summary)
        .about("A body is not read.")
        .path::<String>("file", FILE)
        .rehearses()
        .gives_nothing(204, "The latest version is without it.")
        .refuses(&[404, 409])
}

fn of_devices() -> Routes<Arc<Ctx>> {
    let one = |route: Handled| route.path::<String>("dev", DEV).query::<OneDevice>();
    let changing = |route: Handled| {
        let route = route.path::<String>("dev", DEV);
        route.query::<ChangedDevice>()
    };
    let history = read(
        get(OF_DEVICE, device_history).scoped(LOOK),
        "device_config",
        "List the versions of a device's configuration",
    );
    Routes::new()
        .add_either(history.path::<String>("dev", DEV).query::<OfDevice>())
        .add_either(changing(merge(
            patch(OF_DEVICE, device_merge).scoped(DO),
            "merge_device_config",
            "Add files to a device's configuration",
        )))
        .add_either(changing(replace(
            post(OF_DEVICE, device_replace).scoped(DO),
            "replace_device_config",
            "Replace a device's configuration",
        )))
        .add_either(one(remove(
            delete("/ota/devices/{dev}/config/{*file}", device_remove).scoped(DO),
            "delete_device_config_file",
            "Take a file out of a device's configuration",
        )))
}

fn of_groups() -> Routes<Arc<Ctx>> {
    const ONE: &str = "/ota/factories/{factory}/device-groups/{group}/config/{*file}";
    let of = |route: Handled| {
        let route = route.path::<String>("factory", FACTORY);
        route.path::<String>("group", GROUP)
    };
    let history = read(
        get(OF_GROUP, group_history).scoped(LOOK),
        "device_group_config",
        "List the versions of a device group's configuration",
    );
    Routes::new()
        .add_either(of(history).query::<PageQuery>())
        .add_either(of(merge(
            patch(OF_GROUP, group_merge).scoped(DO),
            "merge_device_group_config",
            "Add files to a device group's configuration",
        )))
        .add_either(of(replace(
            post(OF_GROUP, group_replace).scoped(DO),
            "replace_device_group_config",
            "Replace a device group's configuration",
        )))
        .add_either(of(remove(
            delete(ONE, group_remove).scoped(DO),
            "delete_device_group_config_file",
            "Take a file out of a device group's configuration",
        )))
}

fn of_factories() -> Routes<Arc<Ctx>> {
    let of = |route: Handled| route.path::<String>("factory", FACTORY);
    let history = read(
        get(OF_FACTORY, factory_history).scoped(LOOK),
        "factory_config",
        "List the versions of a factory's configuration",
    );
    Routes::new()
        .add_either(of(history).query::<PageQuery>())
        .add_either(of(merge(
            patch(OF_FACTORY, factory_merge).scoped(DO),
            "merge_factory_config",
            "Add files to a factory's configuration",
        )))
        .add_either(of(replace(
            post(OF_FACTORY, factory_replace).scoped(DO),
            "replace_factory_config",
            "Replace a factory's configuration",
        )))
        .add_either(of(remove(
            delete("/ota/factories/{factory}/config/{*file}", factory_remove).scoped(DO),
            "delete_factory_config_file",
            "Take a file out of a factory's configuration",
        )))
}

/// Which device is meant.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "a description only: nothing is ever refused that could be forced"
)]
struct ChangedDevice {
    /// Name of its factory; without it, all that the token is for.
    factory: Option<String>,
    /// `1`: what is in the path is a UUID. A UUID is understood without it, too.
    #[serde(rename = "by-uuid")]
    by_uuid: Option<String>,
    /// Taken and without effect: a change is never refused because of an update that is running.
    force: Option<String>,
}

type Made = Result<(StatusCode, Json<ConfigEntry>), Refused>;

/// What is done at a level, whichever it is.
struct At<'c> {
    ctx: &'c Ctx,
    caller: &'c Caller,
    level: Level,
}

impl At<'_> {
    fn history(&self, page: Page, here: &Here) -> Result<Json<ConfigHistory>, Refused> {
        let paged = config::history(&self.ctx.state, self.level, page)?;
        Ok(Json(ConfigHistory {
            config: paged.items.iter().map(ConfigEntry::of).collect(),
            paging: Paging::of(&paged, here),
        }))
    }

    /// The caller, whose files may order that a device is imaged.
    fn author(&self) -> (u32, Operator<'_>) {
        let operator = Operator {
            name: &self.caller.name,
            parts: Parts::of(self.ctx),
        };
        (self.caller.user, operator)
    }

    async fn merge(&self, body: &[u8]) -> Made {
        let Self { ctx, level, .. } = self;
        let change = ConfigCreate::read(body)?;
        let made = config::merge(&ctx.state, &ctx.trust, *level, &change, self.author()).await?;
        Ok((StatusCode::CREATED, Json(ConfigEntry::of(&made))))
    }

    async fn replace(&self, body: &[u8]) -> Made {
        let Self { ctx, level, .. } = self;
        let change = ConfigCreate::read(body)?;
        let made = config::replace(&ctx.state, &ctx.trust, *level, &change, self.author()).await?;
        Ok((StatusCode::CREATED, Json(ConfigEntry::of(&made))))
    }

    async fn remove(&self, file: &str) -> Result<StatusCode, Refused> {
        let Self { ctx, caller, level } = self;
        // The path of a file ends in a slash, too.
        let file = file.strip_suffix('/').unwrap_or(file);
        let file = file.parse::<FileName>();
        let file = file.map_err(|error| Refused::field("file", error.to_string()))?;
        config::remove(&ctx.state, &ctx.trust, *level, &file, caller.user).await?;
        Ok(StatusCode::NO_CONTENT)
    }
}

fn at_device<'c>(
    ctx: &'c Ctx,
    caller: &'c Caller,
    scope: Scope,
    device_of: (&str, &OneDevice),
) -> Result<At<'c>, Refused> {
    let level = Level::Device(device(ctx, caller, scope, device_of)?);
    Ok(At { ctx, caller, level })
}

fn at_group<'c>(
    ctx: &'c Ctx,
    caller: &'c Caller,
    scope: Scope,
    (factory_name, name): (&str, &str),
) -> Result<At<'c>, Refused> {
    let factory = factory(ctx, caller, scope, factory_name)?;
    let level = Level::Group(group(ctx, factory, name)?);
    Ok(At { ctx, caller, level })
}

fn at_factory<'c>(
    ctx: &'c Ctx,
    caller: &'c Caller,
    scope: Scope,
    name: &str,
) -> Result<At<'c>, Refused> {
    let level = Level::Factory(factory(ctx, caller, scope, name)?);
    Ok(At { ctx, caller, level })
}

async fn device_history(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path(name): Path<String>,
    Query(query): Query<OfDevice>,
) -> Result<Json<ConfigHistory>, Refused> {
    let page = wanted(query.page.as_deref(), query.limit.as_deref())?;
    at_device(&ctx, &caller, LOOK, (&name, &query.one()))?.history(page, &here)
}

async fn device_merge(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Query(one): Query<OneDevice>,
    Raw(body): Raw,
) -> Made {
    let at = at_device(&ctx, &caller, DO, (&name, &one))?;
    at.merge(&body).await
}

async fn device_replace(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Query(one): Query<OneDevice>,
    Raw(body): Raw,
) -> Made {
    let at = at_device(&ctx, &caller, DO, (&name, &one))?;
    at.replace(&body).await
}

async fn device_remove(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, file)): Path<(String, String)>,
    Query(one): Query<OneDevice>,
) -> Result<StatusCode, Refused> {
    let at = at_device(&ctx, &caller, DO, (&name, &one))?;
    at.remove(&file).await
}

async fn group_history(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path((factory, name)): Path<(String, String)>,
    Query(query): Query<PageQuery>,
) -> Result<Json<ConfigHistory>, Refused> {
    let page = wanted(query.page.as_deref(), query.limit.as_deref())?;
    at_group(&ctx, &caller, LOOK, (&factory, &name))?.history(page, &here)
}

async fn group_merge(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((factory, name)): Path<(String, String)>,
    Raw(body): Raw,
) -> Made {
    let at = at_group(&ctx, &caller, DO, (&factory, &name))?;
    at.merge(&body).await
}

async fn group_replace(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((factory, name)): Path<(String, String)>,
    Raw(body): Raw,
) -> Made {
    let at = at_group(&ctx, &caller, DO, (&factory, &name))?;
    at.replace(&body).await
}

async fn group_remove(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((factory, name, file)): Path<(String, String, String)>,
) -> Result<StatusCode, Refused> {
    let at = at_group(&ctx, &caller, DO, (&factory, &name))?;
    at.remove(&file).await
}

async fn factory_history(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<ConfigHistory>, Refused> {
    let page = wanted(query.page.as_deref(), query.limit.as_deref())?;
    at_factory(&ctx, &caller, LOOK, &name)?.history(page, &here)
}

async fn factory_merge(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Raw(body): Raw,
) -> Made {
    let at = at_factory(&ctx, &caller, DO, &name)?;
    at.merge(&body).await
}

async fn factory_replace(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Raw(body): Raw,
) -> Made {
    let at = at_factory(&ctx, &caller, DO, &name)?;
    at.replace(&body).await
}

async fn factory_remove(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, file)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let at = at_factory(&ctx, &caller, DO, &name)?;
    at.remove(&file).await
}
