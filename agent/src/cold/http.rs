//! HTTP for the object store: hyper over rustls with ring, as everything else here, instead of the
//! client that `object_store` would bring along.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector as Tcp};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower::Service;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// From the last byte of the request to the first one of the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(60);

/// The certificates that the endpoint's may be signed with cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read the certificate of the authority in {path}")]
    Ca {
        path: String,
        source: rustls::pki_types::pem::Error,
    },
    #[error("the certificate of the authority in {path} cannot be used")]
    Root { path: String, source: rustls::Error },
    #[error("could not set up TLS")]
    Tls(#[from] rustls::Error),
}

/// Makes the one client of a bucket.
#[derive(Clone)]
pub(super) struct Http(Client<Wires, HttpRequestBody>);

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Http {
    /// `ca`: the only authority that counts, instead of the public ones.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, TlsError> {
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN));
        let tls = TlsConnector::from(Arc::new(tls(ca)?));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .build(Wires { tcp, tls });
        Ok(Self(client))
    }
}

fn tls(ca: Option<&Path>) -> Result<rustls::ClientConfig, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let path = file.display().to_string();
            let failed = |source| TlsError::Ca {
                path: path.clone(),
                source,
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(failed)? {
                let added = roots.add(certificate.map_err(failed)?);
                added.map_err(|source| TlsError::Root {
                    path: path.clone(),
                    source,
                })?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = match timeout(ANSWER_WITHIN, self.0.request(request)).await {
            Ok(answer) => answer.map_err(failed)?,
            Err(elapsed) => return Err(HttpError::new(HttpErrorKind::Timeout, elapsed)),
        };
        let (head, body) = answer.into_parts();
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}

fn failed(error: ClientError) -> HttpError {
    let kind = match error.is_connect() {
        true => HttpErrorKind::Connect,
        false => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, error)
}

/// A connection, with TLS or without.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Wire = TokioIo<Box<dyn Io>>;

impl Connection for Box<dyn Io> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[derive(Clone)]
struct Wires {
    tcp: Tcp,
    tls: TlsConnector,
}

impl Service<Uri> for Wires {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_ready(context).map_err(io::Error::other)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, tls) = (self.tcp.call(uri.clone()), self.tls.clone());
        Box::pin(async move {
            let tcp = connecting.await.map_err(io::Error::other)?.into_inner();
            if uri.scheme_str() != Some("https") {
                return Ok(TokioIo::new(Box::new(tcp) as Box<dyn Io>));
            }
            let host = uri.host().unwrap_or_default();
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            let secured = timeout(CONNECT_WITHIN, tls.connect(name, tcp)).await;
            let secured = secured.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(TokioIo::new(Box::new(secured) as Box<dyn Io>))
        })
    }
}
