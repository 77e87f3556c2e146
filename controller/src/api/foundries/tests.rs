//! Tests that ran on devices, such as remote actions, with what they left.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use foghorn_types::{MachineUuid, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::devices::DEV;
use super::here::Here;
use super::input::{OneDevice, Query, device};
use super::page::{Paging, wanted};
use super::refused::{Refused, internal};
use super::updates::OfDevice;
use crate::api::factory_tokens::By;
use crate::api::routes::{Routes, get};
use crate::app::devices::tests::{self, ArtifactError};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::machines::scope::Scope;
use crate::state::machines::tests::{Artifact, Test};

const LOOK: Scope = Scope::DevicesRead;
/// What `{test}` is.
const TEST: &str = "Id of the test.";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add_either(
            get("/ota/devices/{dev}/tests/", all)
                .scoped(LOOK)
                .named(
                    "devices",
                    "factory_device_tests",
                    "List tests that ran on a device",
                )
                .about("Remote actions are tests, too. The last ones are kept.")
                .path::<String>("dev", DEV)
                .query::<OfDevice>()
                .gives::<DeviceTestList>(200, "The newest first.")
                .refuses(&[404]),
        )
        .add_either(
            get("/ota/devices/{dev}/tests/{test}/", show)
                .scoped(LOOK)
                .named("devices", "factory_device_test", "Show a test")
                .path::<String>("dev", DEV)
                .path::<String>("test", TEST)
                .query::<OneDevice>()
                .gives::<DeviceTest>(200, "The test.")
                .refuses(&[404]),
        )
        .add_either(
            get("/ota/devices/{dev}/tests/{test}/{artifact}/", artifact)
                .scoped(LOOK)
                .named(
                    "devices",
                    "factory_device_test_artifact",
                    "Download an artefact of a test",
                )
                .path::<String>("dev", DEV)
                .path::<String>("test", TEST)
                .path::<String>("artifact", "Name of the artefact.")
                .query::<OneDevice>()
                .gives_file("Its bytes.")
                .refuses(&[404, 500, 503]),
        )
}

/// Tests of a device.
#[derive(Serialize, JsonSchema)]
struct DeviceTestList {
    /// The newest first.
    tests: Vec<DeviceTest>,
    #[serde(flatten)]
    paging: Paging,
}

/// A test that ran on a device, or runs.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct DeviceTest {
    /// What was tested, or which action it was.
    name: String,
    /// By which it is asked for.
    test_id: String,
    /// How whoever ordered it named it, such as the id of a command; may be empty.
    ordered_as: String,
    /// Name of the target that it is about; may be empty.
    target_name: String,
    /// UUID of the device.
    device_uuid: String,
    /// Name of the device.
    device_name: String,
    /// In the words of the device, such as `PASSED`; `RUNNING` before it has said one.
    status: String,
    /// Words of the device; may be empty.
    details: String,
    /// When it began, Unix time in seconds.
    created_on: i64,
    /// When it ended, Unix time in seconds; 0 as long as it runs.
    completed_on: i64,
    /// Always empty: devices send no results of parts.
    results: Vec<Value>,
    /// Names of what can be downloaded.
    artifacts: Vec<String>,
}

impl DeviceTest {
    fn of(test: &Test, uuid: MachineUuid, name: &str) -> Self {
        let is_whole = |one: &&Artifact| one.upload.as_ref().is_some_and(|upload| upload.is_whole);
        let whole = test.artifacts.iter().filter(is_whole);
        Self {
            name: test.name.clone(),
            test_id: test.id.clone(),
            ordered_as: test.test_id.clone(),
            target_name: test.target.clone(),
            device_uuid: uuid.to_string(),
            device_name: name.to_owned(),
            status: match test.status.as_str() {
                "" => "RUNNING".to_owned(),
                status => status.to_owned(),
            },
            details: test.details.clone(),
            created_on: seconds(test.created),
            completed_on: test.completed.map_or(0, seconds),
            results: Vec::new(),
            artifacts: whole.map(|artifact| artifact.name.clone()).collect(),
        }
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1000)
}

/// What the device is called; it may have gone meanwhile.
fn name_of(ctx: &Ctx, uuid: MachineUuid) -> String {
    ctx.state.read(|tables| {
        let device = tables.devices().get(&uuid);
        device.map_or_else(String::new, |device| device.shown_name(tables))
    })
}

async fn all(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path(name): Path<String>,
    Query(query): Query<OfDevice>,
) -> Result<Json<DeviceTestList>, Refused> {
    let page = wanted(query.page.as_deref(), query.limit.as_deref())?;
    let uuid = device(&ctx, &caller, LOOK, (&name, &query.one()))?;
    let name = name_of(&ctx, uuid);
    let paged = ctx.state.read(|tables| tests::list(tables, uuid, page));
    let tests = paged.items.iter();
    Ok(Json(DeviceTestList {
        tests: tests
            .map(|test| DeviceTest::of(test, uuid, &name))
            .collect(),
        paging: Paging::of(&paged, &here),
    }))
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, id)): Path<(String, String)>,
    Query(one): Query<OneDevice>,
) -> Result<Json<DeviceTest>, Refused> {
    let uuid = device(&ctx, &caller, LOOK, (&name, &one))?;
    let test = ctx.state.read(|tables| tests::show(tables, uuid, &id));
    let test =
        test.ok_or_else(|| Refused::not_found(format!("device {name:?} has no test {id:?}")))?;
    Ok(Json(DeviceTest::of(&test, uuid, &name_of(&ctx, uuid))))
}

async fn artifact(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, id, artifact)): Path<(String, String, String)>,
    Query(one): Query<OneDevice>,
) -> Result<Response, Refused> {
    let uuid = device(&ctx, &caller, LOOK, (&name, &one))?;
    let content = tests::artifact(&ctx.state, uuid, (&id, &artifact)).await?;
    let kind = HeaderValue::from_static(tests::content_type(&artifact));
    Ok(([(header::CONTENT_TYPE, kind)], content).into_response())
}

impl From<ArtifactError> for Refused {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::NotThere | ArtifactError::NotYet => Self::not_found(error.to_string()),
            ArtifactError::Store(source) => Refusal::Store(source).into(),
            ArtifactError::Incomplete => internal(&error),
        }
    }
}
