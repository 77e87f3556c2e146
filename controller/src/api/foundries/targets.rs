//! Targets: listed, shown, tagged, pruned. A change is made before it is answered, and the job that the
//! answer names has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::denied::FACTORY;
use super::here::Here;
use super::input::{Body, Query, factory};
use super::page::given;
use super::refused::Refused;
use super::target_view::{ANY_HARDWARE, TargetView};
use crate::api::factory_tokens::By;
use crate::api::routes::{Routes, delete, get, patch};
use crate::app::devices::targets::{self, Change};
use crate::ctx::Ctx;
use crate::state::machines::scope::Scope;

const ALL: &str = "/ota/factories/{factory}/targets/";
/// Targets of one request.
const MOST: usize = 1000;
const OFFSET: HeaderName = HeaderName::from_static("x-offset");
const RUN_STATUS: HeaderName = HeaderName::from_static("x-run-status");
/// All that there is to read about a job.
const LOG: &str = "The targets were changed when the request was answered.\n";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add_either(
            get(ALL, all)
                .scoped(Scope::TargetsRead)
                .named("targets", "targets", "List targets")
                .about("The versions of the images in the storage group, by name.")
                .path::<String>("factory", FACTORY)
                .query::<TargetQuery>()
                .gives::<BTreeMap<String, TargetView>>(200, "An object, which may be empty.")
                .refuses(&[404]),
        )
        .add_either(
            patch(ALL, tag)
                .scoped(Scope::TargetsReadUpdate)
                .named("targets", "tag_targets", "Change the tags of targets")
                .about("All of it or nothing. A version with a tag is kept.")
                .path::<String>("factory", FACTORY)
                .rehearses()
                .takes::<TargetsPatch>()
                .gives::<TargetJob>(200, "It is done.")
                .refuses(&[404, 409]),
        )
        .add_either(
            delete(ALL, prune)
                .scoped(Scope::TargetsReadUpdate)
                .named("targets", "prune_targets", "Remove targets")
                .about("They are versions that are no longer kept. The present version of an image stays.")
                .path::<String>("factory", FACTORY)
                .takes::<TargetNames>()
                .gives::<TargetJob>(200, "It is done.")
                .refuses(&[404, 409]),
        )
        .add_either(
            get("/ota/factories/{factory}/targets/{target}/", show)
                .scoped(Scope::TargetsRead)
                .named("targets", "target", "Show a target")
                .path::<String>("factory", FACTORY)
                .path::<String>("target", "Name of the target: that of the image, a hyphen, the version.")
                .gives::<TargetView>(200, "The target.")
                .refuses(&[404]),
        )
        .add(
            get(
                "/ota/factories/{factory}/jobs/targets/runs/UpdateTargets/console.log",
                log,
            )
            .open()
            .named("targets", "target_job_log", "Read the log of a change of targets")
            .about("It is the same for all: what it tells of is done. The header `x-run-status` is `PASSED`.")
            .path::<String>("factory", FACTORY)
            .gives_text(200, "What follows the offset in the header `x-offset`.", "text/plain"),
        )
}

/// Which targets to list.
#[derive(Deserialize, JsonSchema)]
struct TargetQuery {
    /// Only those whose `custom.version` is exactly this.
    version: Option<String>,
}

/// New tags of targets.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TargetsPatch {
    /// What changes, by name of the target; at most 1000.
    targets: BTreeMap<String, TargetPatch>,
}

/// What changes of a target.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TargetPatch {
    /// Only these members can be changed.
    custom: TargetCustomPatch,
}

/// What changes of a target; what is missing stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TargetCustomPatch {
    /// The tags that it has from now on.
    tags: Option<BTreeSet<String>>,
    /// The hardware that it is for from now on; `any` or nothing for any.
    hardware_ids: Option<BTreeSet<String>>,
}

/// Targets by name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TargetNames {
    /// At most 1000.
    targets: Vec<String>,
}

/// Where to read what became of a change.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct TargetJob {
    /// URL of the job, with a slash at its end.
    jobserv_url: String,
    /// The same, for people.
    web_url: String,
}

impl TargetJob {
    fn of(here: &Here, factory: &str) -> Self {
        let factory = utf8_percent_encode(factory, NON_ALPHANUMERIC);
        let url = here.at(&format!("/ota/factories/{factory}/jobs/targets/"));
        Self {
            web_url: format!("{url}runs/UpdateTargets/console.log"),
            jobserv_url: url,
        }
    }
}

async fn all(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Query(query): Query<TargetQuery>,
) -> Result<Json<BTreeMap<String, TargetView>>, Refused> {
    let factory = factory(&ctx, &caller, Scope::TargetsRead, &name)?;
    let version = given(query.version.as_deref());
    let all = ctx.state.read(|tables| targets::all(tables, factory));
    let wanted = all
        .iter()
        .filter(|target| version.is_none_or(|version| target.is.version.to_string() == version));
    let views = wanted.map(|target| (target.is.name.clone(), TargetView::of(target)));
    Ok(Json(views.collect()))
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, target)): Path<(String, String)>,
) -> Result<Json<TargetView>, Refused> {
    let factory = factory(&ctx, &caller, Scope::TargetsRead, &name)?;
    let found = ctx
        .state
        .read(|tables| targets::named(tables, factory, &target));
    let found =
        found.ok_or_else(|| Refused::not_found(format!("there is no target {target:?}")))?;
    Ok(Json(TargetView::of(&found)))
}

async fn tag(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path(name): Path<String>,
    Body(patch): Body<TargetsPatch>,
) -> Result<Json<TargetJob>, Refused> {
    let factory = factory(&ctx, &caller, Scope::TargetsReadUpdate, &name)?;
    bounded(patch.targets.len())?;
    let changes = patch.targets.into_iter().map(|(target, patch)| {
        let TargetCustomPatch { tags, hardware_ids } = patch.custom;
        let hardware_ids = hardware_ids.map(|mut ids| {
            ids.remove(ANY_HARDWARE);
            ids
        });
        (target, Change { tags, hardware_ids })
    });
    targets::tag(&ctx.state, factory, &changes.collect()).await?;
    Ok(Json(TargetJob::of(&here, &name)))
}

async fn prune(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path(name): Path<String>,
    Body(names): Body<TargetNames>,
) -> Result<Json<TargetJob>, Refused> {
    let factory = factory(&ctx, &caller, Scope::TargetsReadUpdate, &name)?;
    bounded(names.targets.len())?;
    targets::prune(&ctx.state, factory, &names.targets).await?;
    Ok(Json(TargetJob::of(&here, &name)))
}

fn bounded(count: usize) -> Result<(), Refused> {
    match count {
        0 => Err(Refused::field("targets", "no target is named")),
        1..=MOST => Ok(()),
        _ => Err(Refused::field(
            "targets",
            format!("{count} targets: at most {MOST} in one request"),
        )),
    }
}

async fn log(headers: HeaderMap) -> impl IntoResponse {
    let offset = headers.get(OFFSET);
    let offset = offset.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (RUN_STATUS, HeaderValue::from_static("PASSED")),
    ];
    (headers, after(offset.unwrap_or(0)))
}

fn after(offset: usize) -> &'static str {
    LOG.get(offset..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_from_where_the_client_is() {
        assert_eq!(after(0), LOG);
        assert_eq!(after(LOG.len() - 1), "\n");
        assert_eq!(after(LOG.len()), "");
        assert_eq!(after(usize::MAX), "");
    }
}
