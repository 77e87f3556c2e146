//! Users of the API, and the API's own switch and token. For administrators.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::accounts::{
    ApiSwitch, NewUser, PasswordChange, PasswordState, TokenMade, UserCreated, UserEdit, UserList,
    UserView,
};
use foghorn_types::Role;
use tracing::info;

use super::error::Refused;
use super::input::{Body, Id};
use crate::api::routes::{Routes, delete, get, patch, post, put};
use crate::app::users::{self, NewAccount, Secret};
use crate::app::{accounts, passwords};
use crate::ctx::Ctx;
use crate::state::classes::User;
use crate::state::value::Flag;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    users().and(credentials()).and(api_as_a_whole())
}

fn users() -> Routes<Arc<Ctx>> {
    const ONE: &str = "/foghorn/v1/users/{id}";
    Routes::new()
        .add(
            get("/foghorn/v1/users", list)
                .needs(Role::Administrator)
                .named("users", "users", "List users")
                .gives::<UserList>(200, "In the order of their names."),
        )
        .add(
            post("/foghorn/v1/users", create)
                .needs(Role::Administrator)
                .named("users", "create_user", "Create a user")
                .rehearses()
                .takes::<NewUser>()
                .gives::<UserCreated>(201, "The user, with a token shown once.")
                .refuses(&[404, 409]),
        )
        .add(
            get(ONE, show)
                .needs(Role::Administrator)
                .named("users", "user", "Show a user")
                .path::<NonZeroU32>("id", "Id of the user.")
                .gives::<UserView>(200, "The user.")
                .refuses(&[404]),
        )
        .add(
            patch(ONE, edit)
                .needs(Role::Administrator)
                .named("users", "edit_user", "Change a user")
                .path::<NonZeroU32>("id", "Id of the user.")
                .rehearses()
                .takes::<UserEdit>()
                .gives::<UserView>(200, "The user.")
                .refuses(&[404, 409]),
        )
        .add(
            delete(ONE, remove)
                .needs(Role::Administrator)
                .named("users", "remove_user", "Remove a user")
                .path::<NonZeroU32>("id", "Id of the user.")
                .rehearses()
                .gives_nothing(204, "The user is removed.")
                .refuses(&[404, 409]),
        )
}

fn credentials() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            put("/foghorn/v1/users/{id}/password", password)
                .needs(Role::Administrator)
                .named("users", "user_password", "Set the password of a user")
                .path::<NonZeroU32>("id", "Id of the user.")
                .takes::<PasswordChange>()
                .gives_nothing(204, "It is set.")
                .refuses(&[404, 409]),
        )
        .add(
            post("/foghorn/v1/users/{id}/token", token)
                .needs(Role::Administrator)
                .named("users", "user_token", "Replace the token of a user")
                .path::<NonZeroU32>("id", "Id of the user.")
                .gives::<TokenMade>(200, "The token, shown once.")
                .refuses(&[404, 409]),
        )
}

fn api_as_a_whole() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/api", api)
                .needs(Role::Administrator)
                .named(
                    "users",
                    "api",
                    "Show whether the dialects of other servers are served",
                )
                .gives::<ApiSwitch>(200, "The switch."),
        )
        .add(
            put("/foghorn/v1/api", set_api)
                .needs(Role::Administrator)
                .named(
                    "users",
                    "set_api",
                    "Turn the dialects of other servers on or off",
                )
                .rehearses()
                .takes::<ApiSwitch>()
                .gives::<ApiSwitch>(200, "The switch."),
        )
        .add(
            post("/foghorn/v1/api/token", api_token)
                .needs(Role::Administrator)
                .named("users", "api_token", "Replace the API token")
                .rehearses()
                .gives::<TokenMade>(200, "The token, shown once."),
        )
}

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
        created: user
            .created_time
            .0
            .map(|time| time.to_string())
            .unwrap_or_default(),
    }
}

fn shown(ctx: &Ctx, id: u32) -> Result<UserView, Refused> {
    ctx.state
        .read(|tables| tables.of::<User>().get(id).map(|row| view(row)))
        .ok_or_else(|| Refused::not_found("user", id))
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<UserList> {
    Json(UserList {
        users: ctx
            .state
            .read(|tables| tables.of::<User>().ordered().map(|row| view(row)).collect()),
    })
}

async fn show(State(ctx): State<Arc<Ctx>>, Id(id): Id<u32>) -> Result<Json<UserView>, Refused> {
    shown(&ctx, id).map(Json)
}

/// At most one of password and hash.
fn secret(password: Option<String>, hash: Option<String>) -> Result<Secret, Refused> {
    match (password, hash) {
        (Some(_), Some(_)) => Err(Refused::field(
            StatusCode::BAD_REQUEST,
            "password_hash",
            "give a password or a hash, not both",
        )),
        (Some(password), None) => Ok(Secret::Password(password)),
        (None, Some(hash)) => Ok(Secret::Imported(hash)),
        (None, None) => Ok(Secret::None),
    }
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<NewUser>,
) -> Result<(StatusCode, Json<UserCreated>), Refused> {
    let secret = secret(request.password, request.password_hash)?;
    let new = NewAccount {
        name: request.name,
        role: request.role,
        api: request.api.unwrap_or(true),
        secret,
    };
    let (id, token) = users::create(&ctx.state, new).await?;
    info!(user = id, "user created");
    Ok((
        StatusCode::CREATED,
        Json(UserCreated {
            user: shown(&ctx, id)?,
            token,
        }),
    ))
}

async fn edit(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<u32>,
    Body(request): Body<UserEdit>,
) -> Result<Json<UserView>, Refused> {
    users::edit(&ctx.state, id, request.role, request.api).await?;
    shown(&ctx, id).map(Json)
}

async fn remove(State(ctx): State<Arc<Ctx>>, Id(id): Id<u32>) -> Result<StatusCode, Refused> {
    users::remove(&ctx.state, id).await?;
    info!(user = id, "user removed");
    Ok(StatusCode::NO_CONTENT)
}

async fn password(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<u32>,
    Body(request): Body<PasswordChange>,
) -> Result<StatusCode, Refused> {
    let secret = secret(request.password, request.password_hash)?;
    if secret == Secret::None {
        return Err(Refused::field(
            StatusCode::BAD_REQUEST,
            "password",
            "a password or a hash is required",
        ));
    }
    users::set_password(&ctx.state, id, secret).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn token(State(ctx): State<Arc<Ctx>>, Id(id): Id<u32>) -> Result<Json<TokenMade>, Refused> {
    Ok(Json(TokenMade {
        token: users::reset_token(&ctx.state, id).await?,
    }))
}

fn switch(ctx: &Ctx) -> ApiSwitch {
    ApiSwitch {
        enabled: ctx
            .state
            .read(|tables| tables.api().is_some_and(|api| api.enabled)),
    }
}

async fn api(State(ctx): State<Arc<Ctx>>) -> Json<ApiSwitch> {
    Json(switch(&ctx))
}

async fn set_api(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<ApiSwitch>,
) -> Result<Json<ApiSwitch>, Refused> {
    accounts::set_api_enabled(&ctx.state, request.enabled).await?;
    info!(enabled = request.enabled, "API turned on or off");
    Ok(Json(switch(&ctx)))
}

async fn api_token(State(ctx): State<Arc<Ctx>>) -> Result<Json<TokenMade>, Refused> {
    let token = accounts::token()?;
    accounts::set_api_token(&ctx.state, &token).await?;
    info!("API token replaced");
    Ok(Json(TokenMade { token }))
}
