//! Removes records that are no longer needed: one-time tokens that were used or have expired, runs
//! of deleted tasks.

use std::time::Duration;

use foghorn_types::Timestamp;
use tracing::{debug, info};

use crate::app::idempotent;
use crate::state::class::Class;
use crate::state::classes::{History, TaskLog, UserTracking};
use crate::state::value::FogTime;
use crate::state::{Draft, Refusal, State, audit};
use crate::store::{Op, Store, StoreError, Txn};

/// A token is kept this long after its use or its expiry, so that a replay is recognised.
pub(super) const TOKEN_MEMORY: Duration = Duration::from_secs(60 * 60);
/// A factory token is kept this long after its expiry: programs use it for weeks without anybody looking,
/// and whose stops working is told that the token has expired, and finds it in the list.
pub(super) const FACTORY_TOKEN_MEMORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A run is kept this long after it ended, although its task has been deleted: its node may still
/// refer to it.
pub(super) const RUN_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// Records per transaction; etcd allows 128 operations by default.
const BATCH: usize = 100;
/// Transactions per round. The rest is left to the next round.
const BATCHES: usize = 50;

/// Removes used and expired tokens.
pub(super) async fn tokens(state: &State, now: Timestamp) -> Result<usize, Refusal> {
    let removed = in_batches(state, |draft| {
        let spent: Vec<_> = draft
            .tables()
            .tokens()
            .spent(now - TOKEN_MEMORY)
            .take(BATCH)
            .cloned()
            .collect();
        for token in &spent {
            draft.discard(&**token);
        }
        spent.len()
    });
    let removed = removed.await?;
    if removed > 0 {
        debug!(removed, "removed used and expired tokens");
    }
    Ok(removed)
}

/// Removes join tokens for many nodes that have expired, also those that were used up.
pub(super) async fn join_tokens(state: &State, now: Timestamp) -> Result<usize, Refusal> {
    let removed = in_batches(state, |draft| {
        let expired: Vec<_> = draft
            .tables()
            .join_tokens()
            .expired(now - TOKEN_MEMORY)
            .take(BATCH)
            .cloned()
            .collect();
        for token in &expired {
            draft.discard(&**token);
        }
        expired.len()
    });
    let removed = removed.await?;
    if removed > 0 {
        debug!(removed, "removed expired join tokens for many nodes");
    }
    Ok(removed)
}

/// Removes machine tokens that have expired, also those that were used up.
pub(super) async fn host_tokens(state: &State, now: Timestamp) -> Result<usize, Refusal> {
    let removed = in_batches(state, |draft| {
        let expired: Vec<_> = draft
            .tables()
            .host_tokens()
            .expired(now - TOKEN_MEMORY)
            .take(BATCH)
            .cloned()
            .collect();
        for token in &expired {
            draft.discard(&**token);
        }
        expired.len()
    });
    let removed = removed.await?;
    if removed > 0 {
        debug!(removed, "removed expired machine tokens");
    }
    Ok(removed)
}

/// Removes factory tokens that have expired long ago. Those without an end stay.
pub(super) async fn factory_tokens(state: &State, now: Timestamp) -> Result<usize, Refusal> {
    let removed = in_batches(state, |draft| {
        let expired: Vec<_> = draft
            .tables()
            .factory_tokens()
            .expired(now - FACTORY_TOKEN_MEMORY)
            .take(BATCH)
            .cloned()
            .collect();
        for token in &expired {
            draft.discard(&**token);
        }
        expired.len()
    });
    let removed = removed.await?;
    if removed > 0 {
        info!(removed, "removed expired factory tokens");
    }
    Ok(removed)
}

/// Removes idempotency keys that were first used a day ago.
pub(super) async fn keys(state: &State, now: Timestamp) -> Result<usize, Refusal> {
    let removed = in_batches(state, |draft| {
        let old: Vec<_> = draft
            .tables()
            .keyed()
            .used_before(now - idempotent::MEMORY)
            .take(BATCH)
            .cloned()
            .collect();
        for keyed in &old {
            draft.discard(&**keyed);
        }
        old.len()
    });
    let removed = removed.await?;
    if removed > 0 {
        debug!(removed, "removed old idempotency keys");
    }
    Ok(removed)
}

/// Removes runs that have ended and whose task has been deleted. An existing task keeps its run,
/// which contains the reason for its end.
pub(super) async fn runs(state: &State, now: Timestamp) -> Result<usize, Refusal> {
    let removed = in_batches(state, |draft| {
        let tables = draft.tables();
        let tasks = tables.tasks();
        let gone = tables
            .runs()
            .ended_before(now - RUN_MEMORY)
            .filter(|run| tasks.get(run.task.get()).is_none());
        let gone: Vec<_> = gone.take(BATCH).cloned().collect();
        for run in &gone {
            draft.discard(&**run);
        }
        gone.len()
    });
    let removed = removed.await?;
    if removed > 0 {
        debug!(removed, "removed runs of deleted tasks");
    }
    Ok(removed)
}

/// Removes entries of the audit log from before this time.
pub(super) async fn audit(store: &dyn Store, before: Timestamp) -> Result<usize, StoreError> {
    let mut removed = 0;
    for _ in 0..BATCHES {
        let old = store
            .range(audit::PREFIX, &audit::key_at(before), BATCH, false)
            .await?;
        let ops: Vec<Op> = old
            .into_iter()
            .map(|entry| Op::Delete { key: entry.key })
            .collect();
        let some = ops.len();
        if some > 0 {
            // Another controller may remove the same ones: deleting twice has no effect.
            store
                .commit(Txn {
                    compares: Vec::new(),
                    ops,
                })
                .await?;
        }
        removed += some;
        if some < BATCH {
            break;
        }
    }
    if removed > 0 {
        info!(removed, "removed old entries of the audit log");
    }
    Ok(removed)
}

/// Removes rows of FOG's logs from before this time. Rows without a time are kept, because their
/// age is unknown.
pub(super) async fn logs(state: &State, before: Timestamp) -> Result<usize, Refusal> {
    let removed = old::<History>(state, before, |row| row.created_time).await?
        + old::<TaskLog>(state, before, |row| row.created_time).await?
        + old::<UserTracking>(state, before, |row| row.at).await?;
    if removed > 0 {
        debug!(
            removed,
            "removed old rows of the history, the task log and the user tracking"
        );
    }
    Ok(removed)
}

async fn old<C: Class>(
    state: &State,
    before: Timestamp,
    time: fn(&C) -> FogTime,
) -> Result<usize, Refusal> {
    in_batches(state, |draft| {
        // A row may have a unique value, whose guard is deleted with another operation.
        let old = draft
            .tables()
            .of::<C>()
            .iter()
            .filter(|row| time(row).0.is_some_and(|time| time < before));
        let old: Vec<_> = old.take(BATCH / 2).collect();
        old.iter().for_each(|row| draft.delete(row));
        old.len() * 2
    })
    .await
    .map(|removed| removed / 2)
}

/// Repeats `draft` until it finds less than a batch.
async fn in_batches(
    state: &State,
    mut draft: impl FnMut(&mut Draft<'_>) -> usize,
) -> Result<usize, Refusal> {
    let mut removed = 0;
    for _ in 0..BATCHES {
        let some = state
            .write::<_, Refusal>(|changes| Ok(draft(changes)))
            .await?;
        removed += some;
        if some < BATCH {
            break;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use foghorn_types::{
        FactoryTokenId, HostId, HostTokenId, ImageId, JoinTokenId, NamePattern, StorageGroupId,
        TaskId,
    };
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::state::classes::Task;
    use crate::state::enrolment::{OneTimeToken, Purpose};
    use crate::state::join_token::ManyToken;
    use crate::state::machines::host_token::HostToken;
    use crate::state::machines::scope::Scope;
    use crate::state::machines::token::FactoryToken;
    use crate::state::run::{Run, RunKind};
    use crate::state::shelf::Record as _;
    use crate::store::embedded::EmbeddedStore;

    async fn state(folder: &tempfile::TempDir, cancel: &CancellationToken) -> Arc<State> {
        let store = Arc::new(
            EmbeddedStore::open(&folder.path().join("state.redb"))
                .await
                .unwrap(),
        );
        State::start(store, cancel.clone()).await.unwrap().0
    }

    async fn put(state: &State, ops: Vec<Op>) {
        for part in ops.chunks(BATCH) {
            let write = |draft: &mut Draft<'_>| {
                part.iter().for_each(|op| draft.operate(op.clone()));
                Ok(())
            };
            state.write::<_, Refusal>(write).await.unwrap();
        }
    }

    #[tokio::test]
    async fn tokens_go_an_hour_after_they_were_used_or_expired() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let state = state(&folder, &cancel).await;
        let now = Timestamp::now();
        let purpose = Purpose::Boot {
            host: HostId::new(1).unwrap(),
            task: TaskId::new(1).unwrap(),
        };
        let token = |name: &str, expires| OneTimeToken::new(name, purpose.clone(), expires);
        let (hour, minute, day) = (
            TOKEN_MEMORY,
            Duration::from_secs(60),
            Duration::from_secs(24 * 60 * 60),
        );
        let kept = [
            token("good", now + day),
            token("expired now", now - minute),
            OneTimeToken {
                used: Some(now - minute),
                ..token("used now", now + day)
            },
        ];
        let long_used = OneTimeToken {
            used: Some(now - hour - minute),
            ..token("used long ago", now + day)
        };
        let mut ops: Vec<_> = kept.iter().map(OneTimeToken::put_op).collect();
        ops.push(long_used.put_op());
        // A wave of hosts that never booted.
        ops.extend(
            (0..249).map(|number| token(&format!("wave {number}"), now - hour - minute).put_op()),
        );
        put(&state, ops).await;
        assert_eq!(tokens(&state, now).await.unwrap(), 250);
        for name in ["good", "expired now", "used now"] {
            assert!(
                state.read(|tables| tables.tokens().find(name).is_some()),
                "{name}"
            );
        }
        assert!(state.read(|tables| tables.tokens().find("used long ago").is_none()));
        assert_eq!(tokens(&state, now).await.unwrap(), 0);
        cancel.cancel();
    }

    #[tokio::test]
    async fn join_tokens_for_many_go_an_hour_after_they_expired() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let state = state(&folder, &cancel).await;
        let (now, minute) = (Timestamp::now(), Duration::from_secs(60));
        let token = |id, expires| ManyToken {
            id: JoinTokenId::new(id).unwrap(),
            hash: String::new(),
            names: NamePattern::any(),
            count: 1,
            // A place that was used up does not come back, and the same agent may ask again.
            used: 1,
            storage_group: None,
            created: now - TOKEN_MEMORY * 3,
            expires,
            modified: 0,
        };
        let ops = [
            token(1, now + minute),
            token(2, now - minute),
            token(3, now - TOKEN_MEMORY - minute),
        ];
        put(&state, ops.iter().map(ManyToken::put_op).collect()).await;
        assert_eq!(join_tokens(&state, now).await.unwrap(), 1);
        let left: Vec<u32> = state.read(|tables| {
            let tokens = tables.join_tokens().iter();
            tokens.map(|token| token.id.get()).collect()
        });
        assert_eq!(left, [1, 2]);
        assert_eq!(join_tokens(&state, now).await.unwrap(), 0);
        cancel.cancel();
    }

    #[tokio::test]
    async fn machine_tokens_go_an_hour_after_they_expired() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let state = state(&folder, &cancel).await;
        let (now, minute) = (Timestamp::now(), Duration::from_secs(60));
        let token = |id, expires| HostToken {
            id: HostTokenId::new(id).unwrap(),
            hash: String::new(),
            factory: StorageGroupId::new(1).unwrap(),
            host: None,
            task: None,
            count: 1,
            used: 1,
            by: 0,
            created: now - TOKEN_MEMORY * 3,
            expires,
            modified: 0,
        };
        let ops = [
            token(1, now - minute),
            token(2, now - TOKEN_MEMORY - minute),
        ];
        put(&state, ops.iter().map(HostToken::put_op).collect()).await;
        assert_eq!(host_tokens(&state, now).await.unwrap(), 1);
        let left: Vec<u32> = state.read(|tables| {
            let tokens = tables.host_tokens().iter();
            tokens.map(|token| token.id.get()).collect()
        });
        assert_eq!(left, [1]);
        cancel.cancel();
    }

    #[tokio::test]
    async fn factory_tokens_go_a_month_after_they_expired_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let state = state(&folder, &cancel).await;
        let (now, minute) = (Timestamp::now(), Duration::from_secs(60));
        let token = |id, expires| FactoryToken {
            id: FactoryTokenId::new(id).unwrap(),
            hash: id.to_string(),
            user: 1,
            description: String::new(),
            scopes: [Scope::DevicesRead].into(),
            factories: BTreeSet::new(),
            created: now - FACTORY_TOKEN_MEMORY * 3,
            expires,
            modified: 0,
        };
        let mut tokens = vec![
            token(1, None),
            token(2, Some(now + minute)),
            token(3, Some(now - minute)),
            token(4, Some(now - FACTORY_TOKEN_MEMORY + minute)),
        ];
        let long_ago = Some(now - FACTORY_TOKEN_MEMORY - minute);
        tokens.extend((5..255).map(|id| token(id, long_ago)));
        put(&state, tokens.iter().map(FactoryToken::put_op).collect()).await;
        assert_eq!(factory_tokens(&state, now).await.unwrap(), 250);
        let left: Vec<u32> = state.read(|tables| {
            let tokens = tables.factory_tokens().iter();
            tokens.map(|token| token.id.get()).collect()
        });
        assert_eq!(left, [1, 2, 3, 4]);
        assert_eq!(factory_tokens(&state, now).await.unwrap(), 0);
        cancel.cancel();
    }

    #[tokio::test]
    async fn rows_of_logs_go_when_they_are_old() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let state = state(&folder, &cancel).await;
        let now = Timestamp::now();
        let limit = now - Duration::from_secs(60);
        for part in 0..3 {
            let write = |draft: &mut Draft<'_>| {
                for number in 0..25 {
                    let info = format!("line {part} {number}");
                    draft.insert(History {
                        info,
                        created_time: (limit - Duration::from_secs(1)).into(),
                        ..History::default()
                    })?;
                }
                Ok(())
            };
            state.write::<_, Refusal>(write).await.unwrap();
        }
        let rows = |draft: &mut Draft<'_>| {
            draft.insert(History {
                info: "new".to_owned(),
                created_time: now.into(),
                ..History::default()
            })?;
            draft.insert(History {
                info: "undated".to_owned(),
                ..History::default()
            })?;
            for time in [now, limit - Duration::from_secs(1)] {
                draft.insert(TaskLog {
                    created_time: time.into(),
                    ..TaskLog::default()
                })?;
                draft.insert(UserTracking {
                    at: time.into(),
                    ..UserTracking::default()
                })?;
            }
            Ok(())
        };
        state.write::<_, Refusal>(rows).await.unwrap();
        assert_eq!(logs(&state, limit).await.unwrap(), 77);
        let left: Vec<String> = state.read(|tables| {
            tables
                .of::<History>()
                .iter()
                .map(|row| row.info.clone())
                .collect()
        });
        assert_eq!(left, ["new", "undated"]);
        let counts = state.read(|tables| {
            (
                tables.of::<TaskLog>().iter().count(),
                tables.of::<UserTracking>().iter().count(),
            )
        });
        assert_eq!(counts, (1, 1));
        assert_eq!(logs(&state, limit).await.unwrap(), 0);
        cancel.cancel();
    }

    #[tokio::test]
    async fn idempotency_keys_go_after_a_day() {
        use crate::state::keyed::{Keyed, Phase};
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let state = state(&folder, &cancel).await;
        let now = Timestamp::now();
        let keyed = |name: &str, at| Keyed {
            place: Keyed::place(1, name),
            fingerprint: String::new(),
            attempt: String::new(),
            at,
            phase: Phase::Done,
            kept: 0,
            answer: None,
            modified: 0,
        };
        let hour = Duration::from_secs(60 * 60);
        let mut ops: Vec<_> = (0..150)
            .map(|number| keyed(&number.to_string(), now - 25 * hour).put_op())
            .collect();
        ops.push(keyed("kept", now - 23 * hour).put_op());
        put(&state, ops).await;
        assert_eq!(keys(&state, now).await.unwrap(), 150);
        assert_eq!(state.read(|tables| tables.keyed().len()), 1);
        assert_eq!(keys(&state, now).await.unwrap(), 0);
        cancel.cancel();
    }

    #[tokio::test]
    async fn runs_go_with_their_tasks_and_not_before_they_ended() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let state = state(&folder, &cancel).await;
        let now = Timestamp::now();
        let long_ago = now - RUN_MEMORY - Duration::from_secs(60);
        let queued = |task| {
            let (host, image) = (HostId::new(1).unwrap(), ImageId::new(1).unwrap());
            let group = StorageGroupId::new(1).unwrap();
            Run::queued(
                TaskId::new(task).unwrap(),
                RunKind::Capture,
                host,
                image,
                group,
                None,
                long_ago,
            )
        };
        let ended = |task, at| queued(task).cancelled(at, "asked").unwrap();
        let ops = [
            ended(1, long_ago),
            ended(2, long_ago),
            ended(3, now),
            queued(4),
        ];
        put(&state, ops.iter().map(Run::put_op).collect()).await;
        let task = Task {
            id: 2,
            state: 5,
            ..Task::default()
        };
        state
            .write(|draft| draft.insert(task.clone()))
            .await
            .unwrap();
        assert_eq!(runs(&state, now).await.unwrap(), 1);
        let left: Vec<u32> =
            state.read(|tables| tables.runs().iter().map(|run| run.task.get()).collect());
        assert_eq!(
            left,
            [2, 3, 4],
            "its task is there; it ended just now; it has not ended"
        );
        cancel.cancel();
    }
}
