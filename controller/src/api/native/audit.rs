//! The audit log.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::audit::{AuditChange, AuditEntry, AuditPage};
use foghorn_types::{Role, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::Refused;
use super::input::Query;
use crate::api::routes::{Routes, get};
use crate::app::audit::{self, Cursor};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::audit::{self as log, What};

const USUAL: usize = 100;
const MOST: usize = 1000;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new().add(
        get("/foghorn/v1/audit", list)
            .needs(Role::Administrator)
            .named("users", "audit", "Show the audit log")
            .query::<Asked>()
            .gives::<AuditPage>(200, "Entries, the newest first.")
            .refuses(&[500, 503]),
    )
}

#[derive(Deserialize, JsonSchema)]
struct Asked {
    /// Only changes of this class.
    class: Option<String>,
    /// Only changes of the object with this number, or of the setting with this name.
    id: Option<String>,
    /// Only changes by this user, by id or name.
    user: Option<String>,
    /// Only changes since this time, RFC 3339.
    since: Option<String>,
    /// Where to continue: `next` of an earlier answer.
    before: Option<String>,
    /// Maximum number of entries in the answer, 1 to 1000; default 100.
    limit: Option<String>,
}

impl Asked {
    fn read(self) -> Result<audit::Query, Refused> {
        let bad = |field: &str, why: String| Refused::field(StatusCode::BAD_REQUEST, field, why);
        let since = self.since.map(|text| {
            text.parse::<Timestamp>()
                .map_err(|error| bad("since", error.to_string()))
        });
        let before = self.before.map(|text| {
            Cursor::parse(&text).ok_or_else(|| {
                bad(
                    "before",
                    "use the value of `next` from an earlier answer".to_owned(),
                )
            })
        });
        let limit = match self.limit.map(|text| text.parse::<usize>()) {
            None => USUAL,
            Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
            Some(_) => return Err(bad("limit", format!("must be between 1 and {MOST}"))),
        };
        Ok(audit::Query {
            class: self.class,
            id: self.id,
            user: self.user,
            since: since.transpose()?,
            before: before.transpose()?,
            limit,
        })
    }
}

async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(asked): Query<Asked>,
) -> Result<Json<AuditPage>, Refused> {
    let found = audit::search(&**ctx.state.store(), &asked.read()?, Timestamp::now()).await;
    let (entries, next) = found.map_err(Refusal::Store)?;
    let next = next.map(|cursor| cursor.as_str().to_owned());
    Ok(Json(AuditPage {
        entries: entries.into_iter().map(view).collect(),
        next,
    }))
}

fn view(entry: log::AuditEntry) -> AuditEntry {
    let change = |change: log::AuditChange| AuditChange {
        class: change.class,
        id: change.id,
        what: match change.what {
            What::Created => "created",
            What::Changed => "changed",
            What::Deleted => "deleted",
            What::Exported => "exported",
            What::Imported => "imported",
        }
        .to_owned(),
        fields: change.fields,
    };
    AuditEntry {
        at: entry.at.to_string(),
        user: entry.user,
        name: entry.name,
        from: entry.from,
        method: entry.method,
        path: entry.path,
        request: entry.request,
        idempotency_key: entry.idempotency_key,
        changes: entry.changes.into_iter().map(change).collect(),
        more: entry.more as u64,
    }
}
