//! Who may use the routes that are not for agents and clients: a user whom [`crate::api::access`] has let in.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::error::Refused;
use crate::api::auth::{AuthError, Principal};
use crate::ctx::Ctx;

/// The caller is a user with the role that the route needs. A handler that takes one is closed to everybody else, even if
/// the table of routes forgot it.
pub(super) struct Operator;

impl FromRequestParts<Arc<Ctx>> for Operator {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _ctx: &Arc<Ctx>) -> Result<Self, Refused> {
        match parts.extensions.get::<Principal>() {
            Some(_) => Ok(Self),
            None => Err(Refused::new(StatusCode::UNAUTHORIZED, AuthError::User.to_string())),
        }
    }
}
