//! The door of the REST API: who is calling, and whether they may do what they ask for. Every request of every dialect
//! passes here before anything else looks at it.
//!
//! What a route needs is in two tables: `rule` for the native routes, `api::fog::needed` for the FOG dialect. What is
//! in neither is for administrators only, so a route that somebody forgot to enter is closed, not open.

mod rule;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::{Problem, TRACEPARENT};
use foghorn_types::Role;

use super::auth::{self, AuthError, Principal};
use super::fog;
use crate::ctx::Ctx;
use crate::state::actor::{self, Actor};

/// What a route needs of its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Nothing: the route holds no data, or checks a token of its own.
    Nothing,
    /// A user with at least this role.
    Role(Role),
}

/// Which words a refusal has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// FOG's: no words, and a redirect when the API is off.
    Fog,
    Native,
}

impl Dialect {
    fn of(path: &str) -> Self {
        if path == "/fog" || path.starts_with("/fog/") { Self::Fog } else { Self::Native }
    }
}

/// Lets a request through, with its [`Principal`] among its extensions and on its behalf, or answers it.
pub async fn admit(State(ctx): State<Arc<Ctx>>, mut request: Request, next: Next) -> Response {
    let dialect = Dialect::of(request.uri().path());
    let Need::Role(needed) = need(dialect, &request) else { return next.run(request).await };
    let from = address_of(&ctx, &request);
    let caller = match auth::authenticate(&ctx, request.headers(), from, dialect == Dialect::Native).await {
        Ok(caller) if caller.role < needed => return forbidden(&caller, needed),
        Ok(caller) => caller,
        Err(error) => return turned_away(dialect, error),
    };
    // Reading changes nothing, and most requests read.
    let actor = (!is_reading(request.method())).then(|| acting(&caller, from, &request));
    request.extensions_mut().insert(caller);
    match actor {
        Some(actor) => actor::on_behalf(actor, next.run(request)).await,
        None => next.run(request).await,
    }
}

/// The address that a request comes from.
pub(super) fn address_of(ctx: &Ctx, request: &Request) -> IpAddr {
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|connection| connection.0.ip());
    ctx.doors.address_of(connection, request.headers())
}

fn is_reading(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// Longer names of requests are cut off: the log is no place to keep a caller's texts.
const LONGEST_NOTE: usize = 200;

fn acting(caller: &Principal, from: IpAddr, request: &Request) -> Actor {
    let headers = request.headers();
    Actor {
        user: caller.user,
        name: caller.name.clone(),
        from,
        method: request.method().to_string(),
        path: request.uri().path().chars().take(LONGEST_NOTE).collect(),
        request: note(headers, "x-request-id").or_else(|| trace_id(headers)).unwrap_or_default(),
        idempotency_key: note(headers, "idempotency-key"),
    }
}

fn note(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then(|| text.chars().take(LONGEST_NOTE).collect())
}

/// The second part of a W3C trace context.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    headers.get(TRACEPARENT)?.to_str().ok()?.split('-').nth(1).map(str::to_owned)
}

/// Every native route that has been entered in the table, with the least role it needs (`None`: open to everybody).
pub fn native_routes() -> impl Iterator<Item = (&'static Method, &'static str, Option<Role>)> {
    rule::RULES.iter().map(|(method, route, need)| match need {
        Need::Nothing => (method, *route, None),
        Need::Role(role) => (method, *route, Some(*role)),
    })
}

/// The role that a route needs, as the description of the API spells it (`/fog/host/{id}`); `None` where everybody may.
pub(super) fn role_for(method: &Method, route: &str) -> Option<Role> {
    let need = match route.strip_prefix("/fog/") {
        Some(_) => fog::needed(method, &route.replace("{id}", "1")),
        None => rule::needed(method, route),
    };
    match need {
        Need::Nothing => None,
        Need::Role(role) => Some(role),
    }
}

fn need(dialect: Dialect, request: &Request) -> Need {
    match dialect {
        Dialect::Fog => fog::needed(request.method(), request.uri().path()),
        Dialect::Native => {
            let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
            // axum answers HEAD with the handler of GET.
            let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
            route.map_or(Need::Role(Role::Administrator), |route| rule::needed(method, route))
        }
    }
}

fn turned_away(dialect: Dialect, error: AuthError) -> Response {
    let status = match (dialect, error) {
        (_, AuthError::TooMany { wait }) => return too_many(wait, error.to_string()),
        (Dialect::Fog, error) => return error.into_response(),
        (Dialect::Native, AuthError::User) => StatusCode::UNAUTHORIZED,
        (Dialect::Native, AuthError::ApiToken | AuthError::ApiOff) => StatusCode::FORBIDDEN,
    };
    problem(status, error.to_string())
}

fn too_many(wait: Duration, error: String) -> Response {
    let mut response = problem(StatusCode::TOO_MANY_REQUESTS, error);
    let seconds = wait.as_secs() + 1;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn forbidden(caller: &Principal, needed: Role) -> Response {
    problem(StatusCode::FORBIDDEN, format!("this needs the role {needed}, and {} has {}", caller.name, caller.role))
}

fn problem(status: StatusCode, error: String) -> Response {
    (status, Json(Problem { error, field: None })).into_response()
}
