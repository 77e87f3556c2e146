//! A device: its key, its certificate, and the time of the configuration that it has.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::body::{Body, to_bytes};
use foghorn_tests::factory::Registered;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{DATE, HOST, HeaderValue, IF_MODIFIED_SINCE};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// Far longer than a poll takes; a device would try again.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than the configuration of the bench has.
const LONGEST: usize = 1 << 16;
/// Addresses of this machine from which devices come: each has more ports than are used.
const ADDRESSES: u32 = 250;

/// The answer to a poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// 304.
    NotModified,
    /// 200.
    Config,
}

pub(crate) struct Device {
    from: Ipv4Addr,
    tls: TlsConnector,
    /// `Date` of the configuration that it has.
    since: Mutex<Option<HeaderValue>>,
}

/// A connection to the gateway.
pub(crate) struct Line {
    sender: SendRequest<Body>,
    driver: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Device {
    pub(crate) fn new(
        number: u32,
        registered: &Registered,
        authority: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self> {
        let chain = registered.file("client.pem")?.as_bytes();
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(registered.key_pem.as_bytes())?;
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(authority.clone())
            .with_client_auth_cert(chain, key)?;
        // The gateway resumes no sessions, and a store of them for each device is large.
        config.resumption = Resumption::disabled();
        let last = u8::try_from(1 + number % ADDRESSES).unwrap_or(1);
        Ok(Self {
            from: Ipv4Addr::new(127, 0, 1, last),
            tls: TlsConnector::from(Arc::new(config)),
            since: Mutex::new(None),
        })
    }

    pub(crate) async fn connect(&self, gateway: SocketAddr) -> Result<Line> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((self.from, 0)))?;
        let stream = socket.connect(gateway).await.context("could not connect")?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(gateway.ip());
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.context("the handshake failed")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // An error of the connection is the error of the request that waits on it.
            let _ended = connection.await;
        });
        Ok(Line { sender, driver })
    }

    /// Asks for the configuration unless it is the one that this device has.
    pub(crate) async fn ask(&self, line: &mut Line) -> Result<Answer> {
        let mut request = Request::get("/config").header(HOST, "gateway");
        if let Some(since) = self.since() {
            request = request.header(IF_MODIFIED_SINCE, since);
        }
        let request = request.body(Body::empty())?;
        line.sender.ready().await?;
        let (parts, body) = line.sender.send_request(request).await?.into_parts();
        let body = to_bytes(Body::new(body), LONGEST).await?;
        match parts.status {
            StatusCode::NOT_MODIFIED => Ok(Answer::NotModified),
            StatusCode::OK => {
                ensure!(!body.is_empty(), "a configuration without a byte");
                let date = parts.headers.get(DATE).context("an answer has a date")?;
                let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
                *since = Some(date.clone());
                Ok(Answer::Config)
            }
            status => bail!("{status}: {}", String::from_utf8_lossy(&body)),
        }
    }

    fn since(&self) -> Option<HeaderValue> {
        let since = self.since.lock();
        since.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As a device polls: with a connection of its own. Also gives the time of the request alone.
    pub(crate) async fn poll(&self, gateway: SocketAddr) -> Result<(Answer, Duration)> {
        let polled = async {
            let mut line = self.connect(gateway).await?;
            let asked = Instant::now();
            let answer = self.ask(&mut line).await?;
            Ok::<_, anyhow::Error>((answer, asked.elapsed()))
        };
        let polled = tokio::time::timeout(PATIENCE, polled).await;
        polled.with_context(|| format!("no answer within {PATIENCE:?}"))?
    }
}
