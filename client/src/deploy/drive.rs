//! Keeps connections to nodes as long as chunks are missing: to the one that has the task, and to
//! further ones as long as they help.

use std::sync::Arc;

use foghorn_transport::{Stage, StreamError};

use super::fetch::{FetchEnd, fetch};
use super::shared::{Role, Shared};
use super::{DeployError, Queues, TICK, further, lost, multicast, short_name, stopped};
use crate::link::TaskLink;
use crate::progress::limiting_stage;

/// Fetches until every chunk is right: from the node that has the task, and from further ones as
/// long as they help.
pub(super) async fn drive(
    shared: &Arc<Shared>,
    link: &mut TaskLink,
    queues: &Queues,
) -> Result<(), DeployError> {
    let further = further::run(shared.clone(), link.ways(), queues.clone());
    tokio::select! {
        ended = drive_first(shared, link, queues) => ended,
        () = further => Err(stopped()),
    }
}

/// Keeps a connection to the node that has the task and fetches on it until every chunk is right,
/// whoever brought it.
async fn drive_first(
    shared: &Arc<Shared>,
    link: &mut TaskLink,
    queues: &Queues,
) -> Result<(), DeployError> {
    let mut last = String::new();
    loop {
        if shared.board().complete() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Err(stopped()),
            () = shared.complete() => return Ok(()),
            connected = link.connection() => { connected?; }
        }
        let name = link.server_name().to_owned();
        if name != last {
            shared.moved();
            last.clone_from(&name);
        }
        match fetch_from(shared, link, queues, &name).await? {
            FetchEnd::Over if shared.stop.is_cancelled() => return Err(stopped()),
            FetchEnd::Over => {}
            FetchEnd::Distrusted => {
                shared.trust_the_next();
                link.move_on();
            }
            FetchEnd::Disorder => {
                return Err(DeployError::Protocol(
                    "the agent sent a chunk that was not requested".to_owned(),
                ));
            }
            FetchEnd::Lost(error) => lost(link, error)?,
            FetchEnd::Moved(sources) => link.move_to(sources),
            FetchEnd::Gone(error) => return Err(error.into()),
        }
    }
}

/// Fetches on the connection that there is until it is of no more use; tells the node how far the
/// deploy is.
async fn fetch_from(
    shared: &Arc<Shared>,
    link: &mut TaskLink,
    queues: &Queues,
    name: &str,
) -> Result<FetchEnd, DeployError> {
    let elsewhere = link.elsewhere();
    let connection = link.connection().await?;
    let way = shared.joins(short_name(name), Role::First);
    let fetching = fetch(shared, &way, connection, &queues.verify);
    let hearing = multicast::hear(
        shared,
        connection,
        queues,
        multicast::expect(shared, connection),
    );
    let moved = async {
        match elsewhere {
            Some(elsewhere) => elsewhere.when_silent(|| connection.heard_bytes()).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(fetching, hearing, moved);
    Ok(loop {
        tokio::select! {
            end = &mut fetching => break end,
            () = &mut hearing => {}
            moved = &mut moved => break match moved {
                Ok(sources) => FetchEnd::Moved(sources),
                Err(error) => FetchEnd::Gone(error),
            },
            reason = connection.ended() => break FetchEnd::Lost(StreamError::Ended(reason)),
            () = tokio::time::sleep(TICK) => {
                shared.progress.set_limiting(limiting_stage(
                    [Stage::Network, Stage::Compression, Stage::Disk],
                    queues.fill(),
                ));
                connection.report(shared.progress.snapshot().into());
                connection.report_elsewhere(shared.elsewhere());
            }
        }
    })
}
