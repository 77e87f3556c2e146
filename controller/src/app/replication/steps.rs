//! Each step of a copy, in one transaction with what it relies on. Several controllers may take
//! them at a time: whoever comes second looks again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{ImageId, StorageNodeId, Timestamp};

use super::plan::{Limits, Step, plan};
use super::snapshot;
use crate::agents::live::NodeLive;
use crate::state::content::ImageContent;
use crate::state::replica::{JobState, ReplicaJob};
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, State, Tables};

/// Written by every plan: two controllers that plan at the same time must not both give the last
/// place of a node.
const TURN: &str = "replica-job";
/// Steps of one transaction; the next round takes the others.
const AT_ONCE: usize = 16;
/// Between a failed attempt and the next one, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(30 * 60));
/// Characters of a reason that are kept.
const REASON: usize = 500;

/// Plans, and stores the plan. Returns how many steps were taken.
///
/// # Errors
/// As the store.
pub async fn take(
    state: &State,
    live: &HashMap<StorageNodeId, NodeLive>,
    limits: Limits,
    now: Timestamp,
) -> Result<usize, Refusal> {
    state
        .write::<_, Refusal>(|draft| {
            let steps = plan(&snapshot::take(draft.tables(), live, now), limits);
            if steps.is_empty() {
                return Ok(0);
            }
            draft.take_turn(TURN, 0);
            let taken = steps.len().min(AT_ONCE);
            steps
                .into_iter()
                .take(AT_ONCE)
                .for_each(|step| write(draft, step, now));
            Ok(taken)
        })
        .await
}

fn write(draft: &mut Draft<'_>, step: Step, now: Timestamp) {
    let tables = draft.tables();
    match step {
        Step::Start {
            image,
            node,
            manifest,
            heals,
            sources,
        } => {
            let before = tables.replica_jobs().get(&(image, node));
            let failures = before
                .filter(|before| before.manifest == manifest)
                .map_or(0, |before| before.failures);
            // It must not be deleted, or captured anew, meanwhile.
            if let Some(content) = tables.contents().get(&image) {
                draft.require(content.unchanged());
            }
            draft.replace(&ReplicaJob {
                image,
                node,
                manifest,
                copy: copy_number(tables),
                heals,
                sources,
                since: now,
                failures,
                state: JobState::Copying,
                modified: before.map_or(0, |before| before.modified),
            });
        }
        Step::Resource {
            image,
            node,
            sources,
        } => {
            if let Some(job) = tables.replica_jobs().get(&(image, node)) {
                draft.replace(&ReplicaJob {
                    sources,
                    ..ReplicaJob::clone(job)
                });
            }
        }
        Step::End { image, node } => {
            if let Some(job) = tables.replica_jobs().get(&(image, node)) {
                draft.discard(&**job);
            }
        }
    }
}

/// A number that no copy has.
fn copy_number(tables: &Tables) -> u32 {
    let is_free = |number: &u32| *number != 0 && of_copy(tables, *number).is_none();
    // Without randomness the count does: the numbers of copies that have ended may come again.
    let random = std::iter::repeat_with(|| getrandom::u32().unwrap_or(0)).take(16);
    let mut numbers = random.chain(1..);
    numbers.find(is_free).unwrap_or(u32::MAX)
}

/// The copy with this number.
#[must_use]
pub fn of_copy(tables: &Tables, copy: u32) -> Option<&Arc<ReplicaJob>> {
    tables.replica_jobs().iter().find(|job| job.copy == copy)
}

/// The copy of this number to this node, if it is under way.
fn under_way(tables: &Tables, node: StorageNodeId, copy: u32) -> Option<&Arc<ReplicaJob>> {
    of_copy(tables, copy).filter(|job| job.node == node && job.is_copying())
}

/// A node has verified every chunk. From now on it holds the content, if that is still the one that
/// was copied. Returns what it was, if it is news.
///
/// # Errors
/// As the store.
pub async fn done(
    state: &State,
    node: StorageNodeId,
    copy: u32,
) -> Result<Option<Arc<ReplicaJob>>, Refusal> {
    state
        .write::<_, Refusal>(|draft| {
            let tables = draft.tables();
            let Some(job) = under_way(tables, node, copy) else {
                return Ok(None);
            };
            draft.discard(&**job);
            if let Some(content) = tables.contents().get(&job.image) {
                let mut next = ImageContent::clone(content);
                let version = match next.manifest == job.manifest {
                    true => Some(&mut next),
                    false => {
                        let mut kept = next.previous.iter_mut().map(|kept| &mut kept.content);
                        kept.find(|kept| kept.manifest == job.manifest)
                    }
                };
                if let Some(version) = version.filter(|version| !version.nodes.contains(&node)) {
                    version.nodes.push(node);
                    draft.replace(&next);
                } else {
                    draft.require(content.unchanged());
                }
            }
            Ok(Some(job.clone()))
        })
        .await
}

/// A copy has failed. It is tried again after a while that grows.
///
/// # Errors
/// As the store.
pub async fn failed(
    state: &State,
    node: StorageNodeId,
    copy: u32,
    reason: &str,
    now: Timestamp,
) -> Result<Option<Arc<ReplicaJob>>, Refusal> {
    state
        .write::<_, Refusal>(|draft| {
            let Some(job) = under_way(draft.tables(), node, copy) else {
                return Ok(None);
            };
            let wait = RETRY.0 * 2_u32.saturating_pow(job.failures.min(16));
            draft.replace(&ReplicaJob {
                failures: job.failures.saturating_add(1),
                state: JobState::Failed {
                    reason: reason.chars().take(REASON).collect(),
                    at: now,
                    retry_at: now + wait.min(RETRY.1),
                },
                ..ReplicaJob::clone(job)
            });
            Ok(Some(job.clone()))
        })
        .await
}

/// Why a copy was not stopped or started.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    #[error("image {image} is not being copied to storage node {node}")]
    NoCopy { image: ImageId, node: StorageNodeId },
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Ends the attempt; there is no other until somebody starts it.
///
/// # Errors
/// See [`SteerError`].
pub async fn stop(
    state: &State,
    image: ImageId,
    node: StorageNodeId,
    now: Timestamp,
) -> Result<(), SteerError> {
    state
        .write(|draft| {
            let job = draft.tables().replica_jobs().get(&(image, node));
            let job = job.ok_or(SteerError::NoCopy { image, node })?;
            if !matches!(job.state, JobState::Stopped { .. }) {
                draft.replace(&ReplicaJob {
                    state: JobState::Stopped { at: now },
                    ..ReplicaJob::clone(job)
                });
            }
            Ok(())
        })
        .await
}

/// Lets a copy that was stopped, or that waits after a failure, begin with the next plan.
///
/// # Errors
/// See [`SteerError`].
pub async fn start(state: &State, image: ImageId, node: StorageNodeId) -> Result<(), SteerError> {
    state
        .write(|draft| {
            let job = draft.tables().replica_jobs().get(&(image, node));
            let job = job.ok_or(SteerError::NoCopy { image, node })?;
            if !job.is_copying() {
                draft.discard(&**job);
            }
            Ok(())
        })
        .await
}
