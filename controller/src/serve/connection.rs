//! One connection to the REST port, or to the gateway of devices, until its client is silent for too long.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, Version, header};
use foghorn_types::chain;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::MissedTickBehavior;
use tower::ServiceExt;
use tracing::debug;

use super::answer::{PIECE, Sent};
use super::traffic::{Fault, Traffic, Turn};
use super::unread::{Unread, lend};
use super::{HANDSHAKE_WITHIN, PING_AFTER, PONG_WITHIN};
use crate::api::PlainHttp;
use crate::config::Patience;
use crate::leaving::Leaving;
use crate::trust::PeerCertificate;

/// Who is at the other end.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    /// Where one is required.
    pub(super) certificate: Option<PeerCertificate>,
}

/// Method, URL and headers of a request over HTTP/1; what is larger is refused.
const LONGEST_HEAD: usize = 64 << 10;
/// The same over HTTP/2.
const LARGEST_HEADERS: u32 = 16 << 10;
/// Requests at once on one connection over HTTP/2.
const STREAMS: u32 = 64;
/// What is unread of a body when the answer is ready may still come within this time …
const REST_WITHIN: Duration = Duration::from_millis(100);
/// … up to this size; otherwise the connection is closed after the answer.
const SMALL_REST: u64 = 64 << 10;

/// Serves a connection to its end; requests contain its remote address ([`ConnectInfo`])
/// and the certificate of the client, if it has shown one ([`PeerCertificate`]). The HTTP
/// version is negotiated in TLS; plain connections use HTTP/1.1.
pub(super) async fn talk<S>(
    stream: S,
    client: Client,
    h2: Option<bool>,
    router: Router,
    patience: Patience,
    leaving: Arc<Leaving>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = client.address;
    let traffic = Traffic::new();
    let builder = builder(h2 == Some(true));
    let service = service_fn(|mut request: Request<Incoming>| {
        if h2.is_none() {
            request.extensions_mut().insert(PlainHttp);
        }
        let (turn, router, leaving) = (traffic.begin(), router.clone(), leaving.clone());
        let client = client.clone();
        async move {
            let mut response = answer(request, client, router, turn).await;
            if leaving.has_begun() && h2 != Some(true) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut watch = tokio::time::interval(patience.check_every());
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ending = false;
    // Over HTTP/2 there is a word for it that costs no request. One that is opened while this
    // controller leaves is served: whoever opened it does not know of another one yet.
    let mut ask_to_leave = h2 == Some(true) && !leaving.has_begun();
    let result = loop {
        tokio::select! {
            result = &mut connection => break result,
            () = leaving.begun().cancelled(), if ask_to_leave => {
                (ask_to_leave, ending) = (false, true);
                connection.as_mut().graceful_shutdown();
            }
            () = leaving.closing().cancelled(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            now = watch.tick() => match traffic.fault(now, patience) {
                None => {}
                Some(Fault::Idle) if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                Some(fault) => {
                    debug!(%peer, ?fault, "closed the connection of a client that is silent");
                    return;
                }
            },
        }
    };
    if let Err(error) = result {
        debug!(error = %chain(&*error), "a connection failed");
    }
}

fn builder(h2: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_WITHIN)
        // Also bounds what is buffered of an answer.
        .max_buf_size(LONGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .max_header_list_size(LARGEST_HEADERS)
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(PIECE);
    if h2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    }
}

/// The answer to a request. When it leaves a body unread, the client hears that the connection ends,
/// and what it is still sending is discarded for a while, so that it gets to the answer.
async fn answer(
    request: Request<Incoming>,
    client: Client,
    router: Router,
    turn: Turn,
) -> Response<Sent> {
    let is_h1 = request.version() < Version::HTTP_2;
    // Reading would ask the client to send what nobody wants.
    let asks_first = is_h1 && request.headers().contains_key(header::EXPECT);
    let (mut request, loan) = lend(request);
    request.extensions_mut().insert(ConnectInfo(client.address));
    if let Some(certificate) = client.certificate {
        request.extensions_mut().insert(certificate);
    }
    let answered = router.oneshot(request.map(Body::new)).await;
    let mut response = answered.unwrap_or_else(|never| match never {});
    if let Some(mut unread) = loan.unread() {
        let came = !asks_first && unread.end_within(REST_WITHIN, SMALL_REST).await;
        if !came {
            if is_h1 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            if !asks_first {
                tokio::spawn(Unread::discard(unread));
            }
        }
    }
    response.map(|body| Sent::new(body, turn))
}
