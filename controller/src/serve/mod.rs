//! Listeners: HTTPS for REST, mutual TLS for the agents' links and for devices. The time of slow clients and the
//! number of all clients, and of those at one address, are bounded.

mod answer;
mod connection;
mod held;
mod traffic;
mod unread;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Json, Router};
use foghorn_proto::http::Problem;
use foghorn_proto::link::agent_link_server::AgentLinkServer;
use foghorn_proto::link::peer_link_server::PeerLinkServer;
use foghorn_types::chain;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::connection::{Client, talk};
use self::held::Held;
use crate::config::{Patience, TrustedProxy, is_one_of};
use crate::leaving::Leaving;
use crate::link::service::LinkService;
use crate::peers::service::PeerService;
use crate::shares::{Share, Shares, source};
use crate::trust::PeerCertificate;

/// A handshake, or the headers of a request, must be complete within this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// A peer that is silent for this long gets a keep-alive ping …
const PING_AFTER: Duration = Duration::from_secs(5);
/// … and is closed when it does not answer within this time. Together: a dead agent is noticed
/// within ten seconds.
const PONG_WITHIN: Duration = Duration::from_secs(4);
/// Agents are looked after more closely: one that was lost, or hangs, is suspected within three
/// seconds, and its transfers go on elsewhere when the grace period is over.
const PING_AGENTS_AFTER: Duration = Duration::from_secs(1);
const AGENTS_PONG_WITHIN: Duration = Duration::from_secs(2);
/// A connection that was opened in the moment in which no more are taken gets this long to say what it
/// wants.
const LATE_WITHIN: Duration = Duration::from_secs(1);
/// What the kernel has accepted by then is looked for this long.
const LAST_LOOK: Duration = Duration::from_millis(20);
/// Time that active requests get when the controller stops.
const DRAIN: Duration = Duration::from_secs(3);
/// Maximum number of concurrent handshakes of agents. Agents back off, so when all reconnect at
/// once they wait only briefly.
const LINK_HANDSHAKES: usize = 256;
/// The same of one address, and its open connections.
const LINK_HANDSHAKES_EACH: u64 = 64;
const LINKS_EACH: u64 = 512;
/// Calls at once on one link: the link itself, its renewal, and transfers of files.
const LINK_STREAMS: u32 = 128;
/// Connections above the limit of their address that are told so at once; others are just closed …
const TOLD: usize = 32;
/// … and the time that they get.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// Delay after a failed accept, usually because there are no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What clients of REST may have and do.
#[derive(Clone, Debug)]
pub(crate) struct RestLimits {
    /// Open connections; further ones wait to be accepted.
    pub(crate) connections: usize,
    /// Open connections of one address; further ones are refused.
    pub(crate) connections_each: usize,
    /// Addresses that speak for many and have no limit of their own.
    pub(crate) proxies: Vec<TrustedProxy>,
    pub(crate) patience: Patience,
}

/// How REST is served, or the gateway of devices: whether a certificate is required is up to `tls`.
pub(crate) struct Security {
    pub(crate) tls: ServerConfig,
    /// Plain HTTP is taken as well, on the same port.
    pub(crate) plain_too: bool,
}

/// When serving ends.
pub(crate) struct End {
    pub(crate) leaving: Arc<Leaving>,
    /// What is under way is then ended, too, after a moment.
    pub(crate) cancel: CancellationToken,
}

/// Serves REST until no further connections are taken, then finishes what is under way.
pub(crate) async fn rest(
    listener: TcpListener,
    security: Security,
    router: Router,
    limits: RestLimits,
    end: End,
) {
    let closing = end.leaving.closing().clone();
    let port = Port {
        acceptor: TlsAcceptor::from(Arc::new(security.tls)),
        plain_too: security.plain_too,
        router,
        patience: limits.patience,
        leaving: end.leaving,
    };
    let places = Arc::new(Semaphore::new(limits.connections));
    let each = Shares::new(u64::MAX, limits.connections_each as u64);
    let told = Arc::new(Semaphore::new(TOLD));
    let mut connections = JoinSet::new();
    let over = last_look(&closing);
    tokio::pin!(over);
    loop {
        let accepted = tokio::select! {
            // Whoever has a connection by now is answered: it is closed by the next one here.
            accepted = accept(&listener, &places) => accepted,
            () = &mut over => break,
            Some(_) = connections.join_next() => continue,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let from = source(peer.ip());
        let share = if is_one_of(&limits.proxies, peer.ip()) {
            None
        } else {
            match each.take(from, 1) {
                Ok(share) => Some(share),
                Err(_) => {
                    metrics::counter!("foghorn_connections_refused_total").increment(1);
                    if let Ok(permit) = told.clone().try_acquire_owned() {
                        connections.spawn(port.clone().tell(stream, peer, (permit, place)));
                    }
                    continue;
                }
            }
        };
        connections.spawn(port.clone().serve(stream, peer, (share, place)));
    }
    drop(listener);
    let drained = tokio::select! {
        () = async { while connections.join_next().await.is_some() {} } => true,
        () = async {
            end.cancel.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        } => false,
    };
    if !drained {
        warn!("requests were aborted at the end of the shutdown");
        connections.shutdown().await;
    }
}

/// What every connection of the REST port needs.
#[derive(Clone)]
struct Port {
    acceptor: TlsAcceptor,
    plain_too: bool,
    router: Router,
    patience: Patience,
    leaving: Arc<Leaving>,
}

/// Ends when a new connection has had its time although no more are taken.
async fn late(leaving: &Leaving) {
    leaving.closing().cancelled().await;
    tokio::time::sleep(LATE_WITHIN).await;
}

/// Ends a moment after `closing`.
async fn last_look(closing: &CancellationToken) {
    closing.cancelled().await;
    tokio::time::sleep(LAST_LOOK).await;
}

impl Port {
    /// `held` is given back at the end.
    async fn serve<H>(self, stream: TcpStream, peer: SocketAddr, held: H) {
        let _held = held;
        let Self {
            acceptor,
            plain_too,
            router,
            patience,
            leaving,
        } = self;
        let begins = tokio::select! {
            is_tls = starts_with_tls(&stream) => Some(is_tls),
            () = late(&leaving) => None,
        };
        match begins {
            None => return,
            Some(false) => {
                let router = if plain_too { router } else { only_https() };
                let client = Client {
                    address: peer,
                    certificate: None,
                };
                return talk(stream, client, None, router, patience, leaving).await;
            }
            Some(true) => {}
        }
        let shaken = tokio::select! {
            shaken = handshake(&acceptor, stream) => Some(shaken),
            () = late(&leaving) => None,
        };
        match shaken {
            None => {}
            Some(Ok(stream)) => {
                let (_, tls) = stream.get_ref();
                let h2 = tls.alpn_protocol() == Some(b"h2");
                let client = Client {
                    address: peer,
                    certificate: PeerCertificate::of(tls.peer_certificates()),
                };
                talk(stream, client, Some(h2), router, patience, leaving).await;
            }
            Some(Err(error)) => debug!(%peer, error = %chain(&error), "TLS handshake failed"),
        }
    }

    /// Answers a connection above the limit of its address.
    async fn tell<H>(self, stream: TcpStream, peer: SocketAddr, held: H) {
        debug!(%peer, "refused a connection: its address has too many");
        let router = Router::new().fallback(|| async {
            let error = "your address has too many open connections: close some, or try again";
            let headers = [(header::RETRY_AFTER, "5"), (header::CONNECTION, "close")];
            let problem = Problem {
                error: error.to_owned(),
                field: None,
            };
            (StatusCode::TOO_MANY_REQUESTS, headers, Json(problem)).into_response()
        });
        let serving = Self { router, ..self }.serve(stream, peer, held);
        let _told_or_not = tokio::time::timeout(TOLD_WITHIN, serving).await;
    }
}

/// Serves the agents' link until `cancel`.
pub(crate) async fn link(
    listener: TcpListener,
    tls: ServerConfig,
    (service, peers): (LinkService, PeerService),
    cancel: CancellationToken,
) {
    let (ready, connections) = mpsc::channel(16);
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(PING_AGENTS_AFTER))
        .http2_keepalive_timeout(Some(AGENTS_PONG_WITHIN))
        .max_concurrent_streams(LINK_STREAMS)
        .add_service(AgentLinkServer::new(service))
        .add_service(PeerLinkServer::new(peers))
        .serve_with_incoming_shutdown(
            ReceiverStream::new(connections),
            cancel.clone().cancelled_owned(),
        );
    tokio::pin!(server);
    let accepting = accept_links(listener, TlsAcceptor::from(Arc::new(tls)), ready);
    tokio::select! {
        result = &mut server => if let Err(error) = result {
            warn!(error = %chain(&error), "the link server ended");
        },
        _ = cancel.run_until_cancelled(accepting) => {
            if tokio::time::timeout(DRAIN, &mut server).await.is_err() {
                warn!("links were closed at the end of the shutdown");
            }
        }
    }
}

/// A connection of an agent, with the share of its address.
type Link = Held<TlsStream<TcpStream>, Share<IpAddr>>;

/// Ends when the other end of `ready` does, or when it is dropped.
async fn accept_links(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<Result<Link, std::io::Error>>,
) {
    let places = Arc::new(Semaphore::new(LINK_HANDSHAKES));
    let each = Shares::new(u64::MAX, LINK_HANDSHAKES_EACH);
    let links = Shares::new(u64::MAX, LINKS_EACH);
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = handshakes.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let from = source(peer.ip());
        let (Ok(turn), Ok(link)) = (each.take(from, 1), links.take(from, 1)) else {
            metrics::counter!("foghorn_connections_refused_total").increment(1);
            debug!(%peer, "refused a connection on the link: its address has too many");
            continue;
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        handshakes.spawn(async move {
            let _held = (place, turn);
            match handshake(&acceptor, stream).await {
                // The server may already have stopped.
                Ok(stream) => drop(ready.send(Ok(Held::new(stream, link))).await),
                Err(error) => {
                    info!(%peer, error = %chain(&error), "refused a connection on the link")
                }
            }
        });
    }
}

/// Answers plain HTTP where it is not taken.
fn only_https() -> Router {
    Router::new().fallback(|| async {
        let error = "this port takes HTTPS: use https:// instead of http:// (or start the server with --plain-http)";
        let problem = Problem {
            error: error.to_owned(),
            field: None,
        };
        let headers = [(header::CONNECTION, "close")];
        (StatusCode::BAD_REQUEST, headers, Json(problem)).into_response()
    })
}

/// First byte of a TLS handshake; no request begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// Whether the peer begins with TLS, also when it says nothing in time: the handshake then ends it.
async fn starts_with_tls(stream: &TcpStream) -> bool {
    let mut first = [0];
    let peeked = tokio::time::timeout(HANDSHAKE_WITHIN, stream.peek(&mut first)).await;
    !matches!(peeked, Ok(Ok(1))) || first[0] == TLS_HANDSHAKE
}

/// The next connection, once a permit is free. Cancel safe: an unused permit is returned.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%peer, error = %chain(&error), "could not disable Nagle's algorithm");
            }
            Some((stream, peer, place))
        }
        Err(error) => {
            warn!(error = %chain(&error), "could not accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream))
        .await
        .unwrap_or_else(|_| {
            Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "the handshake took too long",
            ))
        })
}
