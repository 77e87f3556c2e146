//! Checking in again and again, and beside that the work of the host, which may take long.

use std::time::Duration;

use foghorn_host_config::pace::{first_pause, pause};
use foghorn_types::chain;
use tokio_util::sync::CancellationToken;

use super::service::{CheckedIn, Service};
use super::work::Worked;
use super::{HostError, Settings};

/// Checks in until `stop`, or until a handler asks for a restart: `true` then. What fails is logged, and tried again later.
pub async fn run(settings: Settings, stop: CancellationToken) -> bool {
    // A round of the work that is under way when a restart is wanted comes to its end before; none is begun any more.
    let (last_round, worked) = (CancellationToken::new(), CancellationToken::new());
    let work = async {
        if settings.work.is_some() {
            work(&settings, &stop, &last_round).await;
        }
        worked.cancel();
    };
    let check_in = check_in(&settings, &stop, &last_round, &worked);
    let (wants_restart, ()) = tokio::join!(check_in, work);
    wants_restart
}

async fn check_in(
    settings: &Settings,
    stop: &CancellationToken,
    last_round: &CancellationToken,
    worked: &CancellationToken,
) -> bool {
    let mut failures: u32 = 0;
    let mut wait = first_pause(settings.interval, random());
    loop {
        tokio::select! {
            () = stop.cancelled() => return false,
            () = worked.cancelled(), if last_round.is_cancelled() => return true,
            () = tokio::time::sleep(wait) => {}
        }
        match once(settings, stop, |service, stop| service.check_in(stop)).await {
            Some(Ok(done)) => {
                failures = 0;
                tracing::debug!(?done, "checked in");
                if let CheckedIn::Extracted {
                    wants_restart: true,
                    ..
                } = done
                {
                    last_round.cancel();
                }
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

/// In the same pace, and with failures of its own.
async fn work(settings: &Settings, stop: &CancellationToken, last_round: &CancellationToken) {
    let mut failures: u32 = 0;
    let mut wait = first_pause(settings.interval, random());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = last_round.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        match once(settings, stop, |service, stop| service.work(stop)).await {
            Some(done) => {
                failures = failures_after(failures, &done);
                match done {
                    Ok(done) => tracing::debug!(?done, "did the work of the host"),
                    Err(error) => {
                        tracing::error!(failures, error = %chain(&error), "could not do the work of the host");
                    }
                }
            }
            None => return,
        }
        wait = pause(settings.interval, failures, random());
    }
}

/// Rounds that have failed in a row. One of which a part failed has not: a name that cannot be written may stay so for ever, and
/// power rules are done within minutes or never.
fn failures_after(before: u32, done: &Result<Worked, HostError>) -> u32 {
    match done {
        Ok(_) => 0,
        Err(_) => before.saturating_add(1),
    }
}

/// `None` when it was told to stop meanwhile.
async fn once<D: Send + 'static>(
    settings: &Settings,
    stop: &CancellationToken,
    what: impl FnOnce(&Service, &CancellationToken) -> Result<D, HostError> + Send + 'static,
) -> Option<Result<D, HostError>> {
    let (settings, told) = (settings.clone(), stop.clone());
    let work = move || what(&Service::new(settings)?, &told);
    let working = tokio::task::spawn_blocking(work);
    tokio::select! {
        // What it owes is known at the next start. Whoever ends this process waits for the children that are being ended.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::FetchError;

    #[test]
    fn a_part_that_always_fails_does_not_slow_down_the_others() {
        let in_part = Worked::Done {
            host: 7,
            snapins: 0,
            failed: vec!["host name"],
        };
        assert_eq!(failures_after(3, &Ok(in_part)), 0);
        let not_at_all = Err(HostError::Work(FetchError::Stopped));
        assert_eq!(failures_after(3, &not_at_all), 4);
    }
}
