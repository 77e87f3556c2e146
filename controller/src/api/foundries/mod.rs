//! The operators' routes of the FoundriesFactory dialect, under `/ota`: what `fioctl` and scripts for
//! such a factory expect, over our own state. Storage groups are factories, versions of images targets.
//!
//! Thin: [`super::access`] has checked the token and its scope, a handler checks the factory, calls
//! [`crate::app::devices`] and renders. What is served and what is not is in `docs/api/foundries.md`.

mod config;
mod config_view;
mod denied;
mod device_view;
mod devices;
mod factories;
mod group_view;
mod groups;
mod here;
mod input;
mod not_served;
mod page;
mod queue_view;
mod queues;
mod refused;
mod registration;
mod shape;
mod status_view;
mod target_view;
mod targets;
mod tests;
mod times;
mod updates;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;

pub(crate) use self::here::PlainHttp;
pub(super) use self::shape::{FactoryError, shape};
use super::routes::{Declared, Routes};
use crate::ctx::Ctx;

/// Bodies are lists of targets at most; those of configurations have a limit of their own.
const BODY_LIMIT: usize = 1 << 20;

/// Everything under `/ota`, and what is said of it.
pub(super) fn router(ctx: &Arc<Ctx>) -> (Router, Vec<Declared>) {
    let (small, mut declared) = small().into_parts();
    let (configs, further) = config::routes().into_parts();
    declared.extend(further);
    let router = Router::new()
        .merge(small.layer(DefaultBodyLimit::max(BODY_LIMIT)))
        .merge(configs.layer(DefaultBodyLimit::max(config::BODY_LIMIT)))
        .with_state(ctx.clone());
    (router, declared)
}

/// Every route, for the description.
#[cfg(test)]
pub(super) fn declared() -> Vec<Declared> {
    let all = small().and(config::routes());
    all.into_parts().1
}

fn small() -> Routes<Arc<Ctx>> {
    Routes::new()
        .and(devices::routes())
        .and(registration::routes())
        .and(updates::routes())
        .and(tests::routes())
        .and(denied::routes())
        .and(targets::routes())
        .and(groups::routes())
        .and(factories::routes())
        .and(queues::routes())
}
