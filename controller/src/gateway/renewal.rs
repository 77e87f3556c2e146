//! `POST /certificate`: a device has its certificate renewed. Not a route of the API that this dialect
//! follows.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tracing::info;

use super::door::Speaker;
use super::refused::{Refused, whole};
use crate::app::devices::factories;
use crate::ctx::Ctx;
use crate::trust::{DeviceName, DeviceRequest};

/// The body is a certificate request in PEM, of which only the key counts: it has to be the one that
/// the device is known by. The names in the certificate are those that the device has now.
pub(super) async fn post(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let body = whole(body)?;
    let pem = std::str::from_utf8(&body).map_err(|_| Refused::bad("the body is no text"))?;
    let request = DeviceRequest::read(pem)?;
    if request.public_key != device.public_key {
        let message = "the key of the certificate request is not that of the device";
        return Err(Refused::new(StatusCode::FORBIDDEN, message));
    }
    let factory = ctx
        .state
        .read(|tables| factories::name_of(tables, device.factory));
    let name = DeviceName {
        uuid: device.uuid,
        factory,
        is_prod: device.is_prod,
    };
    let issued = ctx.trust.issue_device(&name, &request);
    let issued = issued.map_err(|error| Refused::ours(&error))?;
    info!(uuid = %device.uuid, until = %issued.not_after, "the certificate of a device was renewed");
    let pem = [(header::CONTENT_TYPE, "application/x-pem-file")];
    Ok((StatusCode::CREATED, pem, issued.chain_pem).into_response())
}
