//! The controllers that share the store.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::controllers::{ControllerList, ControllerStatus};
use foghorn_types::Role;

use crate::api::routes::{Routes, get};
use crate::ctx::Ctx;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new().add(
        get("/foghorn/v1/controllers", list)
            .needs(Role::ReadOnly)
            .named(
                "controllers",
                "controllers",
                "List the controllers that share the store",
            )
            .about("As the controller that answers knows them.")
            .gives::<ControllerList>(200, "In the order of their ids."),
    )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<ControllerList> {
    let own = ctx.peers.own();
    let heard: HashMap<_, _> = ctx.peers.heard_by_id().into_iter().collect();
    // Before the tables are locked: whoever holds the links reads the tables.
    let counts = ctx.links.counts();
    let controllers = ctx.state.read_at(|tables, revision| {
        let controllers = tables.controllers().iter();
        controllers
            .map(|controller| {
                let answers = controller.id == own;
                let reached = match answers {
                    true => Some(revision),
                    false => heard.get(&controller.id).copied(),
                };
                let at = if answers { "" } else { &*controller.id };
                let nodes = counts.get(at).copied().unwrap_or_default();
                ControllerStatus {
                    id: controller.id.clone(),
                    answers,
                    heard: reached.is_some(),
                    leaving: controller.leaving,
                    behind: reached.map(|reached| revision.saturating_sub(reached)),
                    peers: controller.peers.clone(),
                    link: controller.link.clone(),
                    software: controller.software.clone(),
                    nodes: u32::try_from(nodes).unwrap_or(u32::MAX),
                }
            })
            .collect()
    });
    Json(ControllerList { controllers })
}
