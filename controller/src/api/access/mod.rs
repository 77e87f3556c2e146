//! Access control of the REST API: who is calling, and whether they may do what they request. Every
//! request of every dialect is checked here first.
//!
//! What a native route needs is part of its declaration (`super::routes`), and `api::fog::needed`
//! says it for the FOG dialect. Callers of the FoundriesFactory dialect have factory tokens. A path that neither knows is for administrators only: closed, not
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
use super::factory_tokens::{self, TurnedAway};
use crate::app::accounts;
use crate::app::devices::tokens::Caller;
use crate::ctx::Ctx;
use crate::state::actor::{self, Actor};

/// The form of a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// That of FOG: no message, and a redirect when the API is off.
    Fog,
    Native,
    /// That of a FoundriesFactory: callers have tokens of their own. Its form is given to refusals by
    /// `api::foundries`, which reads those of [`Dialect::Native`].
    Foundries,
}

impl Dialect {
    fn of(path: &str, foundries: bool) -> Self {
        let is_below = |root: &str| {
            let rest = path.strip_prefix(root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if is_below("/fog") {
            Self::Fog
        } else if foundries && is_below("/ota") {
            Self::Foundries
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
    let dialect = Dialect::of(request.uri().path(), ctx.settings.foundries);
    let from = address_of(&ctx, &request);
    let need = need(&rules, dialect, &request);
    if need == Need::Nothing {
        return match budget.of_stranger(from) {
            Ok(charge) => pass(charge, is_file, request, next).await,
            Err(no_room) => no_room.answer(),
        };
    }
    let caller = match called(&ctx, dialect, need, request.headers(), from).await {
        Ok(caller) => caller,
        Err(refused) => return *refused,
    };
    let charge = match budget.of_user(caller.user()) {
        Ok(charge) => charge,
        Err(no_room) => return no_room.answer(),
    };
    // Reads change nothing, and most requests are reads.
    let actor = (!is_reading(request.method())).then(|| acting(&caller, from, &request));
    match caller {
        Called::User(user) => {
            accounts::used(&ctx, &user.name).await;
            request.extensions_mut().insert(user);
        }
        Called::Token(caller) => {
            request.extensions_mut().insert(caller);
        }
    }
    match actor {
        Some(actor) => actor::on_behalf(actor, pass(charge, is_file, request, next)).await,
        None => pass(charge, is_file, request, next).await,
    }
}

/// Whoever is let in.
enum Called {
    User(Principal),
    /// With a factory token.
    Token(Caller),
}

impl Called {
    const fn user(&self) -> u32 {
        match self {
            Self::User(user) => user.user,
            Self::Token(caller) => caller.user,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::User(user) => &user.name,
            Self::Token(caller) => &caller.name,
        }
    }
}

/// Who calls, if that is somebody who may do what is needed; otherwise the answer.
async fn called(
    ctx: &Ctx,
    dialect: Dialect,
    need: Need,
    headers: &HeaderMap,
    from: IpAddr,
) -> Result<Called, Box<Response>> {
    if dialect == Dialect::Foundries {
        let caller = factory_tokens::authenticate(ctx, headers, from);
        let caller = caller.map_err(|error| Box::new(no_token(error)))?;
        // A path that is none needs a token, of any kind: there is nothing to be seen or done.
        if let Need::Scope(scope) = need {
            let allowed = caller.may(scope, None);
            allowed.map_err(|why| Box::new(problem(StatusCode::FORBIDDEN, why.to_string())))?;
        }
        return Ok(Called::Token(caller));
    }
    let needed = match need {
        Need::Role(role) => role,
        // No route of the other dialects is declared so.
        Need::Nothing | Need::Scope(_) => Role::Administrator,
    };
    let caller = auth::authenticate(ctx, headers, from, dialect == Dialect::Native).await;
    match caller {
        Ok(caller) if caller.role < needed => Err(Box::new(forbidden(&caller, needed))),
        Ok(caller) => Ok(Called::User(caller)),
        Err(error) => Err(Box::new(turned_away(dialect, error))),
    }
}

fn no_token(error: TurnedAway) -> Response {
    match error {
        TurnedAway::TooMany { wait } => too_many(wait, error.to_string()),
        error => problem(StatusCode::UNAUTHORIZED, error.to_string()),
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

fn acting(caller: &Called, from: IpAddr, request: &Request) -> Actor {
    let headers = request.headers();
    Actor {
        user: caller.user(),
        name: caller.name().to_owned(),
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
        Dialect::Foundries => rules.foundries(request.method(), path_of(request)),
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
        (_, AuthError::User) => StatusCode::UNAUTHORIZED,
        (_, AuthError::ApiToken | AuthError::ApiOff) => StatusCode::FORBIDDEN,
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
