//! Inputs of a request: who and what it is about, its body, its parameters.

use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use foghorn_types::{MachineUuid, StorageGroupId};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::page::given;
use super::refused::Refused;
use crate::app::devices::tokens::Caller;
use crate::app::devices::{factories, list};
use crate::ctx::Ctx;
use crate::state::machines::scope::Scope;

/// The bytes of a body.
pub(super) struct Raw(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let bytes = Bytes::from_request(request, state).await;
        bytes.map(Self).map_err(|rejection| {
            Refused::new(rejection.status(), "the body is too large or was cut off")
        })
    }
}

/// A JSON object as the body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        // serde would also read the members from a list, by their place.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refused::new(
                StatusCode::BAD_REQUEST,
                "the body must be a JSON object",
            ));
        }
        let read = serde_json::from_slice(&bytes);
        read.map(Self).map_err(|error| {
            Refused::new(
                StatusCode::BAD_REQUEST,
                format!("the body cannot be used: {error}"),
            )
        })
    }
}

/// The parameters of the query. Those that are not known are passed over.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refused> {
        let query = extract::Query::try_from_uri(&parts.uri);
        query
            .map(|extract::Query(members)| Self(members))
            .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.body_text()))
    }
}

/// Which device is meant, beside its name in the path.
#[derive(Deserialize, JsonSchema)]
pub(super) struct OneDevice {
    /// Name of its factory; without it, all that the token is for.
    pub(super) factory: Option<String>,
    /// `1`: what is in the path is a UUID. A UUID is understood without it, too.
    #[serde(rename = "by-uuid")]
    pub(super) by_uuid: Option<String>,
}

/// A factory by its name, if the caller may do this there.
pub(super) fn factory(
    ctx: &Ctx,
    caller: &Caller,
    scope: Scope,
    name: &str,
) -> Result<StorageGroupId, Refused> {
    let factory = ctx.state.read(|tables| factories::named(tables, name));
    let factory =
        factory.ok_or_else(|| Refused::not_found(format!("there is no factory {name:?}")))?;
    caller.may(scope, Some(factory))?;
    Ok(factory)
}

/// The same of a parameter that may be missing or empty.
pub(super) fn maybe_factory(
    ctx: &Ctx,
    caller: &Caller,
    scope: Scope,
    name: Option<&str>,
) -> Result<Option<StorageGroupId>, Refused> {
    given(name)
        .map(|name| factory(ctx, caller, scope, name))
        .transpose()
}

/// A device by its name or its UUID, if the caller may do this with it.
pub(super) fn device(
    ctx: &Ctx,
    caller: &Caller,
    scope: Scope,
    (name, one): (&str, &OneDevice),
) -> Result<MachineUuid, Refused> {
    let factory = maybe_factory(ctx, caller, scope, one.factory.as_deref())?;
    caller.may(scope, factory)?;
    let is_uuid = switch("by-uuid", one.by_uuid.as_deref())? == Some(true);
    let missing = || Refused::not_found(format!("there is no device {name:?}"));
    if is_uuid && name.parse::<MachineUuid>().is_err() {
        return Err(missing());
    }
    let found = ctx
        .state
        .read(|tables| list::find(tables, &caller.reach, factory, name));
    found.ok_or_else(missing)
}

/// Reads `1` and `0`. What is empty is not there.
pub(super) fn switch(name: &str, text: Option<&str>) -> Result<Option<bool>, Refused> {
    match given(text) {
        None => Ok(None),
        Some("1" | "true") => Ok(Some(true)),
        Some("0" | "false") => Ok(Some(false)),
        Some(other) => Err(Refused::field(
            name,
            format!("{other:?} is neither 1 nor 0"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_off_or_not_there() {
        let read = |text| switch("prod", text).ok();
        assert_eq!(read(None), Some(None));
        assert_eq!(read(Some("")), Some(None));
        assert_eq!(read(Some("1")), Some(Some(true)));
        assert_eq!(read(Some("0")), Some(Some(false)));
        assert_eq!(read(Some("yes")), None);
    }
}
