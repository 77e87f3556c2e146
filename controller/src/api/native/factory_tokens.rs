//! Tokens for the API of a FoundriesFactory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::native::{
    FactoryTokenCreated, FactoryTokenList, FactoryTokenStatus, Named, NewFactoryToken,
};
use foghorn_types::{FactoryTokenId, Role};

use super::error::Refused;
use super::input::{Body, Id};
use super::nodes::ttl;
use crate::api::auth::Principal;
use crate::api::routes::{Routes, delete, get, post};
use crate::app::devices::factories::name_of;
use crate::app::devices::tokens::{self, CreateError, Terms};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::classes::User;
use crate::state::machines::scope::Scope;
use crate::state::machines::token::FactoryToken;

const ALL: &str = "/foghorn/v1/factory-tokens";
/// In seconds.
const TEN_YEARS: u32 = 10 * 365 * 24 * 60 * 60;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get(ALL, list)
                .needs(Role::Administrator)
                .named("users", "factory_tokens", "List factory tokens")
                .about("They are for the API of a FoundriesFactory under `/ota`.")
                .gives::<FactoryTokenList>(200, "Without their secrets."),
        )
        .add(
            post(ALL, create)
                .needs(Role::Administrator)
                .named("users", "create_factory_token", "Create a factory token")
                .about("It never may do more than its user may at that moment.")
                .rehearses()
                .takes::<NewFactoryToken>()
                .gives::<FactoryTokenCreated>(201, "The token, shown once.")
                .refuses(&[404, 409]),
        )
        .add(
            delete("/foghorn/v1/factory-tokens/{id}", revoke)
                .needs(Role::Administrator)
                .named("users", "revoke_factory_token", "Revoke a factory token")
                .rehearses()
                .path::<FactoryTokenId>("id", "Id of the token.")
                .gives_nothing(204, "It is not accepted any more.")
                .refuses(&[404]),
        )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<FactoryTokenList> {
    let tokens = ctx.state.read(|tables| {
        let all = tokens::list(tables);
        all.iter().map(|token| view(tables, token)).collect()
    });
    Json(FactoryTokenList { tokens })
}

fn view(tables: &Tables, token: &FactoryToken) -> FactoryTokenStatus {
    let user = tables.of::<User>().get(token.user);
    let factories = token.factories.iter().map(|id| Named {
        id: *id,
        name: name_of(tables, *id),
    });
    FactoryTokenStatus {
        id: token.id,
        user: user.map(|user| user.name.clone()).unwrap_or_default(),
        description: token.description.clone(),
        scopes: token.scopes.iter().map(ToString::to_string).collect(),
        factories: factories.collect(),
        created: token.created.to_string(),
        expires: token.expires.map(|expires| expires.to_string()),
    }
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    caller: Principal,
    Body(request): Body<NewFactoryToken>,
) -> Result<(StatusCode, Json<FactoryTokenCreated>), Refused> {
    let user = match &request.user {
        None => caller.user,
        Some(name) => user_named(&ctx, name)?,
    };
    let ttl = request.ttl_seconds.map(ttl_of).transpose()?;
    let terms = Terms {
        user,
        description: request.description,
        scopes: scopes(&request.scopes)?,
        factories: request.factories,
        ttl,
    };
    let made = tokens::create(&ctx.state, &terms).await?;
    let created = FactoryTokenCreated {
        id: made.id,
        token: made.text,
        expires: made.expires.map(|expires| expires.to_string()),
        served: ctx.settings.foundries,
    };
    Ok((StatusCode::CREATED, Json(created)))
}

fn ttl_of(seconds: u32) -> Result<Duration, Refused> {
    ttl(Some(seconds), TEN_YEARS, Duration::ZERO)
}

fn user_named(ctx: &Ctx, name: &str) -> Result<u32, Refused> {
    let found = ctx.state.read(|tables| {
        let user = tables.of::<User>().named(name);
        user.map(|user| user.id)
    });
    found.ok_or_else(|| {
        let why = format!("user {name:?} does not exist");
        Refused::field(StatusCode::NOT_FOUND, "user", why)
    })
}

fn scopes(texts: &[String]) -> Result<BTreeSet<Scope>, Refused> {
    let read = texts.iter().map(|text| text.parse::<Scope>());
    let read: Result<BTreeSet<Scope>, _> = read.collect();
    read.map_err(|error| Refused::field(StatusCode::BAD_REQUEST, "scopes", error.to_string()))
}

async fn revoke(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<FactoryTokenId>,
) -> Result<StatusCode, Refused> {
    tokens::revoke(&ctx.state, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<CreateError> for Refused {
    fn from(error: CreateError) -> Self {
        let text = error.to_string();
        match error {
            CreateError::NoUser(_) => Self::field(StatusCode::NOT_FOUND, "user", text),
            CreateError::NoFactory(_) => Self::field(StatusCode::NOT_FOUND, "factories", text),
            CreateError::NoScope | CreateError::Scope { .. } => {
                Self::field(StatusCode::BAD_REQUEST, "scopes", text)
            }
            CreateError::LongDescription => {
                Self::field(StatusCode::BAD_REQUEST, "description", text)
            }
            CreateError::TooMany => Self::new(StatusCode::CONFLICT, text),
            CreateError::Token(error) => error.into(),
            CreateError::State(refusal) => refusal.into(),
        }
    }
}
