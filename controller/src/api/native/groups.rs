//! Groups of hosts in Foghorn's own words.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::native::{GroupList, GroupStatus, Named};
use foghorn_types::{GroupId, HostId, ImageId, Role};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::Refused;
use super::input::{Id, Query};
use super::names::image_name;
use super::paging::{self, page};
use super::{hosts, task_view};
use crate::api::routes::{Routes, get};
use crate::ctx::Ctx;
use crate::state::classes::{Group, GroupAssociation};
use crate::state::table::is_listed;
use crate::state::{Row, Tables};

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/groups", list)
                .needs(Role::ReadOnly)
                .named("hosts", "groups", "List groups of hosts")
                .query::<Asked>()
                .gives::<GroupList>(200, "In the order of their names."),
        )
        .add(
            get("/foghorn/v1/groups/{id}", show)
                .needs(Role::ReadOnly)
                .named("hosts", "group", "Show a group of hosts with its members")
                .path::<GroupId>("id", "Id of the group.")
                .gives::<GroupStatus>(200, "The group.")
                .refuses(&[404]),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Where to continue: `next` of an earlier answer.
    after: Option<String>,
    /// Maximum number of groups in the answer, 1 to 1000; default 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(asked): Query<Asked>,
) -> Result<Json<GroupList>, Refused> {
    let limit = paging::limit(asked.limit)?;
    let page = ctx.state.read(|tables| {
        let rows = tables.of::<Group>().named_after(asked.after.as_deref());
        page(
            rows,
            limit,
            |row| row.name.clone(),
            |row| is_listed::<Group>(row).then(|| view(tables, row)).flatten(),
        )
    });
    Ok(Json(GroupList {
        groups: page.items,
        next: page.next,
    }))
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(group): Id<GroupId>,
) -> Result<Json<GroupStatus>, Refused> {
    ctx.state
        .read(|tables| {
            let row = tables.of::<Group>().get(group.get())?;
            Some(with_members(tables, group, view(tables, row)?))
        })
        .map(Json)
        .ok_or_else(|| Refused::not_found("group", group))
}

fn view(tables: &Tables, row: &Row<Group>) -> Option<GroupStatus> {
    let members = tables
        .of::<GroupAssociation>()
        .count_by(GroupAssociation::BY_GROUP, row.id.into());
    Some(GroupStatus {
        id: GroupId::new(row.id)?,
        name: row.name.clone(),
        description: row.description.clone(),
        host_count: u32::try_from(members).unwrap_or(u32::MAX),
        hosts: None,
        images: None,
        tasks: None,
        created_by: row.created_by.clone(),
        created: row.created_time.0.map(|at| at.to_string()),
    })
}

fn with_members(tables: &Tables, group: GroupId, status: GroupStatus) -> GroupStatus {
    let mut rows: Vec<_> = hosts::members(tables, group)
        .into_iter()
        .filter_map(|id| tables.hosts().get(id))
        .collect();
    rows.sort_by_cached_key(|row| (row.name.to_lowercase(), row.id));
    let images: BTreeSet<ImageId> = rows
        .iter()
        .filter_map(|row| ImageId::new(row.image))
        .collect();
    let hosts: Vec<Named<HostId>> = rows
        .iter()
        .filter_map(|row| {
            Some(Named {
                id: row.key()?,
                name: row.name.clone(),
            })
        })
        .collect();
    let tasks = hosts
        .iter()
        .flat_map(|host| task_view::active_of_host(tables, host.id))
        .collect();
    GroupStatus {
        hosts: Some(hosts),
        images: Some(
            images
                .into_iter()
                .map(|id| image_name(tables, id))
                .collect(),
        ),
        tasks: Some(tasks),
        ..status
    }
}
