//! What storage nodes hold and the store does not know: listed, adopted, dropped.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use foghorn_rest_types::native::{
    AdoptRequest, DropRequest, JobCreated, Named, Orphan, OrphanList,
};
use foghorn_types::{Role, chain};

use super::error::Refused;
use super::input::Body;
use super::names::image_name;
use super::nodes::node_view;
use crate::agents::live::NodeLive;
use crate::api::auth::Principal;
use crate::api::routes::{Routes, get, post};
use crate::app::orphans::{self, AdoptError, DropError};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::removal::Stored;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/orphans", list)
                .needs(Role::ReadOnly)
                .named("nodes", "orphans", "List content on storage nodes that nothing here has")
                .about(
                    "After an older backup of the controller's store was restored, this is what was captured and uploaded \
                     since. Nothing of it is deleted unless somebody orders it.",
                )
                .gives::<OrphanList>(200, "What storage nodes have reported since the controller started."),
        )
        .add(
            post("/foghorn/v1/orphans/adopt", adopt)
                .needs(Role::Administrator)
                .named("nodes", "adopt_orphan", "Make unknown content that of an image")
                .about("The node reads and checks all of it first. The job's state says when it has become the image's.")
                .rehearses()
                .takes::<AdoptRequest>()
                .gives::<JobCreated>(202, "The job.")
                .refuses(&[404, 409, 503]),
        )
        .add(
            post("/foghorn/v1/orphans/drop", drop)
                .needs(Role::Administrator)
                .named("nodes", "drop_orphan", "Delete unknown content from storage nodes")
                .rehearses()
                .takes::<DropRequest>()
                .gives_nothing(204, "Its removal is ordered.")
                .refuses(&[404]),
        )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<OrphanList> {
    let found = orphans::list(&ctx);
    let nodes = ctx.live.nodes();
    let orphans = ctx.state.read(|tables| {
        let one = |one: orphans::Orphan| view(tables, nodes.get(&one.node), one);
        found.into_iter().map(one).collect()
    });
    Json(OrphanList { orphans })
}

fn view(tables: &Tables, live: Option<&NodeLive>, orphan: orphans::Orphan) -> Orphan {
    let node = node_view(tables, orphan.node);
    let origin = |manifest| live.and_then(|live| live.origins.get(manifest));
    match orphan.what {
        Stored::Image(image, manifest) => Orphan {
            node,
            image: Some(image_name(tables, image)),
            manifest: Some(manifest),
            file: None,
            has_other_content: tables.contents().get(&image).is_some(),
            captured: origin(&manifest).map(|origin| origin.captured.to_string()),
            captured_from: origin(&manifest).and_then(|origin| {
                let (id, name) = origin.host.clone()?;
                Some(Named { id, name })
            }),
            used_bytes: origin(&manifest).map(|origin| origin.used),
            stored_bytes: origin(&manifest).map(|origin| origin.stored),
        },
        Stored::File(file) => Orphan {
            node,
            image: None,
            manifest: None,
            file: Some(file),
            has_other_content: false,
            captured: None,
            captured_from: None,
            used_bytes: None,
            stored_bytes: None,
        },
    }
}

async fn adopt(
    State(ctx): State<Arc<Ctx>>,
    Extension(caller): Extension<Principal>,
    Body(body): Body<AdoptRequest>,
) -> Result<(StatusCode, Json<JobCreated>), Refused> {
    let what = (body.image, body.manifest);
    let job = orphans::adopt(&ctx, body.node, what, body.name.as_deref(), &caller.name).await?;
    Ok((StatusCode::ACCEPTED, Json(JobCreated { job })))
}

async fn drop(
    State(ctx): State<Arc<Ctx>>,
    Body(body): Body<DropRequest>,
) -> Result<StatusCode, Refused> {
    let what = match (body.image, body.manifest, body.file) {
        (Some(image), Some(manifest), None) => Stored::Image(image, manifest),
        (None, None, Some(file)) => Stored::File(file),
        (Some(_), None, None) => return Err(bad("manifest", "is required with image")),
        (None, Some(_), None) => return Err(bad("image", "is required with manifest")),
        (None, None, None) => return Err(bad("image", "one of image and file is required")),
        (_, _, Some(_)) => return Err(bad("file", "cannot be given with image or manifest")),
    };
    let node = body.node;
    orphans::drop(&ctx, orphans::Orphan { node, what }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn bad(field: &str, why: &str) -> Refused {
    Refused::field(StatusCode::BAD_REQUEST, field, why)
}

impl From<AdoptError> for Refused {
    fn from(error: AdoptError) -> Self {
        let text = chain(&error).to_string();
        match error {
            AdoptError::NotThere { .. } => Self::new(StatusCode::NOT_FOUND, text),
            AdoptError::NoImage(_) | AdoptError::HasContent(_) => {
                Self::field(StatusCode::CONFLICT, "image", text)
            }
            AdoptError::NotSent { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, text),
            AdoptError::State(refusal) => refusal.into(),
        }
    }
}

impl From<DropError> for Refused {
    fn from(error: DropError) -> Self {
        match error {
            DropError::NotThere(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            DropError::State(refusal) => refusal.into(),
        }
    }
}
