//! Users of the API, and the API's own switch and token. For administrators: see [`crate::api::access`].

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::accounts::{
    ApiSwitch, NewUser, PasswordChange, PasswordState, TokenMade, UserCreated, UserEdit, UserList, UserView,
};
use tracing::info;

use super::error::Refused;
use super::json::{Body, Id};
use super::operator::Operator;
use crate::app::users::{self, NewAccount, Secret};
use crate::app::{accounts, passwords};
use crate::ctx::Ctx;
use crate::state::classes::User;
use crate::state::value::Flag;

fn view(user: &User) -> UserView {
    UserView {
        id: user.id,
        name: user.name.clone(),
        role: user.role(),
        api: user.api == Flag::Yes,
        has_token: !user.token_hash.is_empty(),
        password: match user.password_hash.as_str() {
            "" => PasswordState::None,
            hash if passwords::is_imported(hash) => PasswordState::Imported,
            _ => PasswordState::Set,
        },
        created: user.created_time.0.map(|time| time.to_string()).unwrap_or_default(),
    }
}

fn shown(ctx: &Ctx, id: u32) -> Result<UserView, Refused> {
    ctx.state
        .read(|tables| tables.of::<User>().get(id).map(|row| view(row)))
        .ok_or_else(|| Refused::not_found("user", id))
}

pub(super) async fn list(State(ctx): State<Arc<Ctx>>, _operator: Operator) -> Json<UserList> {
    Json(UserList { users: ctx.state.read(|tables| tables.of::<User>().ordered().map(|row| view(row)).collect()) })
}

pub(super) async fn show(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(id): Id<u32>,
) -> Result<Json<UserView>, Refused> {
    shown(&ctx, id).map(Json)
}

/// At most one of password and hash.
fn secret(password: Option<String>, hash: Option<String>) -> Result<Secret, Refused> {
    match (password, hash) {
        (Some(_), Some(_)) => {
            Err(Refused::field(StatusCode::BAD_REQUEST, "password_hash", "give a password or a hash, not both"))
        }
        (Some(password), None) => Ok(Secret::Password(password)),
        (None, Some(hash)) => Ok(Secret::Imported(hash)),
        (None, None) => Ok(Secret::None),
    }
}

pub(super) async fn create(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Body(request): Body<NewUser>,
) -> Result<(StatusCode, Json<UserCreated>), Refused> {
    let secret = secret(request.password, request.password_hash)?;
    let new = NewAccount { name: request.name, role: request.role, api: request.api.unwrap_or(true), secret };
    let (id, token) = users::create(&ctx.state, new).await?;
    info!(user = id, "user made");
    Ok((StatusCode::CREATED, Json(UserCreated { user: shown(&ctx, id)?, token })))
}

pub(super) async fn edit(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(id): Id<u32>,
    Body(request): Body<UserEdit>,
) -> Result<Json<UserView>, Refused> {
    users::edit(&ctx.state, id, request.role, request.api).await?;
    shown(&ctx, id).map(Json)
}

pub(super) async fn remove(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(id): Id<u32>,
) -> Result<StatusCode, Refused> {
    users::remove(&ctx.state, id).await?;
    info!(user = id, "user removed");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn password(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(id): Id<u32>,
    Body(request): Body<PasswordChange>,
) -> Result<StatusCode, Refused> {
    let secret = secret(request.password, request.password_hash)?;
    if secret == Secret::None {
        return Err(Refused::field(StatusCode::BAD_REQUEST, "password", "a password or a hash is needed"));
    }
    users::set_password(&ctx.state, id, secret).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn token(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(id): Id<u32>,
) -> Result<Json<TokenMade>, Refused> {
    Ok(Json(TokenMade { token: users::reset_token(&ctx.state, id).await? }))
}

fn switch(ctx: &Ctx) -> ApiSwitch {
    ApiSwitch { enabled: ctx.state.read(|tables| tables.api().is_some_and(|api| api.enabled)) }
}

pub(super) async fn api(State(ctx): State<Arc<Ctx>>, _operator: Operator) -> Json<ApiSwitch> {
    Json(switch(&ctx))
}

pub(super) async fn set_api(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Body(request): Body<ApiSwitch>,
) -> Result<Json<ApiSwitch>, Refused> {
    accounts::set_api_enabled(&ctx.state, request.enabled).await?;
    info!(enabled = request.enabled, "API switched");
    Ok(Json(switch(&ctx)))
}

pub(super) async fn api_token(State(ctx): State<Arc<Ctx>>, _operator: Operator) -> Result<Json<TokenMade>, Refused> {
    let token = accounts::token()?;
    accounts::set_api_token(&ctx.state, &token).await?;
    info!("API token replaced");
    Ok(Json(TokenMade { token }))
}
