//! A reason for the end reaches the client, whatever the windows are full of.

use std::time::{Duration, Instant};

use crate::world::{Authority, hello, listen, payload, session, soon};
use foghorn_transport::client::ConnectError;
use foghorn_transport::server::{FetchLane, StoreLane};
use foghorn_transport::{
    AgentConnection, ClientOutcome, EndReason, Listener, RefusalCode, Request, Session,
    SessionKind, StreamError,
};
use foghorn_types::ManifestId;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Lanes of a deploy: more than fill the client's window for the whole connection.
const LANES: usize = 4;
/// From the agent's word to the client's knowledge.
const PROMPT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_refusal_right_after_the_handshake_always_says_why() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let identity = authority.client();
    for round in 0..20 {
        let reason = format!("round {round}");
        let (result, ()) = soon(async {
            tokio::join!(
                AgentConnection::connect(&source, &identity, hello()),
                async {
                    listener
                        .accept()
                        .await
                        .unwrap()
                        .refuse(RefusalCode::NotOrdered, &reason);
                }
            )
        })
        .await;
        match result {
            Err(ConnectError::Refused {
                code: RefusalCode::NotOrdered,
                reason: found,
            }) => assert_eq!(found, reason),
            other => panic!("{round}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_nobody_answered_may_come_back() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let identity = authority.client();
    let (result, ()) = soon(async {
        tokio::join!(
            AgentConnection::connect(&source, &identity, hello()),
            async {
                drop(listener.accept().await.unwrap());
            }
        )
    })
    .await;
    assert!(
        matches!(
            result,
            Err(ConnectError::Refused {
                code: RefusalCode::NotReady,
                ..
            })
        ),
        "{result:?}"
    );
    // One that waits while the listener closes, too.
    let connecting =
        tokio::spawn(async move { AgentConnection::connect(&source, &identity, hello()).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    soon(listener.close()).await;
    let error = soon(connecting).await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

/// Something that goes on until it is stopped, and how many chunks it has moved.
struct Transfer {
    _listener: Listener,
    client: AgentConnection,
    agent: Session,
    /// The agent's lanes; dropped by an agent that ends a session.
    serving: JoinSet<Result<(), StreamError>>,
    moved: watch::Receiver<u64>,
}

/// A deploy with full windows: the agent sends on all lanes as fast as it can.
async fn deploy() -> (
    Transfer,
    Vec<(
        foghorn_transport::client::FetchRequests,
        foghorn_transport::client::FetchedChunks,
    )>,
) {
    let (listener, client, mut agent) = session(SessionKind::Deploy {
        manifest: ManifestId::of(b"x"),
    })
    .await;
    let (progress, moved) = watch::channel(0);
    let mut serving = JoinSet::new();
    let mut lanes = Vec::new();
    for _ in 0..LANES {
        lanes.push(soon(client.fetch_lane()).await.unwrap());
        let Ok(Request::Fetch(FetchLane { wanted, mut chunks })) = soon(agent.next_request()).await
        else {
            panic!("no lane")
        };
        let progress = progress.clone();
        serving.spawn(async move {
            let _wanted = wanted;
            let (id, bytes) = payload(1, 1 << 20);
            loop {
                chunks.send(id, 1, bytes.clone()).await?;
                progress.send_modify(|count| *count += 1);
            }
        });
    }
    (
        Transfer {
            _listener: listener,
            client,
            agent,
            serving,
            moved,
        },
        lanes,
    )
}

/// Waits until nothing moves any more: every window is full.
async fn stuck(moved: &mut watch::Receiver<u64>) {
    soon(moved.wait_for(|count| *count >= 1)).await.unwrap();
    while tokio::time::timeout(Duration::from_millis(500), moved.changed())
        .await
        .is_ok()
    {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_learns_of_a_cancel() {
    let (mut transfer, mut lanes) = deploy().await;
    stuck(&mut transfer.moved).await;
    let begun = Instant::now();
    transfer.agent.cancel("enough");
    let expected = EndReason::Cancelled {
        reason: "enough".to_owned(),
    };
    assert_eq!(soon(transfer.client.ended()).await, expected);
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    // The agent's lanes have failed by themselves, and everything the client still tries gets the
    // same answer.
    while let Some(ended) = soon(transfer.serving.join_next()).await {
        assert!(matches!(
            ended.unwrap(),
            Err(StreamError::Ended(EndReason::Cancelled { .. }))
        ));
    }
    for (_, chunks) in &mut lanes {
        let error = loop {
            match soon(chunks.next()).await {
                Some(Ok(_)) => {}
                other => break other.unwrap().unwrap_err(),
            }
        };
        assert!(
            matches!(&error, StreamError::Ended(reason) if *reason == expected),
            "{error:?}"
        );
    }
    let error = soon(transfer.client.finish(ClientOutcome::Complete))
        .await
        .unwrap_err();
    assert!(
        matches!(&error.0, StreamError::Ended(reason) if *reason == expected),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_in_mid_transfer_learns_of_a_failure() {
    let (mut transfer, lanes) = deploy().await;
    let mut reading = JoinSet::new();
    for (requests, mut chunks) in lanes {
        reading.spawn(async move {
            let _requests = requests;
            loop {
                if let Err(error) = chunks.next().await.unwrap() {
                    return error;
                }
            }
        });
    }
    soon(transfer.moved.wait_for(|count| *count > 50))
        .await
        .unwrap();
    let begun = Instant::now();
    transfer.agent.fail("the image is damaged");
    transfer.serving.abort_all();
    let expected = EndReason::Failed {
        reason: "the image is damaged".to_owned(),
    };
    // No lane says anything else, although the agent has reset them all.
    while let Some(error) = soon(reading.join_next()).await {
        assert!(matches!(error.unwrap(), StreamError::Ended(reason) if reason == expected));
    }
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    assert!(!expected.is_transient());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_in_mid_transfer_learns_of_every_kind_of_end() {
    type End = fn(&Session);
    let ends: [(End, EndReason); 4] = [
        (
            |agent| agent.cancel("a"),
            EndReason::Cancelled {
                reason: "a".to_owned(),
            },
        ),
        (
            |agent| agent.interrupt("b"),
            EndReason::Interrupted {
                reason: "b".to_owned(),
            },
        ),
        (
            |agent| agent.fail("c"),
            EndReason::Failed {
                reason: "c".to_owned(),
            },
        ),
        // The first word counts.
        (
            |agent| {
                agent.fail("d");
                agent.cancel("e");
            },
            EndReason::Failed {
                reason: "d".to_owned(),
            },
        ),
    ];
    for (end, expected) in ends {
        let (_listener, client, mut agent) = session(SessionKind::Capture).await;
        let (mut sender, mut acks) = soon(client.store_lane()).await.unwrap();
        let (progress, mut moved) = watch::channel(0_u64);
        let sending = tokio::spawn(async move {
            let (id, bytes) = payload(1, 1 << 20);
            loop {
                if let Err(error) = sender.send(id, 1, bytes.clone()).await {
                    return error;
                }
                progress.send_modify(|count| *count += 1);
            }
        });
        let Ok(Request::Store(StoreLane {
            chunks,
            acks: answers,
        })) = soon(agent.next_request()).await
        else {
            panic!("no lane")
        };
        stuck(&mut moved).await;
        let begun = Instant::now();
        end(&agent);
        drop((chunks, answers, agent));
        let error = soon(sending).await.unwrap();
        assert!(
            matches!(&error, StreamError::Ended(reason) if *reason == expected),
            "{expected:?}: {error:?}"
        );
        let error = soon(acks.next()).await.unwrap().unwrap_err();
        assert!(
            matches!(&error, StreamError::Ended(reason) if *reason == expected),
            "{expected:?}: {error:?}"
        );
        assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_closes_in_mid_transfer_sends_clients_elsewhere() {
    let (transfer, _lanes) = deploy().await;
    let Transfer {
        _listener: listener,
        client,
        agent: _agent,
        serving: _serving,
        mut moved,
    } = transfer;
    stuck(&mut moved).await;
    let begun = Instant::now();
    let ended = async { (client.ended().await, begun.elapsed()) };
    let ((end, after), ()) = soon(async { tokio::join!(ended, listener.close()) }).await;
    assert!(after < PROMPT, "{after:?}");
    assert!(matches!(end, EndReason::Interrupted { .. }), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_that_nobody_has_looked_at_yet_learn_of_the_end() {
    let (id, _) = payload(1, 1);
    for round in 0..60 {
        let (_listener, client, mut agent) = session(SessionKind::Capture).await;
        let ending = tokio::spawn(async move {
            // The first questions are here; the others are somewhere between socket and task.
            for _ in 0..round % 20 {
                drop(agent.next_request().await);
            }
            agent.interrupt("restarting");
        });
        let asking = (0..50).map(|_| client.which_are_stored(std::slice::from_ref(&id)));
        for answer in soon(join_all(asking)).await {
            let error = answer.unwrap_err();
            assert!(error.is_transient(), "{round}: {error:?}");
        }
        ending.await.unwrap();
    }
}
