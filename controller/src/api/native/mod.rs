//! Foghorn's own routes: enrolment and check-in (no credentials but a token), operations beside the dialects, health.

mod audit;
mod clients;
mod error;
mod health;
mod json;
mod multicast;
mod node_status;
mod nodes;
mod operator;
mod schedules;
mod snapin_files;
mod snapins;
mod tasks;
pub mod telemetry;
mod user_tracking;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use foghorn_proto::http::{CA_PATH, CHECK_IN_PATH, ENROL_PATH, ORDER_PATH};

use super::events;
use crate::ctx::Ctx;

/// Bodies here are tokens, requests for certificates, and little else.
const BODY_LIMIT: usize = 64 * 1024;

/// Bodies of any size, whose time is bounded by silence and not by the clock.
pub(crate) const SNAPIN_FILE: &str = "/foghorn/v1/snapins/{id}/file";

/// Every native route.
pub fn router(ctx: Arc<Ctx>) -> Router {
    Router::new()
        .route(CA_PATH, get(nodes::authority))
        .route(ENROL_PATH, post(nodes::enrol))
        .route(CHECK_IN_PATH, post(clients::check_in))
        .route(ORDER_PATH, get(clients::order))
        .route("/foghorn/v1/api", get(users::api).put(users::set_api))
        .route("/foghorn/v1/api/token", post(users::api_token))
        .route("/foghorn/v1/audit", get(audit::list))
        .route("/foghorn/v1/hosts/{id}/boot-token", post(clients::boot_token))
        .route("/foghorn/v1/hosts/{id}/user-tracking", post(user_tracking::report))
        .route("/foghorn/v1/events", get(events::open))
        .route("/events", get(events::open))
        .route("/foghorn/v1/hosts/{id}/snapins/next", get(snapins::next))
        .route("/foghorn/v1/hosts/{id}/snapintasks/{task}/result", post(snapins::result))
        .route(SNAPIN_FILE, get(snapin_files::download).put(snapin_files::upload))
        .route("/foghorn/v1/nodes", get(node_status::list))
        .route("/foghorn/v1/nodes/join-token", post(nodes::join_token))
        .route("/foghorn/v1/nodes/{id}/revoke", post(nodes::revoke))
        .route("/foghorn/v1/nodes/{id}/scrub", post(nodes::scrub))
        .route("/foghorn/v1/images/{id}", get(tasks::image))
        .route("/foghorn/v1/images/{id}/verify", post(nodes::verify))
        .route("/foghorn/v1/jobs/{id}", get(nodes::job))
        .route("/foghorn/v1/hosts/{id}/power", get(schedules::power))
        .route("/foghorn/v1/schedules", get(schedules::list))
        .route("/foghorn/v1/tasks", get(tasks::list))
        .route("/foghorn/v1/tasks/{id}", get(tasks::show))
        .route("/foghorn/v1/multicast-sessions", get(multicast::list).post(multicast::create))
        .route(
            "/foghorn/v1/multicast-sessions/{id}",
            get(multicast::show).patch(multicast::edit).delete(multicast::cancel),
        )
        .route("/foghorn/v1/users", get(users::list).post(users::create))
        .route("/foghorn/v1/users/{id}", get(users::show).patch(users::edit).delete(users::remove))
        .route("/foghorn/v1/users/{id}/password", put(users::password))
        .route("/foghorn/v1/users/{id}/token", post(users::token))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(ctx)
}
