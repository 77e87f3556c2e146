//! REST: one folder per dialect over one domain, and what all of them share.

pub mod access;
pub mod auth;
mod edge;
pub mod events;
mod factory_tokens;
pub mod fog;
mod foundries;
pub mod native;
pub mod openapi;
mod rehearsal;
mod routes;
mod settled;
mod stale;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};

use self::access::{Budget, Door, Need, Rules};
pub(crate) use self::foundries::PlainHttp;
use self::routes::Declared;
use crate::ctx::Ctx;

/// Every route of every dialect, each behind [`access`].
pub fn router(ctx: Arc<Ctx>) -> Router {
    let (native, declared) = native::routes().into_parts();
    let (pages, declared_pages) = openapi::routes().into_parts();
    let is_factory = ctx.settings.foundries;
    let (factory, declared_factory) = match is_factory {
        true => foundries::router(&ctx),
        false => (Router::new(), Vec::new()),
    };
    let all = [&declared, &declared_pages, &declared_factory];
    let rules = Rules::new(
        all.into_iter().flat_map(|declared| rules_of(declared)),
        fog::needed,
    );
    let book = openapi::Book::new(ctx.clone(), declared, declared_factory);
    let book = Arc::new(book);
    let routes = Router::new()
        .merge(
            native
                .layer(DefaultBodyLimit::max(native::BODY_LIMIT))
                .with_state(ctx.clone()),
        )
        .merge(pages.with_state(book))
        .merge(fog::router(ctx.clone()))
        .merge(factory)
        .layer(from_fn_with_state(ctx.clone(), settled::settle));
    let stale = from_fn_with_state(ctx.clone(), stale::say);
    let door = Door {
        ctx,
        rules: Arc::new(rules),
        budget: Arc::new(Budget::default()),
        files: &native::UPLOAD_PATHS,
    };
    let admitted = routes.layer(from_fn_with_state(door, access::admit));
    let answered = admitted.layer(stale);
    edge::wrap(match is_factory {
        true => answered.layer(from_fn(foundries::shape)),
        false => answered,
    })
}

fn rules_of(declared: &[Declared]) -> impl Iterator<Item = (Method, &'static str, Need)> {
    declared
        .iter()
        .map(|route| (route.method.clone(), route.path, route.need))
}

/// Every native route and what it requires of its caller.
#[must_use]
pub fn native_routes() -> Vec<(Method, &'static str, Need)> {
    let (pages, native) = (openapi::routes(), native::routes());
    rules_of(pages.declared())
        .chain(rules_of(native.declared()))
        .collect()
}
