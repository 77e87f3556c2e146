//! Machines after imaging: the tokens with which they enrol, and the enrolment.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_proto::machine::{MACHINE_ENROL_PATH, MachineEnrolRequest, MachineEnrolResponse};
use foghorn_rest_types::native::{
    HostTokenCreated, HostTokenList, HostTokenStatus, Named, NewHostToken,
};
use foghorn_types::{HostTokenId, Role, chain};

use super::error::{Refused, internal, token};
use super::input::{Body, Id};
use super::nodes::ttl;
use crate::api::auth::Principal;
use crate::api::routes::{Routes, delete, get, post};
use crate::app::devices::contact::RegisterError;
use crate::app::devices::edit::EditError;
use crate::app::devices::enrol::{self, Asked, EnrolError};
use crate::app::devices::factories::name_of;
use crate::app::devices::host_tokens::{self, CreateError, Terms};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::machines::host_token::HostToken;

const YEAR: u32 = 365 * 24 * 60 * 60;
const ALL: &str = "/foghorn/v1/host-tokens";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get(ALL, list)
                .needs(Role::Operator)
                .named("hosts", "host_tokens", "List the tokens with which machines enrol")
                .gives::<HostTokenList>(200, "Without their secrets."),
        )
        .add(
            post(ALL, create)
                .needs(Role::Operator)
                .named("hosts", "create_host_token", "Create a token with which machines enrol")
                .about(
                    "With it `foghorn-host enrol` gets a machine the certificate of a device, after imaging.",
                )
                .takes::<NewHostToken>()
                .gives::<HostTokenCreated>(201, "The token, shown once.")
                .refuses(&[404, 409]),
        )
        .add(
            delete("/foghorn/v1/host-tokens/{id}", remove)
                .needs(Role::Operator)
                .named("hosts", "delete_host_token", "Delete a token with which machines enrol")
                .about("Machines that have enrolled with it stay.")
                .rehearses()
                .path::<HostTokenId>("id", "Id of the token.")
                .gives_nothing(204, "It lets nobody in any more.")
                .refuses(&[404]),
        )
        // A machine has no user: it has a token.
        .add(
            post(MACHINE_ENROL_PATH, admit)
                .open()
                .named("enrolment", "enrol_machine", "Enrol a machine after imaging")
                .about("With a machine token, for one host or for a factory.")
                .takes::<MachineEnrolRequest>()
                .gives::<MachineEnrolResponse>(200, "The machine's certificate and settings.")
                .refuses(&[403, 409]),
        )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<HostTokenList> {
    let tokens = ctx.state.read(|tables| {
        let all = host_tokens::list(tables);
        all.iter().map(|token| view(tables, token)).collect()
    });
    Json(HostTokenList { tokens })
}

fn view(tables: &Tables, token: &HostToken) -> HostTokenStatus {
    let host = token.host.map(|id| Named {
        id,
        name: tables
            .hosts()
            .get(id.get())
            .map(|row| row.name.clone())
            .unwrap_or_default(),
    });
    HostTokenStatus {
        id: token.id,
        factory: Named {
            id: token.factory,
            name: name_of(tables, token.factory),
        },
        host,
        count: token.count,
        left: token.left(),
        created: token.created.to_string(),
        expires: token.expires.to_string(),
    }
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    caller: Principal,
    Body(request): Body<NewHostToken>,
) -> Result<(StatusCode, Json<HostTokenCreated>), Refused> {
    let terms = Terms {
        host: request.host,
        factory: request.factory,
        count: request.count.unwrap_or(1),
        ttl: ttl(request.ttl_seconds, YEAR, ctx.settings.join_token_ttl)?,
        by: caller.user,
    };
    let made = host_tokens::create(&ctx, &terms).await?;
    let created = HostTokenCreated {
        id: made.id,
        token: made.text,
        factory: Named {
            id: made.factory,
            name: ctx.state.read(|tables| name_of(tables, made.factory)),
        },
        expires: made.expires.to_string(),
        served: ctx.settings.gateway_address.is_some(),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

async fn remove(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<HostTokenId>,
) -> Result<StatusCode, Refused> {
    host_tokens::delete(&ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn admit(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<MachineEnrolRequest>,
) -> Result<Json<MachineEnrolResponse>, Refused> {
    let asked = Asked {
        token: &request.token,
        csr_pem: &request.csr_pem,
        name: request.name.as_deref(),
        hardware_uuid: request.hardware_uuid,
        folder: request.folder.as_deref(),
    };
    let enrolled = enrol::enrol(&ctx, &asked).await?;
    Ok(Json(MachineEnrolResponse {
        uuid: enrolled.uuid,
        factory: enrolled.factory,
        host: enrolled.host,
        chain_pem: enrolled.chain_pem,
        sota_toml: enrolled.sota_toml,
    }))
}

impl From<CreateError> for Refused {
    fn from(error: CreateError) -> Self {
        let text = error.to_string();
        match error {
            CreateError::Count | CreateError::CountOfOne => {
                Self::field(StatusCode::BAD_REQUEST, "count", text)
            }
            CreateError::NoHost(_) => Self::field(StatusCode::NOT_FOUND, "host", text),
            CreateError::NoFactory(_) => Self::field(StatusCode::NOT_FOUND, "factory", text),
            CreateError::WhichFactory => Self::field(StatusCode::BAD_REQUEST, "factory", text),
            CreateError::OtherFactory { .. } => Self::field(StatusCode::CONFLICT, "factory", text),
            CreateError::TooMany => Self::new(StatusCode::CONFLICT, text),
            CreateError::State(refusal) => refusal.into(),
        }
    }
}

impl From<EnrolError> for Refused {
    fn from(error: EnrolError) -> Self {
        let text = error.to_string();
        match error {
            EnrolError::NoGateway => Self::new(StatusCode::CONFLICT, text),
            EnrolError::Token(error) => token(&error, "token"),
            EnrolError::UsedUp { .. }
            | EnrolError::HostGone(_)
            | EnrolError::DeployEnded
            | EnrolError::OtherFactory(_) => Self::field(StatusCode::FORBIDDEN, "token", text),
            EnrolError::Exists(_) => Self::field(StatusCode::CONFLICT, "hardware_uuid", text),
            EnrolError::NameOfHost => Self::field(StatusCode::BAD_REQUEST, "name", text),
            EnrolError::Request(_) => {
                let text = chain(&error).to_string();
                Self::field(StatusCode::BAD_REQUEST, "csr_pem", text)
            }
            EnrolError::Folder(_) => Self::field(StatusCode::BAD_REQUEST, "folder", text),
            EnrolError::Issue(_) | EnrolError::Issued(_) => internal(&error),
            EnrolError::Register(error) => registering(error),
            EnrolError::State(refusal) => refusal.into(),
        }
    }
}

fn registering(error: RegisterError) -> Refused {
    let text = error.to_string();
    match error {
        RegisterError::State(refusal) | RegisterError::Edit(EditError::State(refusal)) => {
            refusal.into()
        }
        RegisterError::Edit(EditError::BadName(_)) => {
            Refused::field(StatusCode::BAD_REQUEST, "name", text)
        }
        RegisterError::Edit(EditError::NameTaken(_)) => {
            Refused::field(StatusCode::CONFLICT, "name", text)
        }
        RegisterError::NoFactory(_) => Refused::field(StatusCode::FORBIDDEN, "token", text),
        _ => Refused::new(StatusCode::CONFLICT, text),
    }
}
