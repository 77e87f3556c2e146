//! Listeners: HTTPS for REST, mutual TLS for the agents' links. The time of slow clients and the
//! number of all clients are bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use foghorn_proto::link::agent_link_server::AgentLinkServer;
use foghorn_types::chain;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use crate::link::service::LinkService;

/// A handshake, or the headers of a request, must be complete within this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// A peer that is silent for this long gets a keep-alive ping …
const PING_AFTER: Duration = Duration::from_secs(5);
/// … and is closed when it does not answer within this time. Together: a dead agent is noticed
/// within ten seconds.
const PONG_WITHIN: Duration = Duration::from_secs(4);
/// Time that active requests get when the controller stops.
const DRAIN: Duration = Duration::from_secs(3);
/// Maximum number of concurrent handshakes of agents. Agents back off, so when all reconnect at
/// once they wait only briefly.
const LINK_HANDSHAKES: usize = 256;
/// Delay after a failed accept, usually because there are no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves REST until `cancel`, then drains. `tls` absent: plain HTTP, which the configuration
/// allows on loopback only.
pub(crate) async fn rest(
    listener: TcpListener,
    tls: Option<ServerConfig>,
    router: Router,
    max_connections: usize,
    cancel: CancellationToken,
) {
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let places = Arc::new(Semaphore::new(max_connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let (acceptor, router, cancel) = (acceptor.clone(), router.clone(), cancel.clone());
        connections.spawn(async move {
            let _place = place;
            match acceptor {
                None => talk(stream, peer, None, router, cancel).await,
                Some(acceptor) => match cancel
                    .run_until_cancelled(handshake(&acceptor, stream))
                    .await
                {
                    None => {}
                    Some(Ok(stream)) => {
                        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        talk(stream, peer, Some(h2), router, cancel).await;
                    }
                    Some(Err(error)) => {
                        debug!(%peer, error = %chain(&error), "TLS handshake failed")
                    }
                },
            }
        });
    }
    drop(listener);
    let drained = tokio::time::timeout(DRAIN, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    if drained.is_err() {
        warn!("requests were aborted at the end of the shutdown");
        connections.shutdown().await;
    }
}

/// One connection; requests contain its remote address ([`ConnectInfo`]). The HTTP version is
/// negotiated in TLS; plain connections use HTTP/1.1.
async fn talk<S>(
    stream: S,
    peer: SocketAddr,
    h2: Option<bool>,
    router: Router,
    cancel: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_WITHIN);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .max_concurrent_streams(128);
    let builder = if h2 == Some(true) {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(error = %chain(&*error), "a connection failed");
    }
}

/// Serves the agents' link until `cancel`.
pub(crate) async fn link(
    listener: TcpListener,
    tls: ServerConfig,
    service: LinkService,
    cancel: CancellationToken,
) {
    let (ready, connections) = mpsc::channel(16);
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(PING_AFTER))
        .http2_keepalive_timeout(Some(PONG_WITHIN))
        .add_service(AgentLinkServer::new(service))
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

/// Ends when the other end of `ready` does, or when it is dropped.
async fn accept_links(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<Result<TlsStream<TcpStream>, std::io::Error>>,
) {
    let places = Arc::new(Semaphore::new(LINK_HANDSHAKES));
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = handshakes.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        handshakes.spawn(async move {
            let _place = place;
            match handshake(&acceptor, stream).await {
                // The server may already have stopped.
                Ok(stream) => drop(ready.send(Ok(stream)).await),
                Err(error) => {
                    info!(%peer, error = %chain(&error), "refused a connection on the link")
                }
            }
        });
    }
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
