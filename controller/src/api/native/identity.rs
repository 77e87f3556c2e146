//! Whether a deploy puts an identity of the machine on its disk.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::native::{HostStatus, IdentityEdit, ImageStatus};
use foghorn_types::{HostId, ImageId, Role};

use super::error::Refused;
use super::input::{Body, Id};
use super::{hosts, images};
use crate::api::routes::{Routes, put};
use crate::app::devices::identity::{self, ChooseError};
use crate::ctx::Ctx;
use crate::state::machines::identity::IdentityOf;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            put("/foghorn/v1/hosts/{id}/identity", of_host)
                .needs(Role::Operator)
                .named("hosts", "host_identity", "Choose whether a deploy gives a host an identity")
                .about(
                    "The client then enrols the machine once the disk is written and verified, as device of this host, \
                     and puts key, certificate and settings on the root file system. The deploy fails if that fails.",
                )
                .path::<HostId>("id", "Id of the host.")
                .rehearses()
                .takes::<IdentityEdit>()
                .gives::<HostStatus>(200, "The host as it is now.")
                .refuses(&[404, 409]),
        )
        .add(
            put("/foghorn/v1/images/{id}/identity", of_image)
                .needs(Role::Operator)
                .named("images", "image_identity", "Choose whether deploys of an image give machines an identity")
                .about("For hosts of which nothing else was said. It is off unless it is switched on.")
                .path::<ImageId>("id", "Id of the image.")
                .rehearses()
                .takes::<IdentityEdit>()
                .gives::<ImageStatus>(200, "The image as it is now.")
                .refuses(&[404, 409]),
        )
}

async fn of_host(
    State(ctx): State<Arc<Ctx>>,
    Id(host): Id<HostId>,
    Body(request): Body<IdentityEdit>,
) -> Result<Json<HostStatus>, Refused> {
    identity::choose(&ctx, IdentityOf::Host(host), request.identity).await?;
    hosts::show(State(ctx), Id(host)).await
}

async fn of_image(
    State(ctx): State<Arc<Ctx>>,
    Id(image): Id<ImageId>,
    Body(request): Body<IdentityEdit>,
) -> Result<Json<ImageStatus>, Refused> {
    identity::choose(&ctx, IdentityOf::Image(image), request.identity).await?;
    images::show(State(ctx), Id(image)).await
}

impl From<ChooseError> for Refused {
    fn from(error: ChooseError) -> Self {
        match error {
            ChooseError::NoGateway => Self::new(StatusCode::CONFLICT, error.to_string()),
            ChooseError::State(refusal) => refusal.into(),
        }
    }
}
