//! A member of etcd that ends while it has a transaction: what has become of it is found out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use foghorn_controller::config::StoreConfig;
use foghorn_controller::store::etcd::{EtcdOptions, EtcdStore};
use foghorn_controller::store::{Compare, Store, StoreError, Txn, TxnOutcome};
use foghorn_controller::{Config, Controller, export_state, import_state};
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::engine::{Engine, Etcd, Kind, PATIENCE};
use crate::store_conformance::single_calls::{delete, put, write};

const PASS: u8 = 0;
/// The next that is sent to etcd is lost, with the connection.
const LOSE_REQUEST: u8 = 1;
/// etcd gets what is sent and carries it out; what it says is lost, with the connection.
const LOSE_ANSWER: u8 = 2;
/// What is sent to etcd waits until the mode is another, and arrives then.
const HOLD_REQUEST: u8 = 3;
/// The next that names [`NAMED`] on its way to etcd is lost, with the connection.
const LOSE_NAMED: u8 = 4;
const NAMED: &str = "/foghorn/t/named";
/// Longer than a transaction takes.
const CARRIED_OUT: Duration = Duration::from_millis(500);

/// A way to etcd that breaks when it is told to.
struct Relay {
    endpoint: String,
    mode: Arc<AtomicU8>,
}

impl Relay {
    async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mode = Arc::new(AtomicU8::new(PASS));
        let to = to.trim_start_matches("http://").to_owned();
        let shared = mode.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&to).await.unwrap();
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                let mode = shared.clone();
                tokio::spawn(async move {
                    // Dropping the other half breaks the connection on both sides.
                    tokio::select! {
                        () = carry(from_near, to_far, &mode, LOSE_REQUEST) => {}
                        () = carry(from_far, to_near, &mode, LOSE_ANSWER) => {}
                    }
                });
            }
        });
        Self { endpoint, mode }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: &AtomicU8, breaks: u8) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let now = mode.load(Ordering::SeqCst);
        let mut parts = buffer[..length].windows(NAMED.len());
        let is_named = breaks == LOSE_REQUEST
            && now == LOSE_NAMED
            && parts.any(|part| part == NAMED.as_bytes());
        if now == breaks || is_named {
            if breaks == LOSE_ANSWER {
                tokio::time::sleep(CARRIED_OUT).await;
            }
            mode.store(PASS, Ordering::SeqCst);
            return;
        }
        while breaks == LOSE_REQUEST && mode.load(Ordering::SeqCst) == HOLD_REQUEST {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// A store whose first member is behind a relay; the second is etcd itself.
async fn behind(engine: &Engine) -> (Relay, EtcdStore) {
    let relay = Relay::start(&engine.endpoint()).await;
    let options = EtcdOptions {
        endpoints: vec![relay.endpoint.clone(), engine.endpoint()],
        tls: None,
        login: None,
    };
    let store = EtcdStore::connect(&options).await.unwrap();
    store.get("/foghorn/t/a").await.unwrap();
    (relay, store)
}

fn txn(key: &str) -> Txn {
    Txn {
        compares: vec![Compare::Absent(key.to_owned())],
        ops: vec![put(key, "x"), put(&format!("{key}/beside"), "y")],
    }
}

#[tokio::test]
async fn a_transaction_whose_answer_is_lost_is_known_to_be_committed() {
    let engine = Engine::start(Kind::Etcd).await;
    let (relay, store) = behind(&engine).await;
    relay.mode.store(LOSE_ANSWER, Ordering::SeqCst);
    let outcome = store.commit(txn("/foghorn/t/b")).await.unwrap();
    let there = engine.store().get("/foghorn/t/b").await.unwrap().unwrap();
    assert_eq!(outcome, TxnOutcome::Committed(there.modified));
    assert_eq!(there.created, there.modified, "it was written once");
    let again = store.commit(txn("/foghorn/t/b")).await.unwrap();
    assert_eq!(again, TxnOutcome::Conflict, "whoever comes later is late");
}

#[tokio::test]
async fn a_transaction_that_is_lost_is_a_conflict_and_never_comes() {
    let engine = Engine::start(Kind::Etcd).await;
    for lost in [LOSE_REQUEST, HOLD_REQUEST] {
        let (relay, store) = behind(&engine).await;
        let key = format!("/foghorn/t/{lost}");
        relay.mode.store(lost, Ordering::SeqCst);
        let outcome = store.commit(txn(&key)).await.unwrap();
        assert_eq!(outcome, TxnOutcome::Conflict, "{lost}");
        assert!(engine.store().get(&key).await.unwrap().is_none());
        let again = store.commit(txn(&key)).await.unwrap();
        assert!(matches!(again, TxnOutcome::Committed(_)), "{again:?}");
        let gone = Txn {
            compares: Vec::new(),
            ops: vec![delete(&key)],
        };
        // Not through the relay, which may cut this one, too.
        engine.store().commit(gone).await.unwrap();
        // What hung goes on, and finds everything as it was; only the fence is in its way.
        relay.mode.store(PASS, Ordering::SeqCst);
        tokio::time::sleep(CARRIED_OUT).await;
        assert!(engine.store().get(&key).await.unwrap().is_none(), "{lost}");
    }
}

#[tokio::test]
async fn a_transaction_of_which_somebody_has_deleted_a_part_is_no_conflict() {
    let engine = Engine::start(Kind::Etcd).await;
    let (relay, store) = behind(&engine).await;
    let other = engine.store();
    relay.mode.store(LOSE_ANSWER, Ordering::SeqCst);
    let deleting = async {
        // It is carried out, and its answer is on the way.
        while other.get("/foghorn/t/b").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let gone = Txn {
            compares: Vec::new(),
            ops: vec![delete("/foghorn/t/b")],
        };
        other.commit(gone).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(store.commit(txn("/foghorn/t/b")), deleting);
    assert!(
        matches!(outcome, Err(StoreError::Unavailable { .. })),
        "it would be made a second time: {outcome:?}"
    );
}

#[tokio::test]
async fn what_was_there_before_is_not_taken_for_a_lost_transaction() {
    let engine = Engine::start(Kind::Etcd).await;
    let (relay, store) = behind(&engine).await;
    let same = || Txn {
        compares: Vec::new(),
        ops: vec![put("/foghorn/t/a", "x")],
    };
    store.commit(same()).await.unwrap();
    relay.mode.store(LOSE_REQUEST, Ordering::SeqCst);
    let outcome = store.commit(same()).await;
    assert!(
        matches!(outcome, Err(StoreError::Unavailable { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_transaction_that_compares_nothing_stays_unknown() {
    let engine = Engine::start(Kind::Etcd).await;
    let (relay, store) = behind(&engine).await;
    relay.mode.store(LOSE_REQUEST, Ordering::SeqCst);
    let txn = Txn {
        compares: Vec::new(),
        ops: vec![put("/foghorn/t/a", "x")],
    };
    let outcome = store.commit(txn).await;
    assert!(
        matches!(outcome, Err(StoreError::Unavailable { .. })),
        "{outcome:?}"
    );
    assert!(engine.store().get("/foghorn/t/a").await.unwrap().is_none());
}

#[tokio::test]
async fn what_only_the_fence_of_another_one_keeps_out_is_sent_again() {
    let engine = Engine::start(Kind::Etcd).await;
    let (first, second) = (
        Relay::start(&engine.endpoint()).await,
        Relay::start(&engine.endpoint()).await,
    );
    let options = EtcdOptions {
        endpoints: vec![
            first.endpoint.clone(),
            second.endpoint.clone(),
            engine.endpoint(),
        ],
        tls: None,
        login: None,
    };
    let store = EtcdStore::connect(&options).await.unwrap();
    store.get("/foghorn/t/a").await.unwrap();
    first.mode.store(HOLD_REQUEST, Ordering::SeqCst);
    let losing = async {
        let outcome = store.commit(txn("/foghorn/t/lost")).await;
        // The other one arrives now.
        second.mode.store(PASS, Ordering::SeqCst);
        outcome
    };
    let waiting = async {
        // Answered as soon as the second member is used; what was sent to the first has a moment left.
        store.get("/foghorn/t/a").await.unwrap();
        second.mode.store(HOLD_REQUEST, Ordering::SeqCst);
        let blind = Txn {
            compares: Vec::new(),
            ops: vec![put("/foghorn/t/kept", "x")],
        };
        store.commit(blind).await
    };
    let (lost, kept) = tokio::join!(losing, waiting);
    assert_eq!(lost.unwrap(), TxnOutcome::Conflict);
    let there = engine.store().get("/foghorn/t/kept").await.unwrap();
    let there = there.expect("nothing was in its way");
    assert_eq!(kept.unwrap(), TxnOutcome::Committed(there.modified));
}

/// etcd says "no space" of what is under way when the last room is used, and carries it out.
#[tokio::test]
async fn what_was_refused_for_want_of_room_is_not_there() {
    let dir = TempDir::new().unwrap();
    let mut etcd = Etcd::start_small(dir.path(), 4 << 20);
    let options = EtcdOptions {
        endpoints: vec![etcd.endpoint()],
        tls: None,
        login: None,
    };
    let store = EtcdStore::connect(&options).await.unwrap();
    let start = Instant::now();
    while store.get("/foghorn/t/a").await.is_err() {
        assert!(start.elapsed() < PATIENCE, "etcd does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let writers = (0..32).map(|writer| {
        let store = &store;
        async move {
            for number in 0..200 {
                let key = format!("/foghorn/t/{writer}/{number}");
                let txn = Txn {
                    compares: vec![Compare::Absent(key.clone())],
                    ops: vec![put(&key, &"x".repeat(20_000))],
                };
                if let Err(error) = store.commit(txn).await {
                    return (key, error);
                }
            }
            panic!("etcd never became full");
        }
    });
    for (key, error) in join_all(writers).await {
        assert!(error.to_string().contains("NOSPACE"), "{error:?}");
        let there = store.get(&key).await.unwrap();
        assert!(there.is_none(), "{key} was refused, and is there");
    }
    etcd.stop();
}

/// It was not overtaken, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_outlives_the_loss_of_one_of_its_transactions() {
    const PASSPHRASE: &str = "correct horse battery";
    let dir = TempDir::new().unwrap();
    let old = Config::local(dir.path().join("old"));
    let controller = Controller::start(old.clone()).await.unwrap();
    controller.shutdown().await;
    let file = dir.path().join("state.foghorn");
    export_state(&old, &file, PASSPHRASE.to_owned(), true)
        .await
        .unwrap();
    let engine = Engine::start(Kind::Etcd).await;
    write(&*engine.store(), [put(NAMED, "what is replaced")]).await;
    let relay = Relay::start(&engine.endpoint()).await;
    let config = Config {
        store: StoreConfig::Etcd(EtcdOptions::plain([
            relay.endpoint.clone(),
            engine.endpoint(),
        ])),
        ..Config::local(dir.path().join("new"))
    };
    relay.mode.store(LOSE_NAMED, Ordering::SeqCst);
    let imported = import_state(&config, &file, PASSPHRASE.to_owned(), true).await;
    assert!(imported.is_ok(), "{imported:?}");
    let mode = relay.mode.load(Ordering::SeqCst);
    assert_eq!(mode, PASS, "nothing was lost");
    assert!(engine.store().get(NAMED).await.unwrap().is_none());
}
