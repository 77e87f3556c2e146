//! Who speaks, and whether it may. What every request says in its headers is noted here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use foghorn_types::chain;
use tracing::debug;

use super::budget::{Budget, Charge};
use super::refused::Refused;
use crate::app::devices::contact::{self, ContactError, Headers, Identity};
use crate::ctx::Ctx;
use crate::state::machines::device::Device;
use crate::trust::{DeviceCertificate, PeerCertificate};

/// See the module.
#[derive(Clone)]
pub(super) struct Door {
    ctx: Arc<Ctx>,
    budget: Arc<Budget>,
}

/// The device that has sent a request, as it is since the door.
#[derive(Clone)]
pub(super) struct Speaker(pub(super) Arc<Device>);

impl Door {
    pub(super) fn new(ctx: Arc<Ctx>) -> Self {
        Self {
            ctx,
            budget: Arc::default(),
        }
    }

    /// Who has sent a request, and what it says; without reading the body.
    fn hears(&self, request: &Request) -> Result<(Identity, Headers, Charge), Refused> {
        let identity = identity(request)?;
        let charge = self.budget.take(identity.uuid, request.body());
        let charge = charge.map_err(Refused::busy)?;
        Ok((identity, said(request.headers()), charge))
    }

    async fn opens(&self, identity: &Identity, said: &Headers) -> Result<Speaker, Refused> {
        let (state, seen) = (&self.ctx.state, &self.ctx.sightings);
        let contact = contact::contact(state, seen, identity, said).await?;
        Ok(Speaker(contact.device))
    }
}

/// Lets a request in, or answers it.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let (identity, said, charge) = match door.hears(&request) {
        Ok(heard) => heard,
        Err(refused) => return refused.into_response(),
    };
    match door.opens(&identity, &said).await {
        Ok(speaker) => request.extensions_mut().insert(speaker),
        Err(refused) => return refused.into_response(),
    };
    let response = next.run(request).await;
    let answered = charge.answer(response).map_err(Refused::busy);
    answered.unwrap_or_else(IntoResponse::into_response)
}

fn identity(request: &Request) -> Result<Identity, Refused> {
    let shown = request.extensions().get::<PeerCertificate>();
    let shown = shown.ok_or_else(|| {
        let message = "a certificate of a device is required";
        Refused::new(StatusCode::UNAUTHORIZED, message)
    })?;
    let certificate = DeviceCertificate::read(shown.der()).map_err(|error| {
        debug!(error = %chain(&error), "refused a certificate at the gateway of devices");
        let message = format!("this certificate opens nothing here: {error}");
        Refused::new(StatusCode::FORBIDDEN, message)
    })?;
    Ok(identity_of(certificate))
}

/// A device, as its certificate names it.
pub(super) fn identity_of(certificate: DeviceCertificate) -> Identity {
    Identity {
        uuid: certificate.name.uuid,
        factory: certificate.name.factory,
        public_key: certificate.public_key,
        fingerprint: certificate.fingerprint,
        is_prod: certificate.name.is_prod,
    }
}

fn said(headers: &HeaderMap) -> Headers {
    let text = |name: &str| {
        let value = headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Headers {
        target: text("x-ats-target"),
        tags: text("x-ats-tags"),
        hash: text("x-ats-ostreehash"),
        apps: text("x-ats-dockerapps"),
        boot: text("x-foghorn-boot"),
    }
}

impl From<ContactError> for Refused {
    fn from(error: ContactError) -> Self {
        match error {
            ContactError::State(refusal) => refusal.into(),
            refused => Self::new(StatusCode::FORBIDDEN, refused.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_missing_is_not_one_that_is_empty() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ats-target", "disk-1".parse().unwrap());
        headers.insert("X-ATS-Tags", "".parse().unwrap());
        let expected = Headers {
            target: Some("disk-1".to_owned()),
            tags: Some(String::new()),
            hash: None,
            apps: None,
            boot: None,
        };
        assert_eq!(said(&headers), expected);
    }
}
