//! `GET /healthz` and `GET /readyz`, without TLS and for everybody: the answers name no image, no
//! machine and nothing secret.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foghorn_types::chain;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Health;

/// Connections at a time; further ones are closed.
const MOST: usize = 64;
/// For a connection from its beginning to its end.
const WITHIN: Duration = Duration::from_secs(5);
/// Until the next attempt when none could be accepted, as without free descriptors.
const AGAIN: Duration = Duration::from_millis(200);

/// The process answers.
#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

/// What is wrong with the request.
#[derive(Serialize)]
struct Refused {
    error: &'static str,
}

/// The port is open from here on; who connects is answered by [`serve`].
///
/// # Errors
/// When the port cannot be had.
pub(crate) async fn listen(at: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(at).await?;
    let listening = listener.local_addr()?;
    Ok((listener, listening))
}

/// Answers until cancelled.
pub(crate) async fn serve(listener: TcpListener, health: Arc<Health>, cancel: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MOST => {
                    connections.spawn(connection(stream, health.clone()));
                }
                Ok((_, peer)) => debug!(%peer, "closed a connection: too many ask how this node is"),
                Err(error) => {
                    warn!(error = %chain(&error), "could not accept a connection of who asks how this node is");
                    tokio::time::sleep(AGAIN).await;
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, health: Arc<Health>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let health = health.clone();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        async move { Ok::<_, Infallible>(answer(&method, &path, &health).await) }
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    // Who goes away before the answer, or says nothing, concerns nobody.
    let _ = tokio::time::timeout(WITHIN, served).await;
}

async fn answer(method: &Method, path: &str, health: &Health) -> Response<Full<Bytes>> {
    if *method != Method::GET && *method != Method::HEAD {
        let error = "only GET and HEAD are answered here";
        return json(StatusCode::METHOD_NOT_ALLOWED, &Refused { error });
    }
    match path {
        "/healthz" => json(StatusCode::OK, &Alive { status: "ok" }),
        "/readyz" => {
            let ready = health.ready().await;
            let status = match ready.is_ready() {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            json(status, &ready)
        }
        _ => {
            let error = "only /healthz and /readyz are here";
            json(StatusCode::NOT_FOUND, &Refused { error })
        }
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let bytes = serde_json::to_vec(body).expect("texts and truth values have a JSON form");
    let mut response = Response::new(Full::new(Bytes::from(bytes)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(method: Method, path: &str) -> u16 {
        let health = Health::default();
        answer(&method, path, &health).await.status().as_u16()
    }

    #[tokio::test]
    async fn a_node_that_starts_lives_and_is_not_ready() {
        assert_eq!(status(Method::GET, "/healthz").await, 200);
        assert_eq!(status(Method::HEAD, "/healthz").await, 200);
        assert_eq!(status(Method::GET, "/readyz").await, 503);
    }

    #[tokio::test]
    async fn nothing_else_is_answered() {
        assert_eq!(status(Method::POST, "/readyz").await, 405);
        assert_eq!(status(Method::GET, "/").await, 404);
        assert_eq!(status(Method::GET, "/metrics").await, 404);
    }
}
