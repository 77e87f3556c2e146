//! REST: one folder per dialect over one domain, and what all of them share.

pub mod access;
pub mod auth;
mod edge;
pub mod events;
pub mod fog;
pub mod native;
pub mod openapi;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;

use self::events::Hub;
use crate::agents::jobs::Jobs;
use crate::agents::links::Links;
use crate::agents::live::Live;
use crate::app::snapin_files::Uploads;
use crate::config::MulticastConfig;
use crate::plugins::Plugins;
use crate::state::State;
use crate::trust::Trust;

/// What handlers work with. Cheap to clone behind an [`Arc`]; every dialect's `router` takes `Arc<Ctx>`.
pub struct Ctx {
    pub state: Arc<State>,
    pub live: Arc<Live>,
    pub trust: Arc<Trust>,
    pub links: Arc<Links>,
    pub jobs: Arc<Jobs>,
    pub events: Arc<Hub>,
    /// Files on their way to storage nodes.
    pub uploads: Arc<Uploads>,
    pub plugins: Arc<Plugins>,
    pub settings: Settings,
    /// Counts failed log-ins.
    pub doors: access::Doors,
}

/// The part of the configuration that handlers need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time from its creation in which a task must end.
    pub task_deadline: Duration,
    /// Which groups multicast sessions are sent to, and how.
    pub multicast: MulticastConfig,
    /// `host:port` under which agents reach the gRPC link.
    pub link_address: String,
    /// Name in the controller's certificate on the link.
    pub link_server_name: String,
    /// Life of a boot token when the request names none.
    pub boot_token_ttl: Duration,
    /// Life of a join token when the request names none.
    pub join_token_ttl: Duration,
    /// Upper bound of a client certificate's life; a task's deadline may shorten it.
    pub client_certificate_lifetime: Duration,
}

/// Every route of every dialect, each behind [`access`].
pub fn router(ctx: Arc<Ctx>) -> Router {
    let routes = Router::new()
        .merge(openapi::router(ctx.clone()))
        .merge(native::router(ctx.clone()))
        .merge(fog::router(ctx.clone()));
    edge::wrap(routes.layer(axum::middleware::from_fn_with_state(ctx, access::admit)))
}
