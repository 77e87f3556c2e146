//! FOG's REST dialect under `/fog`: what a script written for a FOG server expects, over our own
//! state.
//!
//! Thin: a request is authenticated, taken apart (`path`), handed to the class's `endpoint` or to
//! [`crate::app`], and answered in FOG's way (`answer`). Where we differ from FOG on purpose is in
//! `docs/fog-compatibility.md`.

mod access;
mod answer;
mod dynamic;
mod endpoint;
mod etag;
mod filter;
mod hooked;
mod once;
mod page;
mod path;
mod plugin;
mod request;
mod search_all;
mod select;
mod tasking;
mod web_pages;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use percent_encoding::percent_decode_str;

pub(super) use self::access::needed;
use self::dynamic::DynamicEndpoint;
use self::endpoint::{Endpoint, Look, of};
pub(super) use self::etag::mark_encoded;
use self::etag::{OnlyIf, Tag};
use self::page::Page;
use self::path::Route;
use self::plugin::PluginEndpoint;
use self::request::Incoming;
pub(super) use self::tasking::{CANCELLED, TASKED};
use super::rehearsal;
use crate::app::idempotent::Ticket;
use crate::ctx::Ctx;
use crate::state::class::Class;
use crate::state::classes::{self, Plugin, User};
use crate::state::rehearsal::{is_on, rehearse};
use crate::state::scene::Scene;
use crate::state::schema::ClassSchema;
use crate::state::{Refusal, State};

macro_rules! of_every {
    ($($module:ident::$class:ident,)*) => { &[$(&of::<classes::$class>(),)*] };
}

/// Classes of the program that have routes: all but users, whom native routes change.
fn own() -> impl Iterator<Item = &'static dyn Endpoint> {
    const ALL: &[&dyn Endpoint] = classes::every_class!(of_every);
    ALL.iter()
        .copied()
        .filter(|class| class.name() != User::NAME)
}

/// Everything under `/fog`.
pub fn router(ctx: Arc<Ctx>) -> Router {
    Router::new()
        .route("/fog", any(handle))
        .route("/fog/", any(handle))
        .route("/fog/{*rest}", any(handle))
        .with_state(ctx)
}

async fn handle(Extract(ctx): Extract<Arc<Ctx>>, request: Request) -> Response {
    if let Some(page) = web_pages::answer(request.method(), request.uri()) {
        return page;
    }
    let incoming = match Incoming::read(&ctx, request).await {
        Ok(incoming) => incoming,
        Err(refused) => return refused.into_response(),
    };
    let dispatched = match rehearsal::is_wanted(&incoming.method, incoming.uri()) {
        Ok(false) => dispatch(&ctx, &incoming).await,
        Ok(true) => rehearse(dispatch(&ctx, &incoming)).await,
        Err(why) => Err(why),
    };
    match dispatched {
        Ok(response) => response,
        Err(refusal) => answer::refused(&refusal),
    }
}

/// What every class with routes is now, for the API's description.
pub(super) fn schemas(state: &State) -> Vec<ClassSchema> {
    let declared = state.declared();
    let own = own().map(|endpoint| {
        let mut schema = endpoint.schema();
        schema.accept(declared.members_of(endpoint.name()));
        schema
    });
    own.chain(
        declared
            .classes
            .iter()
            .map(|class| ClassSchema::declared(class, &declared)),
    )
    .collect()
}

/// What the classes of the program are.
#[cfg(test)]
pub(super) fn own_schemas() -> Vec<ClassSchema> {
    own().map(|endpoint| endpoint.schema()).collect()
}

/// A class that a request names: one of ours, or one of a plugin.
enum Found {
    Own(&'static dyn Endpoint),
    OfPlugins(DynamicEndpoint),
    Plugin(PluginEndpoint),
}

impl Deref for Found {
    type Target = dyn Endpoint;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Own(endpoint) => *endpoint,
            Self::OfPlugins(endpoint) => endpoint,
            Self::Plugin(endpoint) => endpoint,
        }
    }
}

/// Every class that has routes now.
fn endpoints(ctx: &Ctx) -> impl Iterator<Item = Found> {
    let own = own().map(|own| served(ctx, own));
    let all = own.chain(DynamicEndpoint::all(&ctx.state).map(Found::OfPlugins));
    all.filter(|found| ctx.plugins.is_valid(found.name()))
}

/// The class with this name, unless plugins have taken its routes away.
fn endpoint(ctx: &Ctx, class: &str) -> Option<Found> {
    let is_named =
        |endpoint: &&dyn Endpoint| endpoint.name() == class || endpoint.aliases().contains(&class);
    let found = match own().find(is_named) {
        Some(own) => served(ctx, own),
        None => Found::OfPlugins(DynamicEndpoint::of(&ctx.state, class)?),
    };
    ctx.plugins.is_valid(found.name()).then_some(found)
}

fn served(ctx: &Ctx, own: &'static dyn Endpoint) -> Found {
    match own.name() {
        Plugin::NAME => Found::Plugin(PluginEndpoint::new(ctx.plugins.clone())),
        _ => Found::Own(own),
    }
}

/// Whether there are routes for a class of this name.
pub(super) fn serves(ctx: &Ctx, class: &str) -> bool {
    endpoint(ctx, class).is_some_and(|endpoint| endpoint.name() == class)
}

/// Where nobody in particular is looking from.
const NOBODY: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// An object as a caller without secrets sees it by its id.
pub(super) fn shown(ctx: &Ctx, class: &str, id: u32) -> Option<Vec<u8>> {
    let endpoint = endpoint(ctx, class)?;
    let mut out = Vec::with_capacity(4096);
    let shown = ctx.state.read(|tables| {
        endpoint
            .get(
                &Scene {
                    tables,
                    glance: &*ctx.live,
                    secrets: false,
                    from: NOBODY,
                },
                id,
                "",
                &mut out,
            )
            .is_some()
    });
    shown.then_some(out)
}

async fn dispatch(ctx: &Ctx, incoming: &Incoming) -> Result<Response, Refusal> {
    let unknown = || Ok(answer::empty(StatusCode::NOT_IMPLEMENTED));
    let Some(route) = path::parse(&incoming.method, incoming.path()) else {
        return unknown();
    };
    if route == Route::Info {
        return Ok(answer::ok("success\n"));
    }
    if let Route::SearchAll { text } = route {
        return search_all::answer(ctx, incoming, text).await;
    }
    let Some(found) = endpoint(ctx, class_of(&route)) else {
        return unknown();
    };
    let endpoint: &dyn Endpoint = &*found;
    match route {
        Route::Task { .. } | Route::Cancel { .. } if !ctx.plugins.has_tasks(endpoint.name()) => {
            return unknown();
        }
        Route::Cancel { id, .. } => {
            return tasking::cancel(ctx, endpoint.name(), id, incoming).await;
        }
        Route::Active { .. }
            if !endpoint.has_active() || !ctx.plugins.has_active(endpoint.name()) =>
        {
            return unknown();
        }
        _ => {}
    }
    let response = match route {
        Route::Create { .. } | Route::Task { .. } => match once::key(incoming)? {
            // A dry run may be repeated as often as somebody likes.
            Some(key) if !is_on() => once::carry_out(ctx, endpoint, &route, incoming, key).await?,
            _ => make(ctx, endpoint, &route, incoming, None).await?,
        },
        _ => change(ctx, endpoint, &route, incoming).await?,
    };
    let response = hooked::finished(ctx, endpoint.name(), &route, response).await;
    Ok(etag::unless_known(incoming, response))
}

fn class_of<'p>(route: &Route<'p>) -> &'p str {
    match route {
        Route::Info => "system",
        Route::Version | Route::Page => "service",
        Route::SearchAll { .. } => "search",
        Route::List { class, .. }
        | Route::Active { class }
        | Route::Names { class }
        | Route::Ids { class, .. }
        | Route::Search { class, .. }
        | Route::Get { class, .. }
        | Route::Create { class }
        | Route::Edit { class, .. }
        | Route::Delete { class, .. }
        | Route::Task { class, .. }
        | Route::Cancel { class, .. } => class,
    }
}

/// Creates an object or a task.
async fn make(
    ctx: &Ctx,
    endpoint: &dyn Endpoint,
    route: &Route<'_>,
    incoming: &Incoming,
    ticket: Option<&Ticket>,
) -> Result<Response, Refusal> {
    if let Route::Task { id, .. } = *route {
        return tasking::create(ctx, endpoint.name(), id, incoming, ticket).await;
    }
    let body = incoming.json()?;
    let id = endpoint
        .create(&ctx.state, &body, &incoming.caller.created_by, ticket)
        .await?;
    Ok(show(ctx, endpoint, id, "", incoming))
}

async fn change(
    ctx: &Ctx,
    endpoint: &dyn Endpoint,
    route: &Route<'_>,
    incoming: &Incoming,
) -> Result<Response, Refusal> {
    match *route {
        Route::Edit { id, .. } => {
            let mut body = incoming.json()?;
            let is_whole = body.contains_key("id");
            if is_whole && !incoming.wants_secrets() {
                ctx.state
                    .read(|tables| endpoint.leave_hidden(tables, id, &mut body));
            }
            let only_if = OnlyIf::read(incoming, &*ctx.live);
            endpoint
                .edit(&ctx.state, id, &body, &incoming.caller.created_by, &only_if)
                .await?;
            Ok(show(ctx, endpoint, id, "", incoming))
        }
        Route::Delete { id, .. } => {
            endpoint
                .delete(&ctx.state, id, &OnlyIf::read(incoming, &*ctx.live))
                .await?;
            Ok(answer::empty(StatusCode::OK))
        }
        Route::Get { id, item, .. } => Ok(show(ctx, endpoint, id, item, incoming)),
        _ => read(ctx, endpoint, route, incoming),
    }
}

fn show(ctx: &Ctx, endpoint: &dyn Endpoint, id: u32, item: &str, incoming: &Incoming) -> Response {
    let mut out = Vec::with_capacity(4096);
    match with_scene(ctx, incoming, |scene| {
        endpoint.get(scene, id, item, &mut out)
    }) {
        Some(revision) => etag::answer(&Tag::of_object(revision, &out), out),
        None => answer::refused(&Refusal::NotFound {
            class: endpoint.name(),
            id,
        }),
    }
}

fn read(
    ctx: &Ctx,
    endpoint: &dyn Endpoint,
    route: &Route<'_>,
    incoming: &Incoming,
) -> Result<Response, Refusal> {
    let filter = match route {
        Route::List { .. } | Route::Active { .. } => incoming.json()?,
        _ => Default::default(),
    };
    let page = Page::read(incoming.uri())?;
    let look = match *route {
        Route::List { item, .. } => Some(Look::List {
            filter: &filter,
            item,
        }),
        Route::Active { .. } => Some(Look::Active { filter: &filter }),
        Route::Names { .. } => Some(Look::Names),
        Route::Ids { field, .. } => field.map(Look::Values),
        Route::Search { text, .. } => Some(Look::Search(text)),
        _ => None,
    };
    let (mut out, mut total) = (Vec::new(), 0);
    match look {
        Some(look) => {
            total = with_scene(ctx, incoming, |scene| {
                show_found(endpoint, scene, &look, &page, &mut out)
            })?;
        }
        None => out.extend_from_slice(b"[]"),
    }
    let mut response = etag::answer(&Tag::of_list(&out), out);
    page.announce(incoming.uri(), total, &mut response);
    Ok(response)
}

/// As FOG, takes the text of a search as it is in the path. When that finds nothing, it was
/// percent-encoded, as most clients do.
fn show_found(
    endpoint: &dyn Endpoint,
    scene: &Scene<'_>,
    look: &Look<'_>,
    page: &Page,
    out: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    let total = endpoint.show(scene, look, page, out)?;
    let Look::Search(text) = *look else {
        return Ok(total);
    };
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) if total == 0 && decoded != text => {
            out.clear();
            endpoint.show(scene, &Look::Search(&decoded), page, out)
        }
        _ => Ok(total),
    }
}

fn with_scene<R>(ctx: &Ctx, incoming: &Incoming, look: impl FnOnce(&Scene<'_>) -> R) -> R {
    let secrets = incoming.wants_secrets();
    let from = incoming.from;
    ctx.state.read(|tables| {
        look(&Scene {
            tables,
            glance: &*ctx.live,
            secrets,
            from,
        })
    })
}
