//! Many creates at once, by three controllers on one store: ids and names are given once, on both
//! engines.

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_controller::state::classes::{Task, TaskState};
use foghorn_controller::state::{Refusal, State};
use foghorn_controller::store::embedded::EmbeddedStore;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine, Kind};
use crate::fog_rules::id;
use crate::fog_support::Server;

const CONTROLLERS: usize = 3;

/// Three controllers; on etcd each with a client of its own.
pub(crate) async fn controllers(engine: &Engine) -> Vec<Arc<Server>> {
    let mut servers = vec![Arc::new(Server::start_on(engine.store()).await)];
    while servers.len() < CONTROLLERS {
        let store = match engine.kind {
            Kind::Embedded => engine.store(),
            Kind::Etcd => engine.another_client().await,
        };
        let server = servers[0].beside(store).await;
        servers.push(Arc::new(server));
    }
    servers
}

fn host(name: &str, number: usize) -> Value {
    json!(
        {"name": name, "macs": [format!("52:54:00:03:{:02x}:{:02x}", number / 256, number % 256)]}
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_creates_with_one_name_exactly_one_wins() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let servers = controllers(&engine).await;
        for round in 0..5 {
            let name = format!("pc{round}");
            let mut racers = JoinSet::new();
            for racer in 0..12 {
                let (server, body) = (
                    servers[racer % CONTROLLERS].clone(),
                    host(&name, round * 12 + racer),
                );
                racers.spawn(async move { server.call("POST", "/fog/host/create", body).await });
            }
            let replies = racers.join_all().await;
            let won: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
            let [winner] = won[..] else {
                panic!("{kind:?} round {round}: {replies:?}")
            };
            let refused =
                |reply: &&crate::fog_support::Reply| reply.json()["error"] == "Already created";
            assert_eq!(
                replies.iter().filter(refused).count(),
                11,
                "{kind:?}: {replies:?}"
            );
            let found = id(&winner.json());
            for server in &servers {
                // The last one to hear of it may need a moment: it is told by the store.
                let mut changed = server.state.changed();
                while server.state.read(|tables| tables.hosts().len() <= round) {
                    changed.changed().await.unwrap();
                }
                let rows: Vec<_> = server
                    .state
                    .read(|tables| tables.hosts().iter().cloned().collect());
                assert_eq!(rows.len(), round + 1, "{kind:?}: losers leave nothing");
                assert!(
                    rows.iter().any(|row| row.id == found && row.name == name),
                    "{kind:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_is_given_twice_and_creates_of_different_hosts_all_succeed() {
    const EACH: usize = 80;
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let servers = controllers(&engine).await;
        let mut creators = JoinSet::new();
        for creator in 0..CONTROLLERS * 2 {
            let server = servers[creator % CONTROLLERS].clone();
            creators.spawn(async move {
                let mut ids = Vec::new();
                for n in 0..EACH {
                    let number = creator * EACH + n;
                    let reply = server
                        .call(
                            "POST",
                            "/fog/host/create",
                            host(&format!("pc{number}"), number),
                        )
                        .await;
                    assert_eq!(reply.status, 200, "{}", reply.text);
                    ids.push(id(&reply.json()));
                }
                ids
            });
        }
        let ids: Vec<u32> = creators.join_all().await.into_iter().flatten().collect();
        let different: BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), CONTROLLERS * 2 * EACH, "{kind:?}");
    }
}

/// Waits until every controller has seen what any of them has.
pub(crate) async fn settle(servers: &[Arc<Server>]) {
    let revisions = servers
        .iter()
        .map(|server| server.state.read_at(|_, at| at));
    let last = revisions.max().unwrap();
    for server in servers {
        let mut changed = server.state.changed();
        while server.state.read_at(|_, at| at) < last {
            changed.changed().await.unwrap();
        }
    }
}

/// The machine would be captured and then overwritten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_imaging_orders_for_one_host_at_once_one_is_refused() {
    const PAIRS: usize = 60;
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let servers = controllers(&engine).await;
        let image = crate::fog_rules::image(&servers[0]).await;
        servers[0].give_content(image).await;
        let reply = servers[0]
            .call("POST", "/fog/group/create", json!({"name": "room"}))
            .await;
        let group = id(&reply.json());
        for pair in 0..PAIRS {
            let mut body = host(&format!("pc{pair}"), pair);
            body["imageID"] = json!(image);
            let host = id(&servers[0]
                .call("POST", "/fog/host/create", body)
                .await
                .json());
            let member = json!({"hosts": [host]});
            let path = format!("/fog/group/{group}/edit");
            assert_eq!(servers[0].call("PUT", &path, member).await.status, 200);
            settle(&servers).await;
            let capture = (format!("/fog/host/{host}/task"), json!({"taskTypeID": 2}));
            let other = match pair % 4 {
                0 => (capture.0.clone(), json!({"taskTypeID": 1})),
                1 => capture.clone(),
                2 => (
                    "/foghorn/v1/tasks".to_owned(),
                    json!({"kind": "deploy", "host": host}),
                ),
                _ => (format!("/fog/group/{group}/task"), json!({"taskTypeID": 1})),
            };
            let mut racers = JoinSet::new();
            for (racer, (path, body)) in [capture, other].into_iter().enumerate() {
                let server = servers[(pair + racer) % CONTROLLERS].clone();
                racers.spawn(async move { server.call("POST", &path, body).await });
            }
            let replies = racers.join_all().await;
            settle(&servers).await;
            for server in &servers {
                let active = server.state.read(|tables| {
                    tables
                        .tasks()
                        .by(Task::ACTIVE_BY_HOST, u64::from(host))
                        .count()
                });
                assert_eq!(active, 1, "{kind:?} pair {pair}: {replies:?}");
            }
        }
    }
}

/// What is protected, disabled or taken away at the moment of an order was so before it, or the
/// order was there first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_relies_on_its_image_as_it_was() {
    const PAIRS: usize = 60;
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let servers = controllers(&engine).await;
        for pair in 0..PAIRS {
            let body = json!({"name": format!("win{pair}"), "path": format!("win{pair}"), "osID": 50,
                "imageTypeID": 1, "imagePartitionTypeID": 1, "isEnabled": "1"});
            let reply = servers[0].call("POST", "/fog/image/create", body).await;
            let image = id(&reply.json());
            servers[0].give_versions(image).await;
            let mut body = host(&format!("pc{pair}"), pair);
            body["imageID"] = json!(image);
            let host = id(&servers[0]
                .call("POST", "/fog/host/create", body)
                .await
                .json());
            settle(&servers).await;
            let row = format!("/fog/image/{image}/edit");
            let version = format!("/foghorn/v1/images/{image}/versions/1");
            let (order, change) = match pair % 3 {
                0 => (
                    json!({"kind": "capture", "host": host}),
                    ("PUT", row, json!({"protected": 1})),
                ),
                1 => (
                    json!({"kind": "deploy", "host": host}),
                    ("PUT", row, json!({"isEnabled": "0"})),
                ),
                _ => (
                    json!({"kind": "deploy", "host": host, "version": 1}),
                    ("DELETE", version, json!({})),
                ),
            };
            let (first, second) = (
                &servers[pair % CONTROLLERS],
                &servers[(pair + 1) % CONTROLLERS],
            );
            let (ordered, changed) = tokio::join!(
                first.call("POST", "/foghorn/v1/tasks", order),
                second.call(change.0, &change.1, change.2)
            );
            assert!(
                changed.status.is_success(),
                "{kind:?} pair {pair}: {}",
                changed.text
            );
            settle(&servers).await;
            servers[0].state.read(|tables| {
                let run = tables.runs().iter().find(|run| run.host.get() == host);
                let ordered = ordered.status == 201;
                assert_eq!(run.is_some(), ordered, "{kind:?} pair {pair}");
                let Some(run) = run else { return };
                let changed = match pair % 3 {
                    2 => tables.contents().get(&run.image).unwrap().modified,
                    _ => tables.images().get(image).unwrap().modified(),
                };
                assert!(
                    run.modified < changed,
                    "{kind:?} pair {pair}: ordered after the change"
                );
            });
        }
    }
}

/// One controller, one create after the other: as a FOG server counts, with what was refused in
/// between.
#[tokio::test]
async fn ids_have_no_gaps_and_are_never_used_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut last = 0;
    for round in 0..3_u32 {
        let store = Arc::new(EmbeddedStore::open(&path).await.unwrap());
        let cancel = CancellationToken::new();
        let (state, follower) = State::start(store, cancel.clone()).await.unwrap();
        let mut first = None;
        for n in 0..20 {
            let row = TaskState {
                name: format!("state {round} {n}"),
                ..TaskState::default()
            };
            let id = state
                .write(|draft| draft.insert(row.clone()))
                .await
                .unwrap();
            assert!(id > last, "{id} after {last}");
            if let Some(before) = first.replace(id) {
                assert_eq!(id, before + 1, "a gap");
            }
            let taken = state.write(|draft| draft.insert(row.clone())).await;
            assert!(taken.is_err(), "the name is taken, and its id goes back");
            last = id;
        }
        // The highest one goes, and its id with it.
        let row = state
            .read(|tables| tables.of::<TaskState>().get(last).cloned())
            .unwrap();
        state
            .write::<_, Refusal>(|draft| {
                draft.delete(&row);
                Ok(())
            })
            .await
            .unwrap();
        cancel.cancel();
        follower.await.unwrap();
    }
}

/// Hundreds of openings of multicast sessions at once take one turn; none of them is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_hundreds_of_changes_of_one_thing_each_comes_through() {
    const CHANGES: u32 = 300;
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let servers = controllers(&engine).await;
        let mut racers = JoinSet::new();
        for number in 0..CHANGES {
            let state = servers[number as usize % CONTROLLERS].state.clone();
            racers.spawn(async move {
                let turn = state.write::<_, Refusal>(|draft| {
                    draft.take_turn("test", number);
                    Ok(())
                });
                turn.await
            });
        }
        let refused: Vec<_> = racers
            .join_all()
            .await
            .into_iter()
            .filter_map(Result::err)
            .collect();
        assert!(
            refused.is_empty(),
            "{kind:?}: {} of {CHANGES}: {refused:?}",
            refused.len()
        );
    }
}
