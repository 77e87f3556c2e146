//! Hosts in Foghorn's own words.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::native::{HostList, HostStatus, Named};
use foghorn_types::{GroupId, HostId, ImageId, Role};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::Refused;
use super::input::{Id, Query};
use super::names::image_name;
use super::paging::{self, page};
use super::task_view;
use crate::api::routes::{Routes, get};
use crate::app::devices::identity::chosen;
use crate::ctx::Ctx;
use crate::state::classes::{Group, GroupAssociation, Host};
use crate::state::machines::identity::IdentityOf;
use crate::state::table::is_listed;
use crate::state::{Row, Tables};

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/hosts", list)
                .needs(Role::ReadOnly)
                .named("hosts", "hosts", "List hosts")
                .query::<Asked>()
                .gives::<HostList>(200, "In the order of their names."),
        )
        .add(
            get("/foghorn/v1/hosts/{id}", show)
                .needs(Role::ReadOnly)
                .named("hosts", "host", "Show a host")
                .path::<HostId>("id", "Id of the host.")
                .gives::<HostStatus>(200, "The host.")
                .refuses(&[404]),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Only hosts that are in this group, by id.
    group: Option<GroupId>,
    /// Only hosts with this image, by id.
    image: Option<ImageId>,
    /// Where to continue: `next` of an earlier answer.
    after: Option<String>,
    /// Maximum number of hosts in the answer, 1 to 1000; default 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(asked): Query<Asked>,
) -> Result<Json<HostList>, Refused> {
    let limit = paging::limit(asked.limit)?;
    let page = ctx.state.read(|tables| {
        let members = asked.group.map(|group| members(tables, group));
        let rows = tables.hosts().named_after(asked.after.as_deref());
        page(
            rows,
            limit,
            |row| row.name.clone(),
            |row| {
                let is_meant = is_listed::<Host>(row)
                    && asked.image.is_none_or(|image| image.get() == row.image)
                    && members.as_ref().is_none_or(|all| all.contains(&row.id));
                is_meant.then(|| view(tables, row)).flatten()
            },
        )
    });
    Ok(Json(HostList {
        hosts: page.items,
        next: page.next,
    }))
}

pub(super) async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(host): Id<HostId>,
) -> Result<Json<HostStatus>, Refused> {
    ctx.state
        .read(|tables| view(tables, tables.hosts().get(host.get())?))
        .map(Json)
        .ok_or_else(|| Refused::not_found("host", host))
}

/// Numbers of the hosts of a group.
pub(super) fn members(tables: &Tables, group: GroupId) -> HashSet<u32> {
    tables
        .of::<GroupAssociation>()
        .by(GroupAssociation::BY_GROUP, group.get().into())
        .map(|row| row.host)
        .collect()
}

fn view(tables: &Tables, row: &Row<Host>) -> Option<HostStatus> {
    let id = row.key()?;
    let groups = tables
        .of::<GroupAssociation>()
        .by(GroupAssociation::BY_HOST, row.id.into())
        .filter_map(|member| {
            let group = tables.of::<Group>().get(member.group)?;
            Some(Named {
                id: GroupId::new(group.id)?,
                name: group.name.clone(),
            })
        });
    let rule = row.kernel_device.trim();
    Some(HostStatus {
        id,
        name: row.name.clone(),
        description: row.description.clone(),
        macs: row.addresses(tables),
        image: ImageId::new(row.image).map(|image| image_name(tables, image)),
        disk_rule: (!rule.is_empty()).then(|| rule.to_owned()),
        identity: chosen(tables, IdentityOf::Host(id)),
        groups: groups.collect(),
        tasks: task_view::active_of_host(tables, id),
        pending: row.pending.is_yes(),
        deployed: row.deployed.0.map(|at| at.to_string()),
        created_by: row.created_by.clone(),
        created: row.created_time.0.map(|at| at.to_string()),
    })
}
