//! Who may use the routes that are not for agents and clients: whoever may use the REST API.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::error::Refused;
use crate::api::Ctx;
use crate::api::auth::{self, AuthError};

/// The request carries the API token and a user's credentials. A handler that takes one is closed to everybody else.
pub(super) struct Operator;

impl FromRequestParts<Arc<Ctx>> for Operator {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, ctx: &Arc<Ctx>) -> Result<Self, Refused> {
        match auth::authenticate(&ctx.state, &parts.headers).await {
            Ok(_) => Ok(Self),
            Err(error @ AuthError::User) => Err(Refused::new(StatusCode::UNAUTHORIZED, error.to_string())),
            Err(error) => Err(Refused::new(StatusCode::FORBIDDEN, error.to_string())),
        }
    }
}
