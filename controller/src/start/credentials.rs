//! The first credentials: made, or given.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::error::StartError;
use crate::app::accounts::{FirstRun, first_run_as};
use crate::app::given::{self, Credentials, Observer};
use crate::config::{Config, GivenCredentials, SecretSource, StoreConfig};
use crate::ctx::Ctx;
use crate::state::State;
use crate::upkeep::given::{Following, run};

/// Where the first credentials come from.
pub(super) enum First {
    /// They were made, and nobody has used them, or are not shown any more.
    Made(Option<FirstRun>),
    Given(Credentials),
}

/// Makes the first user with its credentials, or takes over those that are given.
pub(super) async fn first(state: &State, config: &Config) -> Result<First, StartError> {
    let Some(source) = &config.given else {
        let made = first_run_as(state, &config.first_user).await;
        return Ok(First::Made(made.map_err(StartError::FirstRun)?));
    };
    let now = given::read(source).map_err(StartError::ReadGiven)?;
    let observer = Observer {
        seen: None,
        is_alone: is_alone(config),
    };
    let done = given::take_over(state, &now, observer).await;
    let done = done.map_err(StartError::TakeOver)?;
    for what in done.taken {
        info!(user = now.user, what, "a given credential was taken over");
    }
    for what in done.outdated {
        warn!(
            user = now.user,
            what,
            "a given credential was replaced by a newer one since, so it is not taken over: give a value that was not given before"
        );
    }
    Ok(First::Given(now))
}

impl First {
    /// What is shown to whoever has started the controller; what is in files is followed from now
    /// on.
    pub(super) fn follow(
        self,
        (ctx, config): (&Arc<Ctx>, &Config),
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Option<FirstRun> {
        match (self, &config.given) {
            (Self::Made(made), _) => made,
            (Self::Given(seen), Some(source)) if has_file(source) => {
                let what = Following {
                    given: source.clone(),
                    seen,
                    is_alone: is_alone(config),
                };
                tasks.spawn(run(ctx.clone(), what, cancel.child_token()));
                None
            }
            (Self::Given(_), _) => None,
        }
    }
}

/// The embedded store has one controller.
fn is_alone(config: &Config) -> bool {
    matches!(config.store, StoreConfig::Embedded)
}

fn has_file(source: &GivenCredentials) -> bool {
    let further = [&source.user_token, &source.password];
    let mut all = further.into_iter().flatten().chain([&source.api_token]);
    all.any(|source| matches!(source, SecretSource::File(_)))
}
