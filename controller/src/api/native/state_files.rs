//! The whole state as one encrypted file, out and in.

use std::sync::Arc;

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use foghorn_rest_types::state_file::{ExportRequest, Imported as ImportedView};
use foghorn_types::{Role, Timestamp, chain};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::{info, warn};

use super::error::Refused;
use super::input::{Body, Query};
use crate::api::routes::{Routes, post};
use crate::ctx::Ctx;
use crate::state::actor::{self, Actor};
use crate::state::audit::{self, What};
use crate::state_file::{self, ExportError, FileError, ImportError, ImportTerms};
use crate::store::Txn;
use crate::uploads::SpoolError;

/// Takes a file of any size.
pub(super) const IMPORT: &str = "/foghorn/v1/state/import";
/// The passphrase of the file, in Base64.
const PASSPHRASE: &str = "foghorn-passphrase";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    let export = post("/foghorn/v1/state/export", export)
        .needs(Role::Administrator)
        .named("health", "export_state", "Export the whole state as an encrypted file")
        .about(
            "Everything that is stored, at one revision, and the certificate authority with its key \
             unless that is left out. Without the chunks of images, which storage nodes have. A file \
             that does not end with a line `blake3:…` is cut off.",
        )
        .takes::<ExportRequest>()
        .gives_file("The file.")
        .refuses(&[400, 503]);
    let import = post(IMPORT, import)
        .needs(Role::Administrator)
        .named("health", "import_state", "Replace the whole state by that of a file")
        .about(
            "The header Foghorn-Passphrase has the passphrase, in Base64. The file is checked before \
             anything is changed. Afterwards the controllers of this store start again, with the \
             users, tokens and the authority of the file.",
        )
        .query::<ImportQuery>()
        .takes_file()
        .gives::<ImportedView>(200, "What was imported.")
        .refuses(&[409, 503]);
    Routes::new().add(export).add(import)
}

#[derive(Deserialize, JsonSchema)]
struct ImportQuery {
    /// Whether what is stored here may be replaced. Default: only a store on which nothing has been
    /// done yet is filled.
    #[serde(default)]
    replace: bool,
}

async fn export(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<ExportRequest>,
) -> Result<Response, Refused> {
    let exported = state_file::export(
        ctx.state.store(),
        request.passphrase,
        (&ctx.trust, !request.without_authority),
        Timestamp::now(),
    )
    .await?;
    note(&ctx, actor::current(), What::Exported).await;
    info!(
        revision = exported.header.revision,
        "the state is being exported"
    );
    let mut response = HttpBody::from_stream(exported.bytes).into_response();
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, octets);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn import(
    State(ctx): State<Arc<Ctx>>,
    Query(query): Query<ImportQuery>,
    headers: HeaderMap,
    body: HttpBody,
) -> Result<Json<ImportedView>, Refused> {
    let passphrase = passphrase_in(&headers)?;
    let actor = actor::current();
    // A caller that goes away must not leave half an import under way.
    let importing = tokio::spawn(async move {
        let spooled = ctx.uploads.take_in(body.into_data_stream()).await;
        let spooled = spooled.map_err(spool_error)?;
        let file = spooled
            .open()
            .map_err(FileError::from)
            .map_err(ImportError::from)?;
        let checking = tokio::task::spawn_blocking(move || state_file::check(file, &passphrase));
        let file = checking.await.map_err(ended)?.map_err(ImportError::from)?;
        let terms = ImportTerms {
            replace: query.replace,
            authority: &ctx.settings.keeping,
            now: Timestamp::now(),
        };
        let imported = state_file::import(ctx.state.store(), file, terms).await?;
        note(&ctx, actor, What::Imported).await;
        info!(
            entries = imported.entries,
            "a state was imported: {imported}"
        );
        Ok::<_, Refused>(imported)
    });
    let imported = importing.await.map_err(ended)??;
    Ok(Json(ImportedView {
        entries: imported.entries,
        revision: imported.header.revision,
        made: imported.header.made.to_string(),
        authority: imported.header.authority,
        new_authority: imported.new_authority,
    }))
}

/// Writes into the audit log who has taken or replaced everything. It is done by then: a log that cannot
/// be written, as on a full disk, must not keep anybody from saving the state.
async fn note(ctx: &Ctx, actor: Option<Arc<Actor>>, what: What) {
    let Some(actor) = actor else { return };
    let txn = Txn {
        ops: vec![audit::of_whole_state(&actor, what, Timestamp::now())],
        ..Txn::default()
    };
    if let Err(error) = ctx.state.store().commit(txn).await {
        warn!(user = actor.name, from = %actor.from, ?what, error = %chain(&error), "the audit log could not be written");
    }
}

fn passphrase_in(headers: &HeaderMap) -> Result<String, Refused> {
    let bytes = headers
        .get(PASSPHRASE)
        .and_then(|value| BASE64.decode(value.as_bytes()).ok());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            let text = "the header Foghorn-Passphrase is missing, or is not Base64";
            Refused::field(StatusCode::BAD_REQUEST, "passphrase", text)
        })
}

fn ended(error: tokio::task::JoinError) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn spool_error(error: SpoolError) -> Refused {
    let status = match error {
        SpoolError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        SpoolError::BrokenBody => StatusCode::BAD_REQUEST,
        SpoolError::Busy | SpoolError::Disk { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refused::new(status, chain(&error).to_string())
}

impl From<ExportError> for Refused {
    fn from(error: ExportError) -> Self {
        let text = chain(&error).to_string();
        match error {
            ExportError::ShortPassphrase => {
                Self::field(StatusCode::BAD_REQUEST, "passphrase", text)
            }
            ExportError::Store(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, text),
            _ => {
                warn!(error = %chain(&error), "the state could not be exported");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

impl From<ImportError> for Refused {
    fn from(error: ImportError) -> Self {
        warn!(error = %chain(&error), "a state could not be imported");
        let text = chain(&error).to_string();
        let status = match &error {
            ImportError::File(FileError::Read(_))
            | ImportError::Authority { .. }
            | ImportError::OwnAuthority(_)
            | ImportError::Seal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ImportError::File(FileError::Passphrase) => {
                return Self::field(StatusCode::BAD_REQUEST, "passphrase", text);
            }
            ImportError::File(_) | ImportError::BadAuthority(_) => StatusCode::BAD_REQUEST,
            ImportError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, text)
    }
}
