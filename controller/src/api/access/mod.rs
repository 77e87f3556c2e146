//! The door of the REST API: who is calling, and whether they may do what they ask for. Every request of every dialect
//! passes here before anything else looks at it.
//!
//! What a route needs is in two tables: [`rule`] for the native routes, [`super::fog::needed`] for the FOG dialect. What is
//! in neither is for administrators only, so a route that somebody forgot to enter is closed, not open.

mod rule;

use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::Problem;
use foghorn_types::Role;

use super::auth::{self, AuthError, Principal};
use super::{Ctx, fog};

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

/// Lets a request through, with its [`Principal`] among its extensions, or answers it.
pub async fn admit(State(ctx): State<Arc<Ctx>>, mut request: Request, next: Next) -> Response {
    let dialect = Dialect::of(request.uri().path());
    let Need::Role(needed) = need(dialect, &request) else { return next.run(request).await };
    match auth::authenticate(&ctx.state, request.headers()).await {
        Err(error) => turned_away(dialect, error),
        Ok(caller) if caller.role < needed => forbidden(&caller, needed),
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    }
}

/// Every native route that has been entered in the table, with the least role it needs (`None`: open to everybody).
pub fn native_routes() -> impl Iterator<Item = (&'static Method, &'static str, Option<Role>)> {
    rule::RULES.iter().map(|(method, route, need)| match need {
        Need::Nothing => (method, *route, None),
        Need::Role(role) => (method, *route, Some(*role)),
    })
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
        (Dialect::Fog, error) => return error.into_response(),
        (Dialect::Native, AuthError::User) => StatusCode::UNAUTHORIZED,
        (Dialect::Native, AuthError::ApiToken | AuthError::ApiOff) => StatusCode::FORBIDDEN,
    };
    problem(status, error.to_string())
}

fn forbidden(caller: &Principal, needed: Role) -> Response {
    problem(StatusCode::FORBIDDEN, format!("this needs the role {needed}, and {} has {}", caller.name, caller.role))
}

fn problem(status: StatusCode, error: String) -> Response {
    (status, Json(Problem { error, field: None })).into_response()
}
