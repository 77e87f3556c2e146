//! Foghorn's own routes: enrolment and check-in (no credentials but a token), operations beside the
//! dialects, health.

mod audit;
mod background;
mod backups;
mod boot_tokens;
mod client_files;
mod clients;
mod cold;
mod controllers;
mod damage;
mod devices;
mod error;
mod factory_tokens;
mod gauges;
mod groups;
mod health;
mod host_tokens;
mod hosts;
mod identity;
mod image_versions;
mod images;
mod input;
mod join_tokens;
mod multicast;
mod names;
mod node_status;
mod nodes;
mod notes;
mod notifications;
mod orphans;
mod paging;
mod replication;
mod ring_policies;
mod schedules;
mod sites;
mod snapin_files;
mod snapins;
mod state_files;
mod store;
mod task_orders;
mod task_view;
mod tasks;
pub mod telemetry;
mod user_tracking;
mod users;
mod waking;
mod wording;

use std::sync::Arc;

use foghorn_types::Role;
use schemars::JsonSchema;

use super::events;
use super::routes::{Route, Routes, get};
use crate::ctx::Ctx;

/// Routes whose bodies are files of any size, and take as long as they take.
pub(super) const UPLOAD_PATHS: [&str; 2] = [snapin_files::PATH, state_files::IMPORT];

/// Bodies here are tokens, requests for certificates, and little else.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Every native route.
pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .and(health::routes())
        .and(store::routes())
        .and(backups::routes())
        .and(state_files::routes())
        .and(nodes::routes())
        .and(join_tokens::routes())
        .and(node_status::routes())
        .and(sites::routes())
        .and(ring_policies::routes())
        .and(orphans::routes())
        .and(background::routes())
        .and(controllers::routes())
        .and(clients::routes())
        .and(boot_tokens::routes())
        .and(waking::routes())
        .and(client_files::routes())
        .and(user_tracking::routes())
        .and(schedules::routes())
        .and(snapins::routes())
        .and(snapin_files::routes())
        .and(tasks::routes())
        .and(hosts::routes())
        .and(host_tokens::routes())
        .and(devices::routes())
        .and(groups::routes())
        .and(images::routes())
        .and(image_versions::routes())
        .and(identity::routes())
        .and(replication::routes())
        .and(task_orders::routes())
        .and(multicast::routes())
        .add(listen("/foghorn/v1/events", "events"))
        .add(listen("/events", "events_short").alias_of("events"))
        .and(audit::routes())
        .and(notifications::routes())
        .and(factory_tokens::routes())
        .and(users::routes())
}

/// What a listener to events may ask for. The handler reads it itself: `class` may be there several
/// times.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a description only")]
struct Wish {
    /// Classes to report, separated by commas; default: all.
    class: Option<String>,
    /// Revision after which changes are reported.
    since: Option<u64>,
}

fn listen(path: &'static str, id: &'static str) -> Route<Arc<Ctx>> {
    get(path, events::open)
        .needs(Role::ReadOnly)
        .named("events", id, "Listen to changes of objects and to progress of tasks")
        .about(
            "Events are ready, create, edit, delete, progress and reset; the data of each is a JSON object. The id of an event \
             is a revision: a client that reconnects with it receives what it has missed.",
        )
        .query::<Wish>()
        .shared_parameter("LastEventId")
        .gives_text(200, "An endless stream of events.", "text/event-stream")
        .refuses(&[429, 503])
}
