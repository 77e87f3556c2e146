//! Whole sessions over loopback: fetching, storing, finishing, being cancelled, and losing the
//! other end.

use crate::world::{self, Authority, hello, listen, payload, session, soon};
use bytes::Bytes;
use foghorn_transport::client::{Ack, FetchManifestError, Fetched};
use foghorn_transport::server::{FetchLane, StoreLane};
use foghorn_transport::{
    AgentConnection, ClientOutcome, ClientProgress, EndReason, Request, SessionKind, Stage,
    StreamError,
};
use foghorn_types::{ByteCount, CertificateName, ChunkId, ManifestId};

#[tokio::test]
async fn a_deploy_fetches_its_manifest_and_its_chunks_in_order() {
    let manifest = Bytes::from_static(b"what the disk held");
    let kind = SessionKind::Deploy {
        manifest: ManifestId::of(&manifest),
    };
    let (_listener, client, mut agent) = session(kind).await;
    assert_eq!(client.kind(), kind);
    let missing = ChunkId::of(b"missing");
    let sizes = [0, 1, 1000, 70_000, 1 << 20, (1 << 20) + 8000];

    let agent = tokio::spawn(async move {
        let Ok(Request::FetchManifest(reply)) = agent.next_request().await else {
            panic!("no manifest wanted")
        };
        reply
            .send(Bytes::from_static(b"what the disk held"))
            .await
            .unwrap();
        let Ok(Request::Fetch(FetchLane {
            mut wanted,
            mut chunks,
        })) = agent.next_request().await
        else {
            panic!("no lane wanted")
        };
        while let Some(ids) = wanted.next().await {
            for id in ids.unwrap() {
                match (0..)
                    .zip(sizes)
                    .map(|(seed, len)| payload(seed, len))
                    .find(|(known, _)| *known == id)
                {
                    Some((id, bytes)) => chunks.send(id, 17, bytes).await.unwrap(),
                    None => chunks.unavailable(id, "not here").await.unwrap(),
                }
            }
        }
        chunks.finish();
        agent.ended().await
    });

    assert_eq!(soon(client.fetch_manifest()).await.unwrap(), manifest);
    let (mut requests, mut chunks) = client.fetch_lane().await.unwrap();
    let mut ids: Vec<ChunkId> = (0..)
        .zip(sizes)
        .map(|(seed, len)| payload(seed, len).0)
        .collect();
    ids.insert(2, missing);
    requests.request(&ids).await.unwrap();
    drop(requests);
    let mut seen = Vec::new();
    while let Some(fetched) = soon(chunks.next()).await {
        match fetched.unwrap() {
            Fetched::Chunk(chunk) => {
                assert_eq!(
                    (ChunkId::of(&chunk.compressed), chunk.plain_len),
                    (chunk.id, 17)
                );
                seen.push(chunk.id);
            }
            Fetched::Unavailable { id, reason } => {
                assert_eq!((id, reason.as_str()), (missing, "not here"));
                seen.push(id);
            }
        }
    }
    assert_eq!(seen, ids);
    drop(client);
    assert_eq!(soon(agent).await.unwrap(), EndReason::Closed);
}

#[tokio::test]
async fn a_capture_stores_chunks_and_a_manifest_and_is_recorded() {
    let (_listener, client, mut agent) = session(SessionKind::Capture).await;
    let (known, _) = payload(1, 10);
    let refused = payload(3, 500).0;
    let agent = tokio::spawn(async move {
        let mut progress = None;
        loop {
            match agent.next_request().await {
                Ok(Request::WhichAreStored(ids, reply)) => {
                    reply
                        .send(ids.iter().map(|id| *id == known).collect())
                        .await
                        .unwrap();
                }
                Ok(Request::Store(StoreLane {
                    mut chunks,
                    mut acks,
                })) => {
                    while let Some(chunk) = chunks.next().await {
                        let chunk = chunk.unwrap();
                        assert_eq!(ChunkId::of(&chunk.compressed), chunk.id);
                        if chunk.id == refused {
                            acks.refused(chunk.id, "the disk is full").await.unwrap();
                        } else {
                            acks.durable(&[chunk.id]).await.unwrap();
                        }
                    }
                    acks.finish();
                }
                Ok(Request::StoreManifest(bytes, reply)) => {
                    reply.stored(ManifestId::of(&bytes)).await.unwrap()
                }
                Ok(Request::Progress(found)) => progress = Some(found),
                Ok(Request::Finished(outcome, reply)) => {
                    assert_eq!(outcome, ClientOutcome::Complete);
                    reply.recorded().await.unwrap();
                }
                Ok(other) => panic!("unexpected {other:?}"),
                Err(end) => return (end, progress),
            }
        }
    });

    // More than fit into one message.
    let mut asked: Vec<ChunkId> = (0..5000_u32)
        .map(|number| ChunkId::of(&number.to_le_bytes()))
        .collect();
    asked.push(known);
    let stored = soon(client.which_are_stored(&asked)).await.unwrap();
    assert_eq!(
        (
            stored.len(),
            stored.iter().filter(|stored| **stored).count()
        ),
        (5001, 1)
    );

    let (mut sender, mut acks) = client.store_lane().await.unwrap();
    let sent: Vec<_> = (2..6).map(|seed| payload(seed, 500)).collect();
    for (id, bytes) in &sent {
        sender.send(*id, 500, bytes.clone()).await.unwrap();
    }
    sender.finish();
    let mut answers = Vec::new();
    while let Some(ack) = soon(acks.next()).await {
        answers.push(ack.unwrap());
    }
    let expected: Vec<_> = sent
        .iter()
        .map(|(id, _)| match *id == refused {
            true => Ack::Refused {
                id: *id,
                reason: "the disk is full".to_owned(),
            },
            false => Ack::Durable(vec![*id]),
        })
        .collect();
    assert_eq!(answers, expected);

    let manifest = Bytes::from(vec![9; 300_000]);
    assert_eq!(
        soon(client.store_manifest(manifest.clone())).await.unwrap(),
        ManifestId::of(&manifest)
    );
    let progress = ClientProgress {
        bytes_done: ByteCount::from_mib(3),
        bytes_total: ByteCount::from_mib(4),
        bytes_reused: ByteCount::from_mib(1),
        limiting_stage: Some(Stage::Disk),
    };
    client.report(progress);
    soon(client.finish(ClientOutcome::Complete)).await.unwrap();
    assert_eq!(
        soon(agent).await.unwrap(),
        (EndReason::Closed, Some(progress))
    );
}

#[tokio::test]
async fn the_agent_learns_who_the_client_is_and_may_refuse_what_it_wants() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let identity = authority.client();
    let agent = async {
        let incoming = listener.accept().await.unwrap();
        assert_eq!(
            incoming.peer,
            world::CLIENT_URI.parse::<CertificateName>().unwrap()
        );
        assert_eq!(
            incoming.fingerprint,
            *ChunkId::of(&identity.chain[0]).as_bytes(),
            "the same hash of the DER"
        );
        assert_eq!(incoming.hello, hello());
        let mut session = incoming
            .welcome(SessionKind::Deploy {
                manifest: ManifestId::of(b"x"),
            })
            .await
            .unwrap();
        for _ in 0..2 {
            match session.next_request().await.unwrap() {
                Request::FetchManifest(reply) => {
                    reply.send(Bytes::from_static(b"another")).await.unwrap()
                }
                Request::WhichAreStored(_, reply) => {
                    reply.refuse("this is a deploy").await.unwrap()
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        session
    };
    let client = async {
        let client = AgentConnection::connect(&source, &identity, hello())
            .await
            .unwrap();
        let error = client.fetch_manifest().await.unwrap_err();
        assert!(
            matches!(error, FetchManifestError::Mismatch { .. }),
            "{error:?}"
        );
        let error = client
            .which_are_stored(&[ChunkId::of(b"y")])
            .await
            .unwrap_err();
        assert!(
            matches!(error.0, StreamError::Refused { ref reason } if reason == "this is a deploy"),
            "{error:?}"
        );
        client
    };
    let _ = soon(async { tokio::join!(agent, client) }).await;
}

#[tokio::test]
async fn a_cancelled_client_is_told_why_and_not_to_come_back() {
    let (_listener, client, agent) = session(SessionKind::Capture).await;
    agent.cancel("somebody changed their mind");
    let end = soon(client.ended()).await;
    assert_eq!(
        end,
        EndReason::Cancelled {
            reason: "somebody changed their mind".to_owned()
        }
    );
    assert!(!end.is_transient());
    let error = client.store_lane().await.unwrap_err();
    assert!(
        matches!(error, StreamError::Ended(EndReason::Cancelled { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_dropped_session_and_a_closed_listener_ask_the_client_to_come_back() {
    let (_listener, client, agent) = session(SessionKind::Capture).await;
    let waiting = tokio::spawn(async move { client.finish(ClientOutcome::Complete).await });
    drop(agent);
    assert!(soon(waiting).await.unwrap().unwrap_err().is_transient());

    let (listener, client, _agent) = session(SessionKind::Capture).await;
    soon(listener.close()).await;
    assert!(matches!(
        soon(client.ended()).await,
        EndReason::Interrupted { .. }
    ));
}

#[tokio::test]
async fn an_unanswered_request_is_a_fault_that_may_pass() {
    let (_listener, client, mut agent) = session(SessionKind::Capture).await;
    let agent = tokio::spawn(async move {
        drop(agent.next_request().await.unwrap());
        // A lane that is given up must not look like one that was finished.
        let Ok(Request::Fetch(lane)) = agent.next_request().await else {
            panic!("no lane wanted")
        };
        drop(lane);
        agent
    });
    assert!(
        soon(client.which_are_stored(&[ChunkId::of(b"a")]))
            .await
            .unwrap_err()
            .is_transient()
    );
    let (_requests, mut chunks) = client.fetch_lane().await.unwrap();
    // Asked again and again by somebody who has something else to do in between.
    let brief = std::time::Duration::from_millis(1);
    let asking = async {
        loop {
            if let Ok(answer) = tokio::time::timeout(brief, chunks.next()).await {
                return answer;
            }
        }
    };
    let error = soon(asking).await.unwrap().unwrap_err();
    assert!(matches!(error, StreamError::Reset), "{error:?}");
    drop(agent);
}

#[tokio::test]
async fn renewed_certificates_are_used_for_new_connections_only() {
    let (old, new) = (Authority::new(), Authority::new());
    let (mut listener, source) = listen(&old.node());
    let (old_identity, new_identity) = (old.client(), new.client());
    let connect = |identity| AgentConnection::connect(&source, identity, hello());
    let (client, session) = soon(async {
        tokio::join!(connect(&old_identity), async {
            listener
                .accept()
                .await
                .unwrap()
                .welcome(SessionKind::Capture)
                .await
                .unwrap()
        })
    })
    .await;
    listener.set_identity(&new.node()).unwrap();
    assert!(connect(&old_identity).await.is_err());
    let (renewed, _session) = soon(async {
        tokio::join!(connect(&new_identity), async {
            listener
                .accept()
                .await
                .unwrap()
                .welcome(SessionKind::Capture)
                .await
                .unwrap()
        })
    })
    .await;
    renewed.unwrap();
    session.cancel("still connected");
    assert!(matches!(
        soon(client.unwrap().ended()).await,
        EndReason::Cancelled { .. }
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_the_agent_back() {
    let (_listener, client, mut agent) = session(SessionKind::Deploy {
        manifest: ManifestId::of(b"x"),
    })
    .await;
    let (id, bytes) = payload(1, 1 << 20);
    let (progress, mut sent) = tokio::sync::watch::channel(0_u64);
    let sending = tokio::spawn(async move {
        let Ok(Request::Fetch(FetchLane { wanted, mut chunks })) = agent.next_request().await
        else {
            panic!("no lane")
        };
        for number in 1..=64 {
            chunks.send(id, 1, bytes.clone()).await.unwrap();
            progress.send_replace(number);
        }
        chunks.finish();
        (agent, wanted)
    });
    let (mut requests, mut chunks) = client.fetch_lane().await.unwrap();
    requests.request(&[id; 64]).await.unwrap();
    // Nothing is read: the agent gets no further than the client's window and its own.
    while tokio::time::timeout(std::time::Duration::from_millis(700), sent.changed())
        .await
        .is_ok()
    {}
    let held = *sent.borrow();
    assert!(
        (4..=12).contains(&held),
        "{held} MiB were taken although nobody reads"
    );

    for _ in 0..64 {
        assert!(matches!(
            soon(chunks.next()).await,
            Some(Ok(Fetched::Chunk(_)))
        ));
    }
    assert_eq!(*sent.borrow(), 64);
    drop(soon(sending).await.unwrap());
}
