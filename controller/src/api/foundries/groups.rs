//! Device groups.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use foghorn_types::{DeviceGroupId, StorageGroupId};
use schemars::JsonSchema;
use serde::Deserialize;

use super::denied::FACTORY;
use super::group_view::{DeviceGroupView, DeviceGroups};
use super::input::{Body, factory};
use super::refused::Refused;
use crate::api::factory_tokens::By;
use crate::api::routes::{Routes, delete, get, patch, post};
use crate::app::devices::groups::{self, Terms};
use crate::ctx::Ctx;
use crate::state::machines::scope::Scope;

const ALL: &str = "/ota/factories/{factory}/device-groups/";
const ONE: &str = "/ota/factories/{factory}/device-groups/{group}/";
/// What `{group}` is.
pub(super) const GROUP: &str = "Name of the device group.";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add_either(
            get(ALL, all)
                .scoped(Scope::DevicesRead)
                .named("device groups", "device_groups", "List device groups")
                .path::<String>("factory", FACTORY)
                .gives::<DeviceGroups>(200, "Those of the factory.")
                .refuses(&[404]),
        )
        .add_either(
            post(ALL, create)
                .scoped(Scope::DevicesReadUpdate)
                .named(
                    "device groups",
                    "create_device_group",
                    "Create a device group",
                )
                .path::<String>("factory", FACTORY)
                .rehearses()
                .takes::<NewDeviceGroup>()
                .gives::<DeviceGroupView>(201, "The group.")
                .refuses(&[404, 409]),
        )
        .add_either(
            patch(ONE, change)
                .scoped(Scope::DevicesReadUpdate)
                .named(
                    "device groups",
                    "edit_device_group",
                    "Change a device group",
                )
                .path::<String>("factory", FACTORY)
                .path::<String>("group", GROUP)
                .rehearses()
                .takes::<DeviceGroupPatch>()
                .gives::<DeviceGroupView>(200, "The group as it is now.")
                .refuses(&[404, 409]),
        )
        .add_either(
            delete(ONE, remove)
                .scoped(Scope::DevicesReadUpdate)
                .named(
                    "device groups",
                    "delete_device_group",
                    "Delete a device group",
                )
                .about("With its configuration. One that has devices is not deleted.")
                .path::<String>("factory", FACTORY)
                .path::<String>("group", GROUP)
                .rehearses()
                .gives_nothing(204, "It is gone.")
                .refuses(&[404, 409]),
        )
}

/// A device group to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewDeviceGroup {
    /// A name that no other device group of the factory has.
    name: String,
    /// For people.
    description: Option<String>,
}

/// What is to change of a device group; what is missing stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeviceGroupPatch {
    /// A name that no other device group of the factory has.
    name: Option<String>,
    /// For people; may be empty.
    description: Option<String>,
}

/// A group by its name.
pub(super) fn group(
    ctx: &Ctx,
    factory: StorageGroupId,
    name: &str,
) -> Result<DeviceGroupId, Refused> {
    let found = ctx.state.read(|tables| {
        let group = tables.device_groups().named(factory, name);
        group.map(|group| group.id)
    });
    found.ok_or_else(|| Refused::not_found(format!("the factory has no device group {name:?}")))
}

async fn all(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<DeviceGroups>, Refused> {
    let factory = factory(&ctx, &caller, Scope::DevicesRead, &name)?;
    let all = ctx.state.read(|tables| groups::list(tables, factory));
    let groups = all.iter().map(|group| DeviceGroupView::of(group));
    Ok(Json(DeviceGroups {
        groups: groups.collect(),
    }))
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(new): Body<NewDeviceGroup>,
) -> Result<(StatusCode, Json<DeviceGroupView>), Refused> {
    let factory = factory(&ctx, &caller, Scope::DevicesReadUpdate, &name)?;
    let description = new.description.unwrap_or_default();
    let made = groups::create(&ctx.state, factory, &new.name, &description, caller.user).await?;
    Ok((StatusCode::CREATED, Json(DeviceGroupView::of(&made))))
}

async fn change(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((factory_name, name)): Path<(String, String)>,
    Body(patch): Body<DeviceGroupPatch>,
) -> Result<Json<DeviceGroupView>, Refused> {
    let factory = factory(&ctx, &caller, Scope::DevicesReadUpdate, &factory_name)?;
    let terms = Terms {
        name: patch.name,
        description: patch.description,
    };
    let changed = groups::edit(&ctx.state, factory, &name, &terms, caller.user).await?;
    Ok(Json(DeviceGroupView::of(&changed)))
}

async fn remove(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((factory_name, name)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let factory = factory(&ctx, &caller, Scope::DevicesReadUpdate, &factory_name)?;
    groups::delete(&ctx.state, factory, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
