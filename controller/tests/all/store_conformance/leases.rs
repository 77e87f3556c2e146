//! Leases: keys that end with their holder.

use std::time::{Duration, Instant};

use bytes::Bytes;
use foghorn_controller::store::{Change, LeaseId, Op, StoreError, Txn};
use futures_util::StreamExt;

use crate::engine::{BOTH, Engine, PATIENCE};
use crate::store_conformance::single_calls::{put, write};

fn held(key: &str, lease: LeaseId) -> Op {
    Op::Put { key: key.to_owned(), value: Bytes::from_static(b"held"), lease: Some(lease) }
}

#[tokio::test]
async fn an_expired_lease_takes_its_keys_along_at_one_revision_and_watchers_see_it() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = &*engine.store();
        let lease = store.grant_lease(Duration::from_secs(1)).await.unwrap();
        let kept = store.grant_lease(Duration::from_secs(60)).await.unwrap();
        let after =
            write(store, [held("/l/b", lease), held("/l/a", lease), held("/l/kept", kept), held("/l/freed", lease)])
                .await;
        let after = write(store, [put("/l/freed", "no lease any more")]).await.max(after);
        let mut watch = store.watch("/l/", after);
        let granted = Instant::now();
        store.renew_lease(lease).await.unwrap();
        let batch = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
        assert!(granted.elapsed() >= Duration::from_millis(900), "{kind:?}: too early");
        let revision = after + 1;
        let gone = |key: &str| Change::Delete { key: key.to_owned(), revision };
        assert_eq!((batch.revision, batch.changes), (revision, vec![gone("/l/a"), gone("/l/b")]), "{kind:?}");
        assert_eq!(store.get("/l/a").await.unwrap(), None, "{kind:?}");
        assert_eq!(store.get("/l/kept").await.unwrap().unwrap().lease, Some(kept), "{kind:?}");
        assert_eq!(store.get("/l/freed").await.unwrap().unwrap().lease, None, "{kind:?}");
        assert!(matches!(store.renew_lease(lease).await, Err(StoreError::NoSuchLease(_))), "{kind:?}");
        assert!(matches!(store.revoke_lease(lease).await, Err(StoreError::NoSuchLease(_))), "{kind:?}");
        let late = store.commit(Txn { compares: Vec::new(), ops: vec![held("/l/late", lease)] }).await;
        assert!(matches!(late, Err(StoreError::NoSuchLease(_))), "{kind:?}: {late:?}");
        // Of two leases the one that is gone is named, not the first.
        let late = store.commit(Txn { compares: Vec::new(), ops: vec![held("/l/x", kept), held("/l/y", lease)] }).await;
        assert!(matches!(late, Err(StoreError::NoSuchLease(gone)) if gone == lease), "{kind:?}: {late:?}");
        store.revoke_lease(kept).await.unwrap();
        assert_eq!(store.get("/l/kept").await.unwrap(), None, "{kind:?}");
    }
}

#[tokio::test]
async fn a_renewed_lease_lives_on() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = &*engine.store();
        // A second lease, never renewed, is the clock: when it is over, the first would be over as well.
        let [renewed, left] = [
            store.grant_lease(Duration::from_secs(1)).await.unwrap(),
            store.grant_lease(Duration::from_secs(1)).await.unwrap(),
        ];
        write(store, [held("/renewed", renewed), held("/left", left)]).await;
        let start = Instant::now();
        while store.get("/left").await.unwrap().is_some() {
            store.renew_lease(renewed).await.unwrap();
            assert!(start.elapsed() < PATIENCE, "{kind:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(store.get("/renewed").await.unwrap().is_some(), "{kind:?}");
    }
}

#[tokio::test]
async fn leases_outlive_a_restart_and_then_end() {
    for kind in BOTH {
        let mut engine = Engine::start(kind).await;
        let lease = engine.store().grant_lease(Duration::from_secs(2)).await.unwrap();
        let after = write(&*engine.store(), [held("/l", lease)]).await;
        engine.restart().await;
        let store = engine.store();
        assert_eq!(store.get("/l").await.unwrap().unwrap().lease, Some(lease), "{kind:?}");
        let batch = tokio::time::timeout(PATIENCE, store.watch("/l", after).next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(&batch.changes[..], [Change::Delete { .. }]), "{kind:?}");
    }
}
