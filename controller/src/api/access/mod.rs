//! Access control of the REST API: who is calling, and whether they may do what they request. Every
//! request of every dialect is checked here first.
//!
//! What a native route needs is part of its declaration (`super::routes`), and `api::fog::needed`
//! says it for the FOG dialect. A path that neither knows is for administrators only: closed, not
//! open.

mod budget;
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

pub(super) use self::budget::Budget;
use self::budget::{Asked, Charge};
pub use self::rule::Need;
pub(super) use self::rule::Rules;
use super::auth::{self, AuthError, Principal};
use crate::app::accounts;
use crate::ctx::Ctx;
use crate::state::actor::{self, Actor};

/// The form of a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// That of FOG: no message, and a redirect when the API is off.
    Fog,
    Native,
}

impl Dialect {
    fn of(path: &str) -> Self {
        if path == "/fog" || path.starts_with("/fog/") {
            Self::Fog
        } else {
            Self::Native
        }
    }
}

/// The inputs of [`admit`].
#[derive(Clone)]
pub(super) struct Door {
    pub(super) ctx: Arc<Ctx>,
    pub(super) rules: Arc<Rules>,
    pub(super) budget: Arc<Budget>,
    /// The routes whose bodies go to the disk as they come.
    pub(super) files: &'static [&'static str],
}

/// Passes a request on, with its [`Principal`] as an extension, or refuses it.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let Door {
        ctx,
        rules,
        budget,
        files,
    } = door;
    let is_file = files.contains(&path_of(&request));
    let dialect = Dialect::of(request.uri().path());
    let from = address_of(&ctx, &request);
    let Need::Role(needed) = need(&rules, dialect, &request) else {
        return match budget.of_stranger(from) {
            Ok(charge) => pass(charge, is_file, request, next).await,
            Err(no_room) => no_room.answer(),
        };
    };
    let caller =
        match auth::authenticate(&ctx, request.headers(), from, dialect == Dialect::Native).await {
            Ok(caller) if caller.role < needed => return forbidden(&caller, needed),
            Ok(caller) => caller,
            Err(error) => return turned_away(dialect, error),
        };
    let charge = match budget.of_user(caller.user) {
        Ok(charge) => charge,
        Err(no_room) => return no_room.answer(),
    };
    accounts::used(&ctx, &caller.name).await;
    // Reads change nothing, and most requests are reads.
    let actor = (!is_reading(request.method())).then(|| acting(&caller, from, &request));
    request.extensions_mut().insert(caller);
    match actor {
        Some(actor) => actor::on_behalf(actor, pass(charge, is_file, request, next)).await,
        None => pass(charge, is_file, request, next).await,
    }
}

/// Carries out a request that is let in, at the expense of whoever sent it.
async fn pass(charge: Charge, is_file: bool, request: Request, next: Next) -> Response {
    let asked = Asked::of(request.method(), request.headers());
    let request = if is_file {
        request
    } else {
        request.map(|body| charge.body(body))
    };
    charge.answer(&asked, next.run(request).await)
}

/// The address of the client.
pub(super) fn address_of(ctx: &Ctx, request: &Request) -> IpAddr {
    let connection = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|connection| connection.0.ip());
    ctx.doors.address_of(connection, request.headers())
}

fn is_reading(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// Longer request ids are truncated, so that callers cannot store arbitrary texts in the log.
const LONGEST_NOTE: usize = 200;

fn acting(caller: &Principal, from: IpAddr, request: &Request) -> Actor {
    let headers = request.headers();
    Actor {
        user: caller.user,
        name: caller.name.clone(),
        from,
        method: request.method().to_string(),
        path: request.uri().path().chars().take(LONGEST_NOTE).collect(),
        request: note(headers, "x-request-id")
            .or_else(|| trace_id(headers))
            .unwrap_or_default(),
        idempotency_key: note(headers, "idempotency-key"),
    }
}

fn note(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then(|| text.chars().take(LONGEST_NOTE).collect())
}

/// The second part of a W3C trace context.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    headers
        .get(TRACEPARENT)?
        .to_str()
        .ok()?
        .split('-')
        .nth(1)
        .map(str::to_owned)
}

fn need(rules: &Rules, dialect: Dialect, request: &Request) -> Need {
    match dialect {
        Dialect::Fog => rules.fog(request.method(), request.uri().path()),
        Dialect::Native => rules.native(request.method(), path_of(request)),
    }
}

/// The path of the route, as it was declared.
fn path_of(request: &Request) -> &str {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or("", MatchedPath::as_str)
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
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn forbidden(caller: &Principal, needed: Role) -> Response {
    problem(
        StatusCode::FORBIDDEN,
        format!(
            "this needs the role {needed}, and {} has {}",
            caller.name, caller.role
        ),
    )
}

fn problem(status: StatusCode, error: String) -> Response {
    (status, Json(Problem { error, field: None })).into_response()
}
