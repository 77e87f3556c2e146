//! Join tokens for many storage nodes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::native::{
    JoinTokenCreated, JoinTokenList, JoinTokenStatus, Named, NewJoinToken,
};
use foghorn_types::{JoinTokenId, Role};

use super::error::Refused;
use super::input::{Body, Id};
use super::nodes::ttl;
use crate::api::routes::{Routes, delete, get, post};
use crate::app::enrolment::many::{self, CreateError, Terms};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::classes::StorageGroup;
use crate::state::join_token::ManyToken;

const YEAR: u32 = 365 * 24 * 60 * 60;
const ALL: &str = "/foghorn/v1/join-tokens";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get(ALL, list)
                .needs(Role::Administrator)
                .named("nodes", "join_tokens", "List the join tokens for many nodes")
                .about("Tokens for one node are not listed: revoking the node takes them back.")
                .gives::<JoinTokenList>(200, "Without their secrets."),
        )
        .add(
            post(ALL, create)
                .needs(Role::Administrator)
                .named("nodes", "create_join_token", "Create a join token for many nodes")
                .about(
                    "An agent with it says its own name. A name belongs to the agent that has enrolled with it: \
                     another one is refused.",
                )
                .takes::<NewJoinToken>()
                .gives::<JoinTokenCreated>(201, "The token, shown once.")
                .refuses(&[404, 409]),
        )
        .add(
            delete("/foghorn/v1/join-tokens/{id}", remove)
                .needs(Role::Administrator)
                .named("nodes", "delete_join_token", "Delete a join token for many nodes")
                .about("Nodes that have enrolled with it stay.")
                .rehearses()
                .path::<JoinTokenId>("id", "Id of the token.")
                .gives_nothing(204, "It lets nobody in any more.")
                .refuses(&[404]),
        )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<JoinTokenList> {
    let tokens = ctx.state.read(|tables| {
        let all = tables.join_tokens().iter();
        all.map(|token| view(tables, token)).collect()
    });
    Json(JoinTokenList { tokens })
}

fn view(tables: &Tables, token: &ManyToken) -> JoinTokenStatus {
    let groups = tables.of::<StorageGroup>();
    JoinTokenStatus {
        id: token.id,
        names: token.names.clone(),
        count: token.count,
        left: token.left(),
        storage_group: token.storage_group.map(|id| Named {
            id,
            name: groups
                .get(id.get())
                .map(|row| row.name.clone())
                .unwrap_or_default(),
        }),
        created: token.created.to_string(),
        expires: token.expires.to_string(),
    }
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<NewJoinToken>,
) -> Result<(StatusCode, Json<JoinTokenCreated>), Refused> {
    let terms = Terms {
        names: request.names,
        count: request.count,
        group: request.storage_group,
        ttl: ttl(request.ttl_seconds, YEAR, ctx.settings.join_token_ttl)?,
    };
    let made = many::create(&ctx, &terms).await?;
    let created = JoinTokenCreated {
        id: made.id,
        token: made.text,
        names: terms.names,
        count: terms.count,
        expires: made.expires.to_string(),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

async fn remove(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<JoinTokenId>,
) -> Result<StatusCode, Refused> {
    many::delete(&ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<CreateError> for Refused {
    fn from(error: CreateError) -> Self {
        let text = error.to_string();
        match error {
            CreateError::Count => Self::field(StatusCode::BAD_REQUEST, "count", text),
            CreateError::TooMany => Self::new(StatusCode::CONFLICT, text),
            CreateError::State(refusal) => refusal.into(),
        }
    }
}
