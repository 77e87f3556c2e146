//! What following a tag does at a site.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::native::{
    Named, RingDevice, RingLeftOut, RingMode, RingPolicyEdit, RingPolicyStatus,
};
use foghorn_types::{HostId, Role, StorageGroupId, Timestamp};

use super::error::Refused;
use super::input::{Body, Id};
use crate::api::routes::{Routes, get, post, put};
use crate::app::devices::factories::name_of;
use crate::app::devices::policy::{self, Shown};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::machines::policy::{self as stored, RingRules};
use crate::state::machines::window::{ParseWindowError, Window};

const ONE: &str = "/foghorn/v1/sites/{id}/ring-policy";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get(ONE, show)
                .needs(Role::ReadOnly)
                .named("nodes", "ring_policy", "Show what following a tag does at a site")
                .about("And which of its devices are being imaged, are due, or are left out and why.")
                .path::<StorageGroupId>("id", "Id of the storage group.")
                .gives::<RingPolicyStatus>(200, "The policy of the site.")
                .refuses(&[404]),
        )
        .add(
            put(ONE, edit)
                .needs(Role::Administrator)
                .named("nodes", "edit_ring_policy", "Change what following a tag does at a site")
                .about(
                    "What is not given stays as it is. In mode `auto` devices whose tag has a newer target are imaged \
                     with it: their disks are overwritten without anybody asking.",
                )
                .path::<StorageGroupId>("id", "Id of the storage group.")
                .rehearses()
                .takes::<RingPolicyEdit>()
                .gives::<RingPolicyStatus>(200, "The policy as it is now.")
                .refuses(&[400, 404]),
        )
        .add(
            post("/foghorn/v1/sites/{id}/ring-policy/resume", resume)
                .needs(Role::Administrator)
                .named("nodes", "resume_ring_policy", "Let a site go on after failures")
                .about("Devices whose attempt failed may be tried again.")
                .path::<StorageGroupId>("id", "Id of the storage group.")
                .rehearses()
                .gives::<RingPolicyStatus>(200, "The policy as it is now.")
                .refuses(&[404]),
        )
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(site): Id<StorageGroupId>,
) -> Result<Json<RingPolicyStatus>, Refused> {
    let now = Timestamp::now();
    let shown = ctx.state.read(|tables| {
        let shown = policy::show(tables, site, now)?;
        Some(view(tables, &shown))
    });
    shown
        .map(Json)
        .ok_or_else(|| Refused::not_found("storage group", site))
}

async fn edit(
    State(ctx): State<Arc<Ctx>>,
    Id(site): Id<StorageGroupId>,
    Body(request): Body<RingPolicyEdit>,
) -> Result<Json<RingPolicyStatus>, Refused> {
    let window = request.window.as_deref().map(window).transpose()?;
    policy::edit(&ctx.state, site, |rules| change(rules, &request, window)).await?;
    show(State(ctx), Id(site)).await
}

async fn resume(
    State(ctx): State<Arc<Ctx>>,
    Id(site): Id<StorageGroupId>,
) -> Result<Json<RingPolicyStatus>, Refused> {
    policy::resume(&ctx.state, site).await?;
    show(State(ctx), Id(site)).await
}

/// An empty text is no window at all.
fn window(text: &str) -> Result<Option<Window>, Refused> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let window = text.parse::<Window>().map(Some);
    window.map_err(|error: ParseWindowError| {
        Refused::field(StatusCode::BAD_REQUEST, "window", error.to_string())
    })
}

fn change(rules: &mut RingRules, request: &RingPolicyEdit, window: Option<Option<Window>>) {
    if let Some(mode) = request.mode {
        rules.mode = match mode {
            RingMode::Manual => stored::RingMode::Manual,
            RingMode::Auto => stored::RingMode::Auto,
        };
    }
    rules.window = window.unwrap_or(rules.window);
    rules.at_most = request.at_most.unwrap_or(rules.at_most);
    rules.stop_after = request.stop_after.unwrap_or(rules.stop_after);
    rules.patience = request.patience_minutes.unwrap_or(rules.patience);
    rules.by_address = request.by_address.unwrap_or(rules.by_address);
    if let Some(hosts) = &request.protected {
        rules.protected = hosts.iter().copied().collect();
    }
}

fn view(tables: &Tables, shown: &Shown) -> RingPolicyStatus {
    let policy = &shown.policy;
    let rules = &policy.rules;
    let host = |id: &HostId| {
        let row = tables.hosts().get(id.get());
        Named {
            id: *id,
            name: row.map(|row| row.name.clone()).unwrap_or_default(),
        }
    };
    let under_way = policy.orders.iter().map(|(uuid, order)| {
        let device = tables.devices().get(uuid);
        RingDevice {
            uuid: uuid.to_string(),
            name: device
                .map(|device| device.shown_name(tables))
                .unwrap_or_default(),
            task: order.task,
            target: order.target.clone(),
            ordered: order.ordered.to_string(),
            by_hand: order.by_hand,
        }
    });
    let left_out = shown.left_out.iter().map(|(why, devices)| RingLeftOut {
        why: why.to_string(),
        devices: count(*devices),
    });
    RingPolicyStatus {
        site: Named {
            id: policy.factory,
            name: name_of(tables, policy.factory),
        },
        mode: match rules.mode {
            stored::RingMode::Manual => RingMode::Manual,
            stored::RingMode::Auto => RingMode::Auto,
        },
        window: rules.window.map(|window| window.to_string()),
        at_most: rules.at_most,
        stop_after: rules.stop_after,
        patience_minutes: rules.patience,
        by_address: rules.by_address,
        protected: rules.protected.iter().map(host).collect(),
        open: shown.is_open,
        failures: policy.failures,
        held: policy.held.map(|held| held.to_string()),
        under_way: under_way.collect(),
        due: count(shown.due),
        left_out: left_out.collect(),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
