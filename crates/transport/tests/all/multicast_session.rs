//! The control stream of a multicast session: joining, what both ends say on it, and reports in
//! datagrams.

use std::time::Duration;

use foghorn_multicast::{ChunkSet, Epoch, KeyMaterial, Report, SessionChunk, SessionTag, Suite};
use foghorn_transport::client::MulticastNews;
use foghorn_transport::multicast::SessionTerms;
use foghorn_transport::server::MemberRequest;
use foghorn_transport::{AgentConnection, Request, SessionKind, StreamError};
use foghorn_types::ManifestId;

use crate::world::{self, Authority, hello, listen, soon};

fn key(epoch: u8) -> KeyMaterial {
    KeyMaterial {
        session: SessionTag(77),
        epoch: Epoch(epoch),
        suite: Suite::Aes128Gcm,
        secret: [epoch; 32],
    }
}

fn terms() -> SessionTerms {
    SessionTerms {
        group: "239.255.1.7:49152".parse().unwrap(),
        source: "10.1.0.1".parse().unwrap(),
        source_specific: true,
        symbol_size: 1432,
        key: key(1),
    }
}

fn chunks(numbers: impl IntoIterator<Item = u32>) -> ChunkSet {
    numbers.into_iter().map(SessionChunk).collect()
}

#[tokio::test]
async fn a_receiver_joins_speaks_and_is_told() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let identity = authority.client();
    let kind = SessionKind::Deploy {
        manifest: ManifestId::of(b"m"),
    };
    let (client, session) = tokio::join!(
        AgentConnection::connect(&source, &identity, hello()),
        async {
            listener
                .accept()
                .await
                .unwrap()
                .welcome_to_multicast(kind)
                .await
                .unwrap()
        }
    );
    let (client, mut session) = (client.unwrap(), session);
    assert!(client.offers_multicast());
    assert!(client.local_ip().is_some_and(|ip| ip.is_loopback()));

    assert!(session.local_ip().is_some_and(|ip| ip.is_loopback()));
    let wants = chunks((0..5000).filter(|n| n % 7 != 0));
    let (mut member, mut news) = soon(client.join_multicast(5000, &wants)).await.unwrap();
    let Ok(Request::JoinMulticast(mut lane)) = soon(session.next_request()).await else {
        panic!("no join")
    };
    assert_eq!((lane.chunks, &lane.wants), (5000, &wants));

    soon(lane.notices.joined(&terms())).await.unwrap();
    soon(lane.notices.key(&key(2))).await.unwrap();
    soon(lane.notices.fetch(&chunks([3, 9]))).await.unwrap();
    let rest = Some(Duration::from_secs(10));
    soon(lane.notices.demoted("its disk is slow", rest))
        .await
        .unwrap();
    assert_eq!(
        soon(news.next()).await.unwrap().unwrap(),
        MulticastNews::Joined(terms())
    );
    assert_eq!(
        soon(news.next()).await.unwrap().unwrap(),
        MulticastNews::Key(key(2))
    );
    assert_eq!(
        soon(news.next()).await.unwrap().unwrap(),
        MulticastNews::Fetch(chunks([3, 9]))
    );
    let demoted = MulticastNews::Demoted {
        reason: "its disk is slow".to_owned(),
        rest,
    };
    assert_eq!(soon(news.next()).await.unwrap().unwrap(), demoted);
    assert!(soon(news.next()).await.is_none());

    soon(member.have(&chunks([1, 2]))).await.unwrap();
    soon(member.want(&chunks([7]))).await.unwrap();
    soon(member.leave("no packet came")).await.unwrap();
    assert_eq!(
        soon(lane.requests.next()).await.unwrap().unwrap(),
        MemberRequest::Have(chunks([1, 2]))
    );
    assert_eq!(
        soon(lane.requests.next()).await.unwrap().unwrap(),
        MemberRequest::Want(chunks([7]))
    );
    let left = MemberRequest::Leave {
        reason: "no packet came".to_owned(),
    };
    assert_eq!(soon(lane.requests.next()).await.unwrap().unwrap(), left);
    assert!(soon(lane.requests.next()).await.is_none());

    let report = Report {
        as_of: 99,
        expected: 50,
        received: 49,
        ..Report::default()
    };
    client.report_multicast(&report);
    let Ok(Request::MulticastReport(came)) = soon(session.next_request()).await else {
        panic!("no report")
    };
    assert_eq!(came, report);
}

#[tokio::test]
async fn a_chunk_that_the_image_has_not_ends_the_connection() {
    let kind = SessionKind::Deploy {
        manifest: ManifestId::of(b"m"),
    };
    let (_listener, client, mut session) = world::session(kind).await;
    assert!(!client.offers_multicast());
    let (_member, mut news) = client.join_multicast(10, &chunks([10])).await.unwrap();
    assert!(soon(session.next_request()).await.is_err());
    assert!(matches!(
        soon(news.next()).await,
        Some(Err(StreamError::Ended(_)))
    ));
}
