//! Capture and deploy against a real QUIC session on loopback, with real disks in files.

mod agent;
mod disks;
mod further;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agent::{Misdeed, Offer, TestAgent};
use disks::{MIB, blank, check, has_table, make, open};
use foghorn_client::capture::{CaptureError, Captured, capture};
use foghorn_client::deploy::{DeployError, DeployOptions, deploy};
use foghorn_client::disk::Access;
use foghorn_client::progress::{Progress, Snapshot};
use foghorn_disk_layout::{PartitionSet, SurveyOptions};
use foghorn_transport::{ClientOutcome, SessionKind};
use foghorn_types::{DiskPart, ManifestId};
use tokio_util::sync::CancellationToken;

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), work)
        .await
        .expect("a transfer must end")
}

async fn captured(agent: &TestAgent, disk: &Path) -> Result<Captured, CaptureError> {
    let stop = CancellationToken::new();
    let mut link = agent.link(SessionKind::Capture, stop.clone());
    let result = bounded(capture(
        open(disk, Access::Read),
        &mut link,
        SurveyOptions::default(),
        Arc::default(),
        stop,
    ))
    .await;
    if let Ok(captured) = &result {
        bounded(link.finish_capture(captured.encoded.clone()))
            .await
            .unwrap();
    }
    result
}

struct Deploy<'a> {
    agent: &'a TestAgent,
    manifest: ManifestId,
    state_dir: Option<&'a Path>,
}

impl Deploy<'_> {
    async fn to(&self, disk: &Path) -> Result<Snapshot, DeployError> {
        self.until(disk, CancellationToken::new()).await
    }

    async fn until(&self, disk: &Path, stop: CancellationToken) -> Result<Snapshot, DeployError> {
        let progress = Arc::new(Progress::default());
        let mut link = self.agent.link(
            SessionKind::Deploy {
                manifest: self.manifest,
            },
            stop.clone(),
        );
        let options = DeployOptions {
            manifest: self.manifest,
            part: DiskPart::Everything,
            state_dir: self.state_dir.map(Path::to_owned),
        };
        bounded(deploy(
            open(disk, Access::Write),
            &mut link,
            &options,
            progress.clone(),
            stop,
        ))
        .await?;
        link.finish(ClientOutcome::Complete).await.unwrap();
        Ok(progress.snapshot())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_captured_is_deployed_to_equal_and_larger_disks() {
    let dir = tempfile::tempdir().unwrap();
    let source = make(dir.path());
    let agent = TestAgent::start();
    let image = captured(&agent, &source).await.unwrap();
    assert!(agent.stored() > 30, "only {} chunks", agent.stored());
    for (name, size) in [("equal.img", 96 * MIB), ("larger.img", 150 * MIB)] {
        let target = dir.path().join(name);
        blank(&target, size);
        let done = Deploy {
            agent: &agent,
            manifest: image.manifest,
            state_dir: None,
        }
        .to(&target)
        .await
        .unwrap();
        assert_eq!(done.done, done.total);
        check(dir.path(), &target);
    }
    agent.store.forget_counts();
    let again = captured(&agent, &dir.path().join("equal.img"))
        .await
        .unwrap();
    assert_eq!(again.manifest, image.manifest, "the copy is the original");
    assert_eq!(agent.stored(), 0, "what the agent has is not sent again");
    assert!(
        agent
            .store
            .outcomes
            .lock()
            .unwrap()
            .iter()
            .all(|outcome| *outcome == ClientOutcome::Complete)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_multicast_does_not_work_out_chunks_are_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    let image = captured(&agent, &make(dir.path())).await.unwrap();
    for (offer, name) in [
        (Offer::Refused, "refused.img"),
        (Offer::Silent, "silent.img"),
    ] {
        *agent.store.multicast.lock().unwrap() = Some(offer);
        agent.store.forget_counts();
        let target = dir.path().join(name);
        blank(&target, 96 * MIB);
        let done = Deploy {
            agent: &agent,
            manifest: image.manifest,
            state_dir: None,
        }
        .to(&target)
        .await
        .unwrap();
        assert_eq!((done.done, done.multicast.bytes()), (done.total, 0));
        assert!(agent.fetched() > 30);
        check(dir.path(), &target);
    }
    let left = agent.store.left.lock().unwrap().clone();
    assert!(left.len() == 1 && left[0].contains("snooping"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_target_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    let image = captured(&agent, &make(dir.path())).await.unwrap();
    let target = dir.path().join("small.img");
    std::fs::write(&target, disks::noise(9, 90 << 20)).unwrap();
    let before = blake3::hash(&std::fs::read(&target).unwrap());
    let error = Deploy {
        agent: &agent,
        manifest: image.manifest,
        state_dir: None,
    }
    .to(&target)
    .await
    .unwrap_err();
    assert!(error.is_refusal(), "{error}");
    assert_eq!(blake3::hash(&std::fs::read(&target).unwrap()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dirty_file_system_is_refused_unless_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let source = make(dir.path());
    let ext = format!("{}?offset={}", source.to_str().unwrap(), disks::EXT_START);
    disks::tool("debugfs", &["-w", "-R", "set_super_value state 0", &ext]);
    let agent = TestAgent::start();
    let error = captured(&agent, &source).await.unwrap_err();
    assert!(error.is_refusal(), "{error}");
    assert_eq!(agent.stored(), 0);
    let stop = CancellationToken::new();
    let mut link = agent.link(SessionKind::Capture, stop.clone());
    bounded(capture(
        open(&source, Access::Read),
        &mut link,
        SurveyOptions {
            dirty: PartitionSet::All,
            ..SurveyOptions::default()
        },
        Arc::default(),
        stop,
    ))
    .await
    .unwrap();
    assert!(agent.stored() > 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_repaired_once_and_then_named() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    let image = captured(&agent, &make(dir.path())).await.unwrap();
    let damaged = *agent.store.chunks.lock().unwrap().keys().next().unwrap();
    let target = dir.path().join("target.img");
    let deploy = Deploy {
        agent: &agent,
        manifest: image.manifest,
        state_dir: None,
    };

    agent.store.damage.lock().unwrap().insert(damaged, 1);
    blank(&target, 96 * MIB);
    deploy.to(&target).await.unwrap();
    check(dir.path(), &target);

    agent.store.damage.lock().unwrap().insert(damaged, 1000);
    blank(&target, 96 * MIB);
    let error = deploy.to(&target).await.unwrap_err();
    assert!(
        matches!(error, DeployError::Chunk { id, .. } if id == damaged),
        "{error}"
    );
    assert!(!has_table(&target));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_are_survived_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let source = make(dir.path());
    let agent = TestAgent::start();
    *agent.store.at_chunk.lock().unwrap() = Some((10, Misdeed::Interrupt));
    let image = captured(&agent, &source).await.unwrap();
    *agent.store.at_chunk.lock().unwrap() = Some((15, Misdeed::Interrupt));
    let target = dir.path().join("target.img");
    blank(&target, 96 * MIB);
    Deploy {
        agent: &agent,
        manifest: image.manifest,
        state_dir: None,
    }
    .to(&target)
    .await
    .unwrap();
    assert!(
        agent.store.at_chunk.lock().unwrap().is_none(),
        "it was interrupted"
    );
    check(dir.path(), &target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_is_complete_although_the_agent_restarts_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    agent.store.restart_at_end.store(true, Ordering::Relaxed);
    captured(&agent, &make(dir.path())).await.unwrap();
    assert_eq!(
        *agent.store.outcomes.lock().unwrap(),
        [ClientOutcome::Complete]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_deploy_fetches_only_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    let image = captured(&agent, &make(dir.path())).await.unwrap();
    let all = agent.store.chunks.lock().unwrap().len() as u64;
    let state = dir.path().join("state");
    for state_dir in [None, Some(state.as_path())] {
        let target = dir.path().join("target.img");
        blank(&target, 96 * MIB);
        let deploy = Deploy {
            agent: &agent,
            manifest: image.manifest,
            state_dir,
        };
        agent.store.forget_counts();
        *agent.store.at_chunk.lock().unwrap() = Some((30, Misdeed::Cancel));
        let error = deploy.to(&target).await.unwrap_err();
        assert!(
            matches!(&error, DeployError::Cancelled { reason } if reason.contains("operator")),
            "{error}"
        );
        assert!(!has_table(&target), "a half-deployed disk looks like none");
        agent.store.forget_counts();
        let done = deploy.to(&target).await.unwrap();
        let fetched = agent.fetched();
        assert!(
            done.reused.bytes() > 0 && fetched < all,
            "{fetched} of {all} were fetched again"
        );
        check(dir.path(), &target);
        if let Some(state) = state_dir {
            assert_eq!(
                std::fs::read_dir(state).unwrap().count(),
                0,
                "the bitmap goes with the task"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_with_the_previous_version_receives_only_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let source = make(dir.path());
    let agent = TestAgent::start();
    let old = captured(&agent, &source).await.unwrap();
    let target = dir.path().join("target.img");
    blank(&target, 110 * MIB);
    Deploy {
        agent: &agent,
        manifest: old.manifest,
        state_dir: None,
    }
    .to(&target)
    .await
    .unwrap();
    // Two used chunks change in place.
    let file = File::options().write(true).open(&source).unwrap();
    for place in [40, 50] {
        file.write_all_at(&disks::noise(place, 8192), place * MIB)
            .unwrap();
    }
    agent.store.forget_counts();
    let new = captured(&agent, &source).await.unwrap();
    assert_eq!(agent.stored(), 2);
    agent.store.forget_counts();
    let done = Deploy {
        agent: &agent,
        manifest: new.manifest,
        state_dir: None,
    }
    .to(&target)
    .await
    .unwrap();
    assert_eq!(agent.fetched(), 2);
    assert!(done.reused.bytes() > done.total.bytes() / 10 * 9);
    let (mut a, mut b) = (vec![0; 8192], vec![0; 8192]);
    file_bytes(&source, 40 * MIB, &mut a);
    file_bytes(&target, 40 * MIB, &mut b);
    assert_eq!(a, b);
}

fn file_bytes(path: &Path, offset: u64, buffer: &mut [u8]) {
    File::open(path)
        .unwrap()
        .read_exact_at(buffer, offset)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_is_prompt_and_leaves_no_table() {
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    let image = captured(&agent, &make(dir.path())).await.unwrap();
    let target = dir.path().join("target.img");
    blank(&target, 96 * MIB);
    *agent.store.at_chunk.lock().unwrap() = Some((agent.stored().min(10), Misdeed::Stall));
    let stop = CancellationToken::new();
    let stopper = tokio::spawn({
        let (stop, struck) = (stop.clone(), agent.store.struck.clone());
        async move {
            struck.cancelled().await;
            stop.cancel();
        }
    });
    let error = Deploy {
        agent: &agent,
        manifest: image.manifest,
        state_dir: None,
    }
    .until(&target, stop)
    .await
    .unwrap_err();
    assert!(matches!(error, DeployError::Cancelled { .. }), "{error}");
    assert!(!has_table(&target));
    stopper.await.unwrap();
}

/// Mounted for a test, as only a file system that is really full says so. Needs root.
struct SmallFileSystem(std::path::PathBuf);

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        disks::tool("umount", &[self.0.to_str().unwrap()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_loudly_with_the_place() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let agent = TestAgent::start();
    let image = captured(&agent, &make(dir.path())).await.unwrap();
    let mount = dir.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    disks::tool(
        "mount",
        &[
            "-t",
            "tmpfs",
            "-o",
            "size=20m",
            "tmpfs",
            mount.to_str().unwrap(),
        ],
    );
    let mounted = SmallFileSystem(mount.clone());
    let target = mount.join("target.img");
    blank(&target, 96 * MIB);
    let error = Deploy {
        agent: &agent,
        manifest: image.manifest,
        state_dir: None,
    }
    .to(&target)
    .await
    .unwrap_err();
    let DeployError::Disk(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.source.kind(), std::io::ErrorKind::StorageFull);
    assert!(error.to_string().contains("write"), "{error}");
    assert!(!has_table(&target));
    drop(mounted);
}
