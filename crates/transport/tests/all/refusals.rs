//! Whoever should not be served is not, and whoever breaks the protocol is cut off.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::world::{self, Authority, NODE, hello, listen, soon};
use foghorn_transport::client::ConnectError;
use foghorn_transport::wire::PROTOCOL_VERSION;
use foghorn_transport::{
    AgentConnection, EndReason, Identity, Listener, RefusalCode, Request, SessionKind, Source,
};
use foghorn_types::ChunkId;
use quinn::crypto::rustls::QuicClientConfig;

/// Tries to connect; the listener must not let the client through.
async fn refused(listener: &mut Listener, source: &Source, identity: &Identity) -> ConnectError {
    let error = soon(async {
        tokio::select! {
            result = AgentConnection::connect(source, identity,
                hello()) => result.expect_err("it was let in"),
            incoming = listener.accept() => panic!("{incoming:?} was let through"),
        }
    })
    .await;
    assert!(!error.is_transient(), "{error:?} would be tried again");
    error
}

#[tokio::test]
async fn clients_with_certificates_that_do_not_count_are_refused() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let (mut listener, source) = listen(&ours.node());
    let cases = [
        (
            "foreign authority",
            Identity {
                ca: ours.client().ca,
                ..foreign.client()
            },
        ),
        ("expired", ours.issue(world::CLIENT_URI, None, -3600)),
        (
            "no name of ours",
            ours.issue("https://example.org/", None, 3600),
        ),
        (
            "two spellings",
            ours.issue("foghorn://client/host/07/task/42", None, 3600),
        ),
    ];
    for (what, identity) in cases {
        let error = refused(&mut listener, &source, &identity).await;
        assert!(
            matches!(
                error,
                ConnectError::Welcome(_) | ConnectError::Refused { .. }
            ),
            "{what}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let connection = raw_connection(&source, &authority, None).await;
    let closed = soon(async {
        tokio::select! {
            closed = connection.closed() => closed,
            incoming = listener.accept() => panic!("{incoming:?} was let through"),
        }
    })
    .await;
    assert!(
        matches!(closed, quinn::ConnectionError::ConnectionClosed(_)),
        "{closed:?}"
    );
}

#[tokio::test]
async fn agents_that_are_not_who_they_should_be_are_refused() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let client = ours.client();
    let cases = [
        (
            "foreign authority",
            Identity {
                ca: ours.node().ca,
                ..foreign.node()
            },
            NODE,
        ),
        (
            "expired",
            ours.issue("foghorn://node/north", Some(NODE), -60),
            NODE,
        ),
        ("another name", ours.node(), "south.node.foghorn.internal"),
        ("a client as agent", ours.client(), NODE),
    ];
    for (what, identity, name) in cases {
        let (mut listener, source) = listen(&identity);
        let source = Source {
            server_name: name.to_owned(),
            ..source
        };
        let error = refused(&mut listener, &source, &client).await;
        assert!(
            matches!(error, ConnectError::Handshake { .. }),
            "{what}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_says_why_and_whether_to_try_again() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let identity = authority.client();
    for (code, transient) in [
        (RefusalCode::NotOrdered, false),
        (RefusalCode::NotReady, true),
        (RefusalCode::Busy, true),
    ] {
        let (result, ()) = soon(async {
            tokio::join!(
                AgentConnection::connect(&source, &identity, hello()),
                async {
                    listener.accept().await.unwrap().refuse(code, "so it is");
                }
            )
        })
        .await;
        match result {
            Err(error @ ConnectError::Refused { .. }) => {
                assert_eq!(error.is_transient(), transient);
                assert!(error.to_string().contains("so it is"));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whatever it had not answered ends with its process, at whatever moment.
#[tokio::test]
async fn an_agent_that_ends_before_its_welcome_may_be_back() {
    let authority = Authority::new();
    let (node, identity) = (authority.node(), authority.client());
    for moment in 0..40 {
        let (listener, source) = listen(&node);
        let connecting = AgentConnection::connect(&source, &identity, hello());
        let ending = async {
            tokio::time::sleep(Duration::from_micros(moment * 250)).await;
            listener.close().await;
        };
        let (connected, ()) = tokio::join!(soon(connecting), ending);
        let error = connected.unwrap_err();
        assert!(error.is_transient(), "{moment}: {error:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_within_seconds_and_may_pass() {
    let authority = Authority::new();
    let unused = std::net::UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let source = Source {
        address: unused.local_addr().unwrap().to_string(),
        server_name: NODE.to_owned(),
    };
    let error = soon(AgentConnection::connect(
        &source,
        &authority.client(),
        hello(),
    ))
    .await
    .unwrap_err();
    assert!(
        matches!(error, ConnectError::NoAnswer { .. }) && error.is_transient(),
        "{error:?}"
    );
}

/// A connection that says what it likes.
async fn raw_connection(
    source: &Source,
    authority: &Authority,
    identity: Option<Identity>,
) -> quinn::Connection {
    let address = source.address.parse().unwrap();
    let endpoint = raw_endpoint(Ipv4Addr::LOCALHOST, authority, identity);
    soon(endpoint.connect(address, NODE).unwrap())
        .await
        .unwrap()
}

/// Makes such connections, from this address.
fn raw_endpoint(
    at: Ipv4Addr,
    authority: &Authority,
    identity: Option<Identity>,
) -> quinn::Endpoint {
    let mut roots = rustls::RootCertStore::empty();
    for ca in authority.client().ca {
        roots.add(ca).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => config
            .with_client_auth_cert(identity.chain, identity.key)
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"foghorn/1".to_vec()];
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from((at, 0))).unwrap();
    let config = QuicClientConfig::try_from(config).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
    endpoint
}

/// Clients that say nothing after their handshake, and one at another address that does.
#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_handshakes() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
    let endpoint = raw_endpoint(elsewhere, &authority, Some(authority.client()));
    let address = source.address.parse().unwrap();
    let mut connecting = tokio::task::JoinSet::new();
    for _ in 0..300 {
        connecting.spawn(endpoint.connect(address, NODE).unwrap());
    }
    let ended = soon(connecting.join_all()).await;
    let silent: Vec<_> = ended.into_iter().filter_map(Result::ok).collect();
    assert!(
        (1..=128).contains(&silent.len()),
        "{} of one address at once",
        silent.len()
    );
    let identity = authority.client();
    let (connected, incoming) = soon(async {
        tokio::join!(
            AgentConnection::connect(&source, &identity, hello()),
            async {
                let incoming = listener.accept().await.unwrap();
                incoming.welcome(SessionKind::Capture).await
            }
        )
    })
    .await;
    connected.expect("another address is served");
    incoming.unwrap();
}

/// Low byte of the version in a hello.
const VERSION: u8 = PROTOCOL_VERSION as u8;

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes()[..], body].concat()
}

#[tokio::test]
async fn hellos_that_make_no_sense_are_refused() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let cases = [
        ("another version", frame(&[9, 0, 1, 2, 3]), 16),
        (
            "garbage",
            frame(&[VERSION, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            3,
        ),
        ("nothing", frame(&[]), 3),
        ("oversize", (300_u32 << 10).to_le_bytes().to_vec(), 3),
        ("cut short", vec![200, 0, 0, 0, 1], 3),
    ];
    for (what, bytes, code) in cases {
        let connection = raw_connection(&source, &authority, Some(authority.client())).await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
        let closed = soon(async {
            tokio::select! {
                closed = connection.closed() => closed,
                incoming = listener.accept() => panic!("{what}: {incoming:?} was let through"),
            }
        })
        .await;
        match closed {
            quinn::ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code, quinn::VarInt::from_u32(code), "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn garbage_on_a_lane_ends_the_session() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    // 4 = open a store lane; then a chunk of 2 MiB, no message, and a message that does not belong
    // there.
    let open_store = frame(&[4]);
    let id = *ChunkId::of(b"x").as_bytes();
    let oversize = frame(&[&[5][..], &id, &[0x80, 0x80, 0x80, 0x01], &[1]].concat());
    for second in [oversize, frame(&[0xee; 40]), frame(&[0])] {
        let connection = raw_connection(&source, &authority, Some(authority.client())).await;
        let (mut greeting, _answer) = connection.open_bi().await.unwrap();
        greeting
            .write_all(&frame(&[VERSION, 0, 42, 1, b't', 0]))
            .await
            .unwrap();
        let mut agent = soon(listener.accept())
            .await
            .unwrap()
            .welcome(SessionKind::Capture)
            .await
            .unwrap();
        let (mut lane, _acks) = connection.open_bi().await.unwrap();
        lane.write_all(&open_store).await.unwrap();
        lane.write_all(&second).await.unwrap();
        let Ok(Request::Store(mut store)) = soon(agent.next_request()).await else {
            panic!("no lane")
        };
        soon(store.chunks.next()).await.unwrap().unwrap_err();
        let closed = EndReason::Violation {
            reason: String::new(),
        };
        assert_eq!(
            std::mem::discriminant(&reason_of(soon(connection.closed()).await)),
            std::mem::discriminant(&closed)
        );
        assert!(soon(agent.next_request()).await.is_err());
    }
}

fn reason_of(error: quinn::ConnectionError) -> EndReason {
    match error {
        quinn::ConnectionError::ApplicationClosed(close)
            if close.error_code == quinn::VarInt::from_u32(3) =>
        {
            EndReason::Violation {
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            }
        }
        other => EndReason::ConnectionLost {
            problem: other.to_string(),
        },
    }
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed_within_the_idle_timeout() {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let identity = authority.client();
    let (unfreeze, frozen) = std::sync::mpsc::channel::<()>();
    // A runtime of one thread that blocks is what a frozen machine looks like from outside.
    let client = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let connection = AgentConnection::connect(&source, &identity, hello())
                .await
                .unwrap();
            let _ = frozen.recv();
            drop(connection);
        });
    });
    let mut agent = soon(listener.accept())
        .await
        .unwrap()
        .welcome(SessionKind::Capture)
        .await
        .unwrap();
    let end = soon(agent.next_request()).await.unwrap_err();
    assert!(
        matches!(end, EndReason::ConnectionLost { .. }) && end.is_transient(),
        "{end:?}"
    );
    drop(unfreeze);
    client.join().unwrap();
}
