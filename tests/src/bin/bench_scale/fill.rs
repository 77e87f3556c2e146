//! Fills a store with hosts, with the controller's own code for its own format: the same drafts as
//! those of a request, but many hosts in one transaction, and without an entry in the audit log for
//! each. The controller does not run meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use foghorn_controller::state::classes::{Host, MacAddressAssociation};
use foghorn_controller::state::value::Flag;
use foghorn_controller::state::{Draft, Refusal, State};
use foghorn_controller::store::etcd::EtcdOptions;
use foghorn_controller::store::open::{StoreConfig, open};
use foghorn_types::Timestamp;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A host and its address take four operations, and a transaction has at most 128.
const BATCH: u32 = 28;
/// Transactions at a time.
const WRITERS: usize = 32;
/// A transaction that etcd did not answer is tried again.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// The name of host `number`, counted from 1. As searches want it: no name is part of another.
pub(crate) fn name(number: u32) -> String {
    format!("pc{number:07}")
}

/// The address of host `number`.
pub(crate) fn mac(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// Hosts 1 to `count`, with these as their ids, all with the image.
pub(crate) fn hosts(etcd: &str, count: u32, image: u32) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let options = EtcdOptions {
            endpoints: vec![etcd.to_owned()],
            ..EtcdOptions::default()
        };
        let store = open(&StoreConfig::Etcd(options)).await?;
        let cancel = CancellationToken::new();
        let (state, follower) = State::start(store, cancel.child_token()).await?;
        let next = Arc::new(AtomicU32::new(1));
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            writers.spawn(write(state.clone(), next.clone(), count, image));
        }
        while let Some(ended) = writers.join_next().await {
            ended.context("a writer panicked")??;
        }
        // The next host that somebody creates comes after these.
        state
            .write::<_, Refusal>(|draft| {
                draft.skip_to::<Host>(count);
                draft.skip_to::<MacAddressAssociation>(count);
                Ok(())
            })
            .await?;
        cancel.cancel();
        follower.await?;
        Ok(())
    })
}

async fn write(
    state: Arc<State>,
    next: Arc<AtomicU32>,
    count: u32,
    image: u32,
) -> Result<(), Refusal> {
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first > count {
            return Ok(());
        }
        let end = (first + BATCH).min(count + 1);
        let mut attempts = 0..ATTEMPTS;
        loop {
            let added =
                state.write(|draft| (first..end).try_for_each(|number| add(draft, number, image)));
            match (added.await, attempts.next()) {
                (Ok(()), _) => break,
                // On a busy disk etcd may be late; what it has taken all the same is left out then.
                (Err(Refusal::Store(_) | Refusal::Lagging), Some(_)) => sleep(PAUSE).await,
                (Err(error), _) => return Err(error),
            }
        }
    }
}

fn add(draft: &mut Draft<'_>, number: u32, image: u32) -> Result<(), Refusal> {
    if draft.tables().hosts().get(number).is_some() {
        return Ok(());
    }
    draft.insert(Host {
        id: number,
        name: name(number),
        description: format!("room {}, seat {}", number / 32, number % 32),
        image,
        created_time: Timestamp::now().into(),
        created_by: "fog".to_owned(),
        ..Host::default()
    })?;
    draft.insert(MacAddressAssociation {
        id: number,
        host: number,
        mac: mac(number),
        primary: Flag::Yes,
        ..MacAddressAssociation::default()
    })?;
    Ok(())
}
