//! A deploy with a further source: what the first one cannot give intact comes from there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foghorn_client::check_in::CheckInError;
use foghorn_client::deploy::{DeployError, DeployOptions, deploy};
use foghorn_client::disk::Access;
use foghorn_client::link::Finder;
use foghorn_client::progress::Progress;
use foghorn_transport::{ClientOutcome, SessionKind, Source};
use foghorn_types::{ChunkId, DiskPart, ManifestId};
use tokio_util::sync::CancellationToken;

use super::agent::TestAgent;
use super::disks::{self, MIB, blank, check, make, open};
use super::{bounded, captured};

/// A controller that knows these nodes, or that does not know the question.
#[derive(Debug, Default)]
struct Known {
    nodes: Vec<Source>,
    is_old: bool,
    asked: AtomicU32,
}

impl Finder for Known {
    fn find(&self, wanted: u8, without: &[String]) -> Result<Vec<Vec<Source>>, CheckInError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_old {
            return Err(CheckInError::Refused {
                status: 404,
                reason: "there is no such page".to_owned(),
            });
        }
        let nodes = self.nodes.iter();
        let of_use = nodes.filter(|node| !without.contains(&node.server_name));
        let given = of_use.take(wanted.into());
        Ok(given.map(|node| vec![node.clone()]).collect())
    }
}

async fn deploy_to(
    disk: &Path,
    agent: &TestAgent,
    manifest: ManifestId,
    known: &Arc<Known>,
) -> Result<Arc<Progress>, DeployError> {
    blank(disk, 96 * MIB);
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let mut link = agent
        .link(SessionKind::Deploy { manifest }, stop.clone())
        .finding(known.clone());
    let options = DeployOptions {
        manifest,
        part: DiskPart::Everything,
        state_dir: None,
    };
    bounded(deploy(
        open(disk, Access::Write),
        &mut link,
        &options,
        progress.clone(),
        stop,
    ))
    .await?;
    bounded(link.finish(ClientOutcome::Complete)).await.unwrap();
    Ok(progress)
}

fn damage(agent: &TestAgent, chunks: &[ChunkId]) {
    let mut damage = agent.store.damage.lock().unwrap();
    damage.extend(chunks.iter().map(|id| (*id, 1000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_chunks_come_from_another_node() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    let image = captured(&agent, &make(dir.path())).await.unwrap();
    let other = agent.beside("south");
    let all: Vec<ChunkId> = agent.store.chunks.lock().unwrap().keys().copied().collect();
    let target = dir.path().join("target.img");
    let known = Arc::new(Known {
        nodes: vec![other.source()],
        ..Known::default()
    });
    // A few, then all of them, each damaged whenever it is sent.
    for damaged in [&all[..3], &all[..]] {
        damage(&agent, damaged);
        other.store.forget_counts();
        let progress = deploy_to(&target, &agent, image.manifest, &known)
            .await
            .unwrap();
        check(dir.path(), &target);
        let from = progress.from();
        assert!(from["north"] > 0 && from["south"] > 0, "{from:?}");
        assert!(
            other.fetched() >= damaged.len() as u64,
            "{}",
            other.fetched()
        );
        assert_eq!(progress.snapshot().wire.bytes(), from.values().sum::<u64>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_is_damaged_everywhere_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    let image = captured(&agent, &make(dir.path())).await.unwrap();
    let other = agent.beside("south");
    let damaged = *agent.store.chunks.lock().unwrap().keys().next().unwrap();
    damage(&agent, &[damaged]);
    damage(&other, &[damaged]);
    let target = dir.path().join("target.img");
    let known = Arc::new(Known {
        nodes: vec![other.source()],
        ..Known::default()
    });
    let error = deploy_to(&target, &agent, image.manifest, &known)
        .await
        .unwrap_err();
    assert!(
        matches!(error, DeployError::Chunk { id, .. } if id == damaged),
        "{error}"
    );
    assert!(!disks::has_table(&target));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_controller_is_asked_once_and_the_node_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    let image = captured(&agent, &make(dir.path())).await.unwrap();
    let mut ids = agent.store.chunks.lock().unwrap().clone().into_keys();
    for id in ids.by_ref().take(2) {
        agent.store.damage.lock().unwrap().insert(id, 1);
    }
    let target = dir.path().join("target.img");
    let known = Arc::new(Known {
        is_old: true,
        ..Known::default()
    });
    deploy_to(&target, &agent, image.manifest, &known)
        .await
        .unwrap();
    check(dir.path(), &target);
    assert_eq!(known.asked.load(Ordering::Relaxed), 1);
}
