//! REST: one folder per dialect over one domain, and what all of them share.

pub mod access;
pub mod auth;
mod edge;
pub mod events;
pub mod fog;
pub mod native;
pub mod openapi;

use std::sync::Arc;

use axum::Router;

use crate::ctx::Ctx;

/// Every route of every dialect, each behind [`access`].
pub fn router(ctx: Arc<Ctx>) -> Router {
    let routes = Router::new()
        .merge(openapi::router(ctx.clone()))
        .merge(native::router(ctx.clone()))
        .merge(fog::router(ctx.clone()));
    edge::wrap(routes.layer(axum::middleware::from_fn_with_state(ctx, access::admit)))
}
