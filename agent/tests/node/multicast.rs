//! Multicast sessions with receivers made of the real parts, on the loopback interface.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use foghorn_image::Manifest;
use foghorn_multicast::{
    ChunkSet, Opener, Receiver, ReceiverAction, ReceiverConfig, SessionChunk, Time,
};
use foghorn_proto::link::agent_message::Message as FromAgent;
use foghorn_proto::link::controller_message::Message as ToAgent;
use foghorn_proto::link::{CancelSession, MulticastOrder, OpenSession};
use foghorn_transport::client::{MulticastListener, MulticastMember, MulticastNews};
use foghorn_transport::multicast::{GroupReceiver, InterfaceChoice, SessionTerms, in_image};
use foghorn_transport::{AgentConnection, ClientOutcome};
use foghorn_types::ChunkId;

use crate::support::client::{capture_image, connect_as, fetch_chunks};
use crate::support::controller::deploy;
use crate::support::image::Image;
use crate::support::{Node, PATIENCE};

fn order(session: u32, receivers: u32) -> MulticastOrder {
    let port = foghorn_test_ports::free_udp_port().unwrap();
    MulticastOrder {
        session_id: session,
        group: format!("239.255.78.{session}:{port}"),
        start_receivers: receivers,
        max_rate_bytes_per_second: 4_000_000,
        ..Default::default()
    }
}

async fn join(
    connection: &AgentConnection,
    chunks: u32,
    wants: &ChunkSet,
) -> (MulticastMember, MulticastListener, SessionTerms) {
    assert!(connection.offers_multicast());
    let (member, mut news) = connection.join_multicast(chunks, wants).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, news.next())
        .await
        .expect("no answer to a join");
    let Some(Ok(MulticastNews::Joined(terms))) = answer else {
        panic!("not joined: {answer:?}")
    };
    (member, news, terms)
}

async fn deploy_order(
    node: &Node,
    task: u32,
    image: &Image,
    multicast: MulticastOrder,
) -> AgentConnection {
    let issued = node.controller.authority.client(task + 10, task);
    let order = OpenSession {
        multicast: Some(multicast),
        ..deploy(task, image.manifest, issued.fingerprint)
    };
    node.controller.order(order).await;
    connect_as(node, &issued, task).await.unwrap()
}

fn listen(terms: &SessionTerms) -> GroupReceiver {
    let on = InterfaceChoice::Address(IpAddr::from([127, 0, 0, 1]));
    GroupReceiver::join(terms.group, terms.source, terms.source_specific, &on).unwrap()
}

/// Receives until everything has come, judging chunks by their hash. Follows keys, and says at
/// which epoch it ended.
async fn receive(
    connection: &AgentConnection,
    image: &Image,
    member: &mut MulticastMember,
    news: &mut MulticastListener,
    terms: &SessionTerms,
) -> u8 {
    let numbered = Manifest::decode(&image.encoded).unwrap().distinct_chunks();
    let chunks = numbered.count();
    let began = Instant::now();
    let now = || Time::from_micros(began.elapsed().as_micros() as u64);
    let (mut socket, mut opener) = (listen(terms), Opener::new(&terms.key));
    let config = ReceiverConfig::new(chunks, terms.symbol_size.into());
    let mut receiver = Receiver::new(config, ChunkSet::all(chunks), 7, now()).unwrap();
    let (mut epoch, mut right) = (terms.key.epoch.0, BTreeMap::new());
    while right.len() < image.chunks.len() {
        assert!(
            began.elapsed() < PATIENCE,
            "{} of {chunks} chunks came",
            right.len()
        );
        socket
            .receive(Duration::from_millis(1), |datagram| {
                if let Some(Ok(packet)) = datagram.map(|datagram| opener.open(datagram)) {
                    receiver.packet(&packet, now());
                }
            })
            .unwrap();
        while let Some(chunk) = receiver.take_chunk() {
            let number = chunk.number;
            let plain = zstd::bulk::decompress(&chunk.into_bytes(), 1 << 20).unwrap();
            // The numbering that clients use, too.
            assert_eq!(Some(ChunkId::of(&plain)), numbered.id(in_image(number)));
            right.insert(number.0, plain.len());
            receiver.chunk_done(number);
        }
        loop {
            match receiver.poll(now()) {
                ReceiverAction::Report(report) => connection.report_multicast(&report),
                ReceiverAction::Have(chunks) => member.have(&chunks).await.unwrap(),
                ReceiverAction::NotHeard(unheard) => panic!("{unheard:?}"),
                ReceiverAction::Wait(_) => break,
            }
        }
        if let Ok(Some(Ok(said))) =
            tokio::time::timeout(Duration::from_micros(100), news.next()).await
        {
            match said {
                MulticastNews::Key(key) => {
                    epoch = key.epoch.0;
                    opener.add(&key);
                }
                MulticastNews::Over { .. } => break,
                other => panic!("{other:?}"),
            }
        }
    }
    epoch
}

#[tokio::test(flavor = "multi_thread")]
async fn two_receivers_take_one_stream_and_the_controller_hears_of_it() {
    let node = Node::start().await;
    let image = Image::new(0..12);
    capture_image(&node, 1, &image).await;
    let order = order(21, 2);
    let one = deploy_order(&node, 2, &image, order.clone()).await;
    let two = deploy_order(&node, 3, &image, order).await;
    let wants = ChunkSet::all(12);
    let (mut member_one, mut news_one, terms) = join(&one, 12, &wants).await;
    let (mut member_two, mut news_two, same) = join(&two, 12, &wants).await;
    assert_eq!(terms, same, "one group, one key");
    tokio::join!(
        receive(&one, &image, &mut member_one, &mut news_one, &terms),
        receive(&two, &image, &mut member_two, &mut news_two, &terms)
    );
    let all: u64 = image
        .chunks
        .iter()
        .map(|chunk| chunk.compressed.len() as u64)
        .sum();
    let report = node
        .controller
        .wait_for("a report of the session", |message| match message {
            FromAgent::Multicast(report) if report.payload_bytes >= all => Some(report.clone()),
            _ => None,
        });
    let report = report.await;
    assert_eq!(
        (report.session_id, report.payload_bytes),
        (21, all),
        "each chunk was sent once"
    );
    assert!(
        report.wire_bytes < all + all / 5,
        "{} bytes on the wire for {all}",
        report.wire_bytes
    );
    one.finish(ClientOutcome::Complete).await.unwrap();
    two.finish(ClientOutcome::Complete).await.unwrap();
    node.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_receiver_costs_the_others_a_new_key() {
    let node = Node::start().await;
    let image = Image::new(0..12);
    capture_image(&node, 1, &image).await;
    let order = order(22, 2);
    let one = deploy_order(&node, 2, &image, order.clone()).await;
    let two = deploy_order(&node, 3, &image, order).await;
    let wants = ChunkSet::all(12);
    let (mut member, mut news, terms) = join(&one, 12, &wants).await;
    // Does not listen: it holds nothing up but the start, and that only until it is gone.
    let (_member, _news, _) = join(&two, 12, &wants).await;
    let cancelled = CancelSession {
        task_id: 3,
        reason: "the operator said so".into(),
        withdrawn: false,
    };
    let cancel = node.controller.send(ToAgent::Cancel(cancelled));
    let (epoch, ()) = tokio::join!(
        receive(&one, &image, &mut member, &mut news, &terms),
        cancel
    );
    assert_eq!(epoch, terms.key.epoch.0.wrapping_add(1));
    node.agent.shutdown().await;
}

#[tokio::test]
async fn who_cannot_join_is_told_why_and_served_by_unicast() {
    let node = Node::start().await;
    let image = Image::new(0..3);
    capture_image(&node, 1, &image).await;
    let connection = deploy_order(&node, 2, &image, order(23, 1)).await;
    let (_member, mut news) = connection
        .join_multicast(4, &ChunkSet::all(4))
        .await
        .unwrap();
    let refused = news.next().await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("3 distinct chunks, not 4"), "{refused}");

    let nowhere = MulticastOrder {
        interface: "nosuch0".to_owned(),
        ..order(24, 1)
    };
    let other = deploy_order(&node, 3, &image, nowhere).await;
    let some: ChunkSet = [SessionChunk(0)].into_iter().collect();
    let (_member, mut news) = other.join_multicast(3, &some).await.unwrap();
    let refused = news.next().await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("nosuch0"), "{refused}");

    let broken = MulticastOrder {
        group: "10.0.0.1:5".to_owned(),
        ..order(25, 1)
    };
    let third = {
        let issued = node.controller.authority.client(14, 4);
        let order = OpenSession {
            multicast: Some(broken),
            ..deploy(4, image.manifest, issued.fingerprint)
        };
        node.controller.order(order).await;
        connect_as(&node, &issued, 4).await.unwrap()
    };
    assert!(!third.offers_multicast());
    for connection in [&connection, &other, &third] {
        fetch_chunks(connection, &image.ids()).await.unwrap();
    }
    node.agent.shutdown().await;
}
