//! The gateway of devices in the FoundriesFactory dialect: an own listener, which requires a
//! certificate that the authority has issued for a device. What a device fetches and says is here;
//! what operators see of it is elsewhere. Also the registration of devices ([`register`]), which is a route
//! of the operators' listener.
//!
//! Every request goes through `door` first: who is it, may it, what does it say in its headers.

mod budget;
mod configs;
mod door;
mod events;
mod host_work;
mod refused;
pub mod register;
mod renewal;
mod shown;
mod test_results;
mod told;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post, put};

use self::door::Door;
pub(crate) use self::refused::Refused;
use crate::ctx::Ctx;
use crate::state::machines::tests::LONGEST_ARTIFACT;

/// Bytes of a body, where the route needs no more.
const BODY: usize = 128 << 10;
/// The same of events: as many as are taken at once, each with long details.
const EVENTS_BODY: usize = 512 << 10;
/// The same of files of a configuration: the largest one, with half of its bytes escaped.
const CONFIG_BODY: usize = 2 << 20;
/// The largest of all.
const LARGEST_BODY: usize = CONFIG_BODY;

/// Everything that devices may ask for.
pub fn router(ctx: Arc<Ctx>) -> Router {
    let door = Door::new(ctx.clone());
    Router::new()
        .route(
            "/config",
            limited(get(configs::get).patch(configs::patch), CONFIG_BODY),
        )
        .route("/device", get(shown::get))
        .route("/system_info", limited(put(told::hardware), BODY))
        .route("/system_info/network", limited(put(told::network), BODY))
        .route("/system_info/config", limited(put(told::settings), BODY))
        .route("/apps-states", limited(post(told::apps), BODY))
        .route("/certificate", limited(post(renewal::post), BODY))
        .route("/events", limited(post(events::post), EVENTS_BODY))
        .route("/tests", limited(post(test_results::begin), BODY))
        .route("/tests/{id}", limited(put(test_results::end), BODY))
        .route(
            "/tests/{id}/{artifact}",
            limited(put(test_results::artifact), LONGEST_ARTIFACT),
        )
        .merge(host_work::routes())
        .fallback(|| async { Refused::no_route() })
        .method_not_allowed_fallback(|| async { Refused::no_method() })
        .with_state(ctx)
        .layer(from_fn_with_state(door, door::admit))
}

fn limited(routes: MethodRouter<Arc<Ctx>>, bytes: usize) -> MethodRouter<Arc<Ctx>> {
    routes.layer(DefaultBodyLimit::max(bytes))
}
