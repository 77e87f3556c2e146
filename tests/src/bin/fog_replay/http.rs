//! One HTTP connection that sends exactly what it is told, which ordinary clients refuse to (GET
//! with a body, odd methods).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::{Body, to_bytes};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// No answer takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Connection {
    sender: SendRequest<Body>,
    driver: JoinHandle<()>,
    address: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) location: String,
    /// The explanation beside a body that is FOG's.
    pub(crate) problem: String,
    pub(crate) text: String,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("could not connect to {address}"))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // An error of the connection is the error of the request that waits on it.
            let _ended = connection.await;
        });
        Ok(Self {
            sender,
            driver,
            address,
        })
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Vec<u8>,
    ) -> Result<Reply> {
        if self.sender.is_closed() {
            *self = Self::open(self.address).await?;
        }
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Body::from(body))
            .with_context(|| format!("{method} {path} cannot be sent"))?;
        tokio::time::timeout(PATIENCE, self.exchange(request))
            .await
            .with_context(|| format!("{method} {path}: no answer within {PATIENCE:?}"))?
            .with_context(|| format!("{method} {path}"))
    }

    async fn exchange(&mut self, request: hyper::Request<Body>) -> Result<Reply> {
        self.sender.ready().await?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .unwrap_or_default()
        };
        let (content_type, location, problem) = (
            header("content-type"),
            header("location"),
            header("foghorn-problem"),
        );
        let bytes = to_bytes(Body::new(body), usize::MAX).await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Reply {
            status: parts.status.as_u16(),
            content_type,
            location,
            problem,
            text,
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
