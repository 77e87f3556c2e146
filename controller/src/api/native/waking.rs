//! Waking hosts, whether they have a task or not.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::native::{HostWoken, WakeRequest, WakeResponse};
use foghorn_types::Role;

use super::boot_tokens::whom;
use super::error::Refused;
use super::input::Body;
use crate::api::routes::{Routes, post};
use crate::app::boot_tokens;
use crate::app::waking;
use crate::ctx::Ctx;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new().add(
        post("/foghorn/v1/wake", wake)
            .needs(Role::Operator)
            .named("hosts", "wake", "Wake hosts over the network")
            .about(
                "Storage nodes at the sites of the hosts send the packets; when none of them is \
                 online, all others do. The answer comes when the nodes have the order, at the \
                 latest after five seconds.",
            )
            .takes::<WakeRequest>()
            .gives::<WakeResponse>(200, "By host, through which nodes.")
            .refuses(&[404]),
    )
}

async fn wake(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<WakeRequest>,
) -> Result<Json<WakeResponse>, Refused> {
    let whom = whom(request.hosts, request.group)?;
    let hosts = ctx.state.read(|tables| boot_tokens::hosts(tables, &whom))?;
    let woken = waking::wake(&ctx.state, hosts).await?;
    let view = |woken: waking::Woken| HostWoken {
        host: woken.host,
        name: woken.name,
        macs: woken.macs,
        nodes: woken.nodes,
        at_site: woken.at_site,
    };
    Ok(Json(WakeResponse {
        hosts: woken.into_iter().map(view).collect(),
    }))
}
