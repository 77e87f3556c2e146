//! Checking in again and again.

use std::time::Duration;

use foghorn_host_config::pace::{first_pause, pause};
use foghorn_types::chain;
use tokio_util::sync::CancellationToken;

use super::service::{CheckedIn, Service};
use super::{HostError, Settings};

/// Checks in until `stop`, or until a handler asks for a restart: `true` then. What fails is logged, and tried again later.
pub async fn run(settings: Settings, stop: CancellationToken) -> bool {
    let mut failures: u32 = 0;
    let mut wait = first_pause(settings.interval, random());
    loop {
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(wait) => {}
        }
        match once(settings.clone(), stop.clone()).await {
            Some(Ok(CheckedIn::Extracted {
                wants_restart: true,
                ..
            })) => return true,
            Some(Ok(done)) => {
                failures = 0;
                tracing::debug!(?done, "checked in");
            }
            Some(Err(error)) => {
                failures = failures.saturating_add(1);
                tracing::error!(failures, error = %chain(&error), "could not check in");
            }
            None => return false,
        }
        wait = pause(settings.interval, failures, random());
    }
}

/// `None` when it was told to stop meanwhile.
async fn once(settings: Settings, stop: CancellationToken) -> Option<Result<CheckedIn, HostError>> {
    let told = stop.clone();
    let work = move || Service::new(settings)?.check_in(&told);
    let working = tokio::task::spawn_blocking(work);
    tokio::select! {
        // A handler under way is not waited for. What it owes is known at the next start.
        () = stop.cancelled() => None,
        done = working => match done {
            Ok(done) => Some(done),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        },
    }
}

/// Not a secret: without randomness machines are only less evenly spread.
fn random() -> u32 {
    getrandom::u32().unwrap_or_else(|error| {
        tracing::warn!(%error, "there is no randomness for pauses");
        let now = Duration::from_millis(foghorn_types::Timestamp::now().as_millis().unsigned_abs());
        now.subsec_nanos()
    })
}
