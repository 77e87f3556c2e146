//! The audit log, for administrators: see [`crate::api::access`].

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use foghorn_rest_types::audit::{AuditChange, AuditEntry, AuditPage};
use foghorn_types::Timestamp;
use serde::Deserialize;

use super::error::Refused;
use super::operator::Operator;
use crate::app::audit::{self, Cursor};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::audit::{self as log, What};

const USUAL: usize = 100;
const MOST: usize = 1000;

#[derive(Deserialize)]
pub(super) struct Asked {
    class: Option<String>,
    id: Option<String>,
    user: Option<String>,
    since: Option<String>,
    before: Option<String>,
    limit: Option<String>,
}

impl Asked {
    fn read(self) -> Result<audit::Query, Refused> {
        let bad = |field: &str, why: String| Refused::field(StatusCode::BAD_REQUEST, field, why);
        let since = self.since.map(|text| text.parse::<Timestamp>().map_err(|error| bad("since", error.to_string())));
        let before = self.before.map(|text| {
            Cursor::parse(&text).ok_or_else(|| bad("before", "take it from `next` of an earlier answer".to_owned()))
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

pub(super) async fn list(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Query(asked): Query<Asked>,
) -> Result<Json<AuditPage>, Refused> {
    let found = audit::search(&**ctx.state.store(), &asked.read()?, Timestamp::now()).await;
    let (entries, next) = found.map_err(Refusal::Store)?;
    let next = next.map(|cursor| cursor.as_str().to_owned());
    Ok(Json(AuditPage { entries: entries.into_iter().map(view).collect(), next }))
}

fn view(entry: log::AuditEntry) -> AuditEntry {
    let change = |change: log::AuditChange| AuditChange {
        class: change.class,
        id: change.id,
        what: match change.what {
            What::Created => "created",
            What::Changed => "changed",
            What::Deleted => "deleted",
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
