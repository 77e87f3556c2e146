//! A real HTTP or HTTPS server that takes webhooks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use ring::hmac;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::native::fleet::PATIENCE;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Taken {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Checks the signature as a receiver would.
    pub(super) fn is_signed_with(&self, secret: &str) -> bool {
        let key = BASE64
            .decode(secret.strip_prefix("whsec_").unwrap().as_bytes())
            .unwrap();
        let text = format!(
            "{}.{}.{}",
            self.id(),
            self.headers["webhook-timestamp"],
            self.body
        );
        let given = self.headers["webhook-signature"].strip_prefix("v1,");
        let given = BASE64.decode(given.unwrap().as_bytes()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        hmac::verify(&key, text.as_bytes(), &given).is_ok()
    }
}

/// What answers with this status never answers.
pub(super) const SILENT: u16 = 0;

pub(crate) struct Receiver {
    pub(crate) url: String,
    /// Of an HTTPS server.
    pub(crate) ca_pem: String,
    taken: watch::Receiver<Vec<Taken>>,
    answer: Arc<AtomicU16>,
}

#[derive(Clone)]
struct Shared {
    taken: Arc<watch::Sender<Vec<Taken>>>,
    answer: Arc<AtomicU16>,
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let words = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let taken = Taken {
        headers: words.collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let answer = shared.answer.load(Ordering::SeqCst);
    shared.taken.send_modify(|all| all.push(taken));
    if answer == SILENT {
        std::future::pending::<()>().await;
    }
    let status = StatusCode::from_u16(answer).unwrap();
    let elsewhere = [("location", "http://127.0.0.1:1/elsewhere")];
    (status, elsewhere, "so it is").into_response()
}

impl Receiver {
    pub(crate) async fn http() -> Self {
        Self::start(false).await
    }

    pub(crate) async fn https() -> Self {
        Self::start(true).await
    }

    async fn start(with_tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, taken) = watch::channel(Vec::new());
        let answer = Arc::new(AtomicU16::new(200));
        let shared = Shared {
            taken: Arc::new(sender),
            answer: answer.clone(),
        };
        let (acceptor, ca_pem) = acceptor();
        let scheme = if with_tls { "https" } else { "http" };
        let url = format!("{scheme}://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let router = Router::new().fallback(take).with_state(shared);
            while let Ok((stream, _)) = listener.accept().await {
                let (router, acceptor) = (router.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let service = TowerToHyperService::new(router);
                    let server = Builder::new(TokioExecutor::new());
                    if with_tls {
                        let Ok(stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let _end = server.serve_connection(TokioIo::new(stream), service).await;
                    } else {
                        let _end = server.serve_connection(TokioIo::new(stream), service).await;
                    }
                });
            }
        });
        Self {
            url,
            ca_pem,
            taken,
            answer,
        }
    }

    /// With which status it answers from now on.
    pub(crate) fn answers(&self, status: u16) {
        self.answer.store(status, Ordering::SeqCst);
    }

    pub(crate) fn so_far(&self) -> Vec<Taken> {
        self.taken.borrow().clone()
    }

    /// Waits until it has taken so many requests.
    pub(crate) async fn taken(&self, count: usize) -> Vec<Taken> {
        let mut taken = self.taken.clone();
        let enough = taken.wait_for(|all| all.len() >= count);
        let all = tokio::time::timeout(PATIENCE, enough).await;
        all.expect("the requests come in time").unwrap().clone()
    }
}

/// TLS with a certificate of its own for loopback.
pub(crate) fn acceptor() -> (TlsAcceptor, String) {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}
