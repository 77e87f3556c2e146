//! Factories, who works in them, and how their devices are getting on.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use foghorn_types::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::denied::FACTORY;
use super::input::{Query, factory};
use super::page::given;
use super::refused::Refused;
use super::status_view::FactoryStatusView;
use crate::api::factory_tokens::By;
use crate::api::routes::{Routes, get};
use crate::app::devices::factories::{self, Worker};
use crate::app::devices::status::{self, OFFLINE_AFTER};
use crate::ctx::Ctx;
use crate::state::machines::scope::Scope;

/// In hours: ten years.
const LONGEST_OFFLINE: u64 = 87_600;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add_either(
            get("/ota/factories/", all)
                .scoped(Scope::DevicesRead)
                .named("factories", "factories", "List factories")
                .query::<FactoriesQuery>()
                .gives::<Vec<FactoryView>>(200, "Those that the token is for, by name."),
        )
        .add_either(
            get("/ota/factories/{factory}/users/", users)
                .scoped(Scope::DevicesRead)
                .named("factories", "factory_users", "List who works in a factory")
                .about("All users work in all factories.")
                .path::<String>("factory", FACTORY)
                .gives::<Vec<FactoryUser>>(200, "By name.")
                .refuses(&[404]),
        )
        .add_either(
            get("/ota/factories/{factory}/users/{user}/", user)
                .scoped(Scope::DevicesRead)
                .named("factories", "factory_user", "Show a user")
                .path::<String>("factory", FACTORY)
                .path::<String>("user", "Id of the user, 24 hexadecimal digits.")
                .gives::<FactoryUserDetails>(200, "The user.")
                .refuses(&[404]),
        )
        .add_either(
            get("/ota/factories/{factory}/status/", show_status)
                .scoped(Scope::DevicesRead)
                .named(
                    "factories",
                    "factory_status",
                    "Count the devices of a factory",
                )
                .path::<String>("factory", FACTORY)
                .query::<StatusQuery>()
                .gives::<FactoryStatusView>(200, "By the tag that they follow.")
                .refuses(&[404]),
        )
}

/// What clients send.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a description only")]
struct FactoriesQuery {
    /// Taken and without effect.
    admin: Option<String>,
}

/// A factory.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct FactoryView {
    /// Its name.
    name: String,
    /// The number of its storage group.
    reposerver_id: String,
}

/// Somebody who works in a factory.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct FactoryUser {
    /// Id, 24 hexadecimal digits.
    polis_id: String,
    /// Name.
    name: String,
    /// `administrator`, `operator` or `read-only`.
    role: String,
}

/// Somebody who works in a factory, and what he may do there.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct FactoryUserDetails {
    #[serde(flatten)]
    user: FactoryUser,
    /// Always empty: there are no teams.
    teams_ext: Vec<String>,
    /// Scopes that a token of this user can have.
    effective_scopes: Vec<String>,
}

/// How to count.
#[derive(Deserialize, JsonSchema)]
struct StatusQuery {
    /// Hours of silence after which a device is offline, up to 87600; else 4.
    #[serde(rename = "offline-threshold")]
    offline_threshold: Option<String>,
}

impl From<&Worker> for FactoryUser {
    fn from(worker: &Worker) -> Self {
        Self {
            polis_id: worker.code.clone(),
            name: worker.name.clone(),
            role: worker.role.to_string(),
        }
    }
}

async fn all(State(ctx): State<Arc<Ctx>>, By(caller): By) -> Json<Vec<FactoryView>> {
    let all = ctx
        .state
        .read(|tables| factories::all(tables, &caller.reach));
    let views = all.into_iter().map(|factory| FactoryView {
        name: factory.name,
        reposerver_id: factory.id.to_string(),
    });
    Json(views.collect())
}

async fn users(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Vec<FactoryUser>>, Refused> {
    factory(&ctx, &caller, Scope::DevicesRead, &name)?;
    let users = ctx.state.read(factories::users);
    Ok(Json(users.iter().map(FactoryUser::from).collect()))
}

async fn user(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, code)): Path<(String, String)>,
) -> Result<Json<FactoryUserDetails>, Refused> {
    factory(&ctx, &caller, Scope::DevicesRead, &name)?;
    let worker = ctx.state.read(|tables| factories::user(tables, &code));
    let worker = worker.ok_or_else(|| Refused::not_found(format!("there is no user {code:?}")))?;
    Ok(Json(FactoryUserDetails {
        user: FactoryUser::from(&worker),
        teams_ext: Vec::new(),
        effective_scopes: worker.scopes.iter().map(ToString::to_string).collect(),
    }))
}

async fn show_status(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path(name): Path<String>,
    Query(query): Query<StatusQuery>,
) -> Result<Json<FactoryStatusView>, Refused> {
    let factory = factory(&ctx, &caller, Scope::DevicesRead, &name)?;
    let after = offline_after(query.offline_threshold.as_deref())?;
    let now = Timestamp::now();
    let counted = status::status(&ctx.state, &ctx.sightings, factory, after, now);
    Ok(Json(FactoryStatusView::of(&counted)))
}

fn offline_after(hours: Option<&str>) -> Result<Duration, Refused> {
    let Some(text) = given(hours) else {
        return Ok(OFFLINE_AFTER);
    };
    let hours = text.parse::<u64>().ok();
    let hours = hours.filter(|hours| *hours <= LONGEST_OFFLINE);
    let hours = hours.ok_or_else(|| {
        let why = format!("{text:?} is not a number of hours up to {LONGEST_OFFLINE}");
        Refused::field("offline-threshold", why)
    })?;
    Ok(Duration::from_secs(hours * 60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_silence_are_bounded() {
        let hours = |text| offline_after(text).ok().map(|after| after.as_secs() / 3600);
        assert_eq!(hours(None), Some(4));
        assert_eq!(hours(Some("")), Some(4));
        assert_eq!(hours(Some("24")), Some(24));
        assert_eq!(hours(Some("87600")), Some(87_600));
        for wrong in ["87601", "-1", "1.5", "soon", "18446744073709551615"] {
            assert_eq!(hours(Some(wrong)), None, "{wrong}");
        }
    }
}
