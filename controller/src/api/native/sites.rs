//! Sites: storage groups with their subnets and fallbacks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::native::{Named, SiteEdit, SiteList, SiteStatus};
use foghorn_types::{Role, StorageGroupId};

use super::error::Refused;
use super::input::{Body, Id};
use crate::api::routes::{Routes, get, put};
use crate::app::sites;
use crate::ctx::Ctx;
use crate::state::classes::{Group, StorageGroup};
use crate::state::site::SiteBody;
use crate::state::{Row, Tables};

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/sites", list)
                .needs(Role::ReadOnly)
                .named("nodes", "sites", "List the sites")
                .about("Every storage group is a site.")
                .gives::<SiteList>(200, "In the order of their numbers."),
        )
        .add(
            get("/foghorn/v1/sites/{id}", show)
                .needs(Role::ReadOnly)
                .named("nodes", "site", "Show a site")
                .path::<StorageGroupId>("id", "Id of the storage group.")
                .gives::<SiteStatus>(200, "The site.")
                .refuses(&[404]),
        )
        .add(
            put("/foghorn/v1/sites/{id}", edit)
                .needs(Role::Administrator)
                .named("nodes", "edit_site", "Change subnets, fallbacks, time zone and sources of a site")
                .about(
                    "What is not given stays as it is. A host belongs to the site with the smallest \
                     subnet that it checks in from; else to that of its location, or of a group of \
                     hosts that the site names.",
                )
                .path::<StorageGroupId>("id", "Id of the storage group.")
                .rehearses()
                .takes::<SiteEdit>()
                .gives::<SiteStatus>(200, "The site as it is now.")
                .refuses(&[400, 404, 409]),
        )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<SiteList> {
    let sites = ctx.state.read(|tables| {
        let rows = tables.of::<StorageGroup>().iter();
        rows.filter_map(|row| view(&ctx, tables, row)).collect()
    });
    Json(SiteList { sites })
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(group): Id<StorageGroupId>,
) -> Result<Json<SiteStatus>, Refused> {
    ctx.state
        .read(|tables| view(&ctx, tables, tables.of::<StorageGroup>().get(group.get())?))
        .map(Json)
        .ok_or_else(|| Refused::not_found("storage group", group))
}

async fn edit(
    State(ctx): State<Arc<Ctx>>,
    Id(group): Id<StorageGroupId>,
    Body(request): Body<SiteEdit>,
) -> Result<Json<SiteStatus>, Refused> {
    sites::edit(&ctx, group, |site| change(site, &request)).await?;
    show(State(ctx), Id(group)).await
}

fn change(site: &mut SiteBody, request: &SiteEdit) {
    if let Some(subnets) = &request.subnets {
        site.subnets.clone_from(subnets);
    }
    if let Some(groups) = &request.host_groups {
        site.host_groups.clone_from(groups);
    }
    if let Some(fallbacks) = &request.fallbacks {
        site.fallbacks.clone_from(fallbacks);
    }
    if let Some(zone) = &request.time_zone {
        let zone = zone.trim();
        site.time_zone = (!zone.is_empty()).then(|| zone.to_owned());
    }
    if let Some(most) = request.sources_per_client {
        site.sources_per_client = (most > 0).then_some(most);
    }
}

fn view(ctx: &Ctx, tables: &Tables, row: &Row<StorageGroup>) -> Option<SiteStatus> {
    let id = StorageGroupId::new(row.id)?;
    let body = tables.sites().get(&id).map(|site| site.body.clone());
    let body = body.unwrap_or_default();
    let nodes = sites::nodes(tables, id);
    let online = |node: &&&Row<_>| {
        let node: &Row<crate::state::classes::StorageNode> = node;
        let live = node.key().and_then(|node| ctx.live.node(node));
        live.is_some_and(|live| live.is_linked())
    };
    Some(SiteStatus {
        id,
        name: row.name.clone(),
        subnets: body.subnets,
        host_groups: body
            .host_groups
            .iter()
            .map(|id| Named {
                id: *id,
                name: tables
                    .of::<Group>()
                    .get(id.get())
                    .map(|row| row.name.clone())
                    .unwrap_or_default(),
            })
            .collect(),
        fallbacks: body
            .fallbacks
            .iter()
            .map(|id| Named {
                id: *id,
                name: tables
                    .of::<StorageGroup>()
                    .get(id.get())
                    .map(|row| row.name.clone())
                    .unwrap_or_default(),
            })
            .collect(),
        time_zone: body.time_zone,
        sources_per_client: body.sources_per_client,
        nodes: nodes.iter().map(|node| node.name.clone()).collect(),
        nodes_online: u32::try_from(nodes.iter().filter(online).count()).unwrap_or(u32::MAX),
    })
}
