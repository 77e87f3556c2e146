//! The gateway, asked by mutual TLS.

mod host_work;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use foghorn_host_config::LONGEST_DOCUMENT;
use foghorn_host_config::conditional::{format_date, parse_date};
use foghorn_host_config::sota::Sota;
use foghorn_transport::{Identity, IdentityError};
use foghorn_types::{Timestamp, chain};
use rustls::crypto::ring::default_provider;
use rustls::sign::CertifiedKey;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::check_in::connect;

/// One exchange.
const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: u64 = 1 << 16;

/// Why the gateway cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the certificate of this device cannot be used")]
    Identity(#[from] IdentityError),
    #[error("the certificate of this device and its key do not belong together")]
    Key(#[source] rustls::Error),
    #[error("could not use the key of this device for TLS")]
    Tls(#[source] Box<ureq::Error>),
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("could not reach the gateway at {url}")]
    Send {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("the gateway at {url} sent more than this machine takes")]
    TooLong { url: String },
    #[error("the gateway at {url} answered {status}: {reason}")]
    Status {
        url: String,
        status: u16,
        reason: String,
    },
    #[error("the answer of the gateway at {url} cannot be read")]
    Unreadable {
        url: String,
        source: serde_json::Error,
    },
    #[error("stopped while waiting for the gateway")]
    Stopped,
}

impl FetchError {
    /// The answer, if it says no.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether it may be another time.
    fn is_transient(&self) -> bool {
        match self {
            Self::Send { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::TooLong { .. } | Self::Unreadable { .. } | Self::Stopped => false,
        }
    }
}

/// The config, if it is another one than this machine has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// 204: there is none, which removes nothing.
    Nothing,
    /// 304.
    Unchanged,
    /// 200, with what `Date` says.
    Config {
        bytes: Vec<u8>,
        date: Option<Timestamp>,
    },
}

/// Tells this start of this machine from every other one, so that a second machine with the same identity is found out.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const BOOT_HEADER: &str = "x-foghorn-boot";
/// The tags that this machine follows; empty when it follows none.
const TAGS_HEADER: &str = "x-ats-tags";

/// See above.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    agent: Agent,
    base: String,
    /// `None` where the kernel does not say.
    boot: Option<String>,
    /// Which tags this machine follows, as its header says.
    tags: String,
}

impl Gateway {
    /// # Errors
    /// When this device has no certificate that can be used.
    pub(super) fn new(sota: &Sota, tags: String) -> Result<Self, GatewayError> {
        let [authority, certificate, key] = [&sota.authority, &sota.certificate, &sota.key];
        let key_pem = read(key)?;
        let identity = Identity::from_pem(&read(authority)?, &read(certificate)?, &key_pem)?;
        // The HTTP client would panic.
        belong_together(&identity).map_err(GatewayError::Key)?;
        let certificates = |of: &[rustls::pki_types::CertificateDer<'_>]| {
            let owned = of
                .iter()
                .map(|der| Certificate::from_der(der.as_ref()).to_owned());
            owned.collect::<Vec<_>>()
        };
        let key = PrivateKey::from_pem(key_pem.as_bytes());
        let key = key.map_err(|source| GatewayError::Tls(Box::new(source)))?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&certificates(&identity.ca)))
            .client_cert(Some(ClientCert::new_with_certs(
                &certificates(&identity.chain),
                key,
            )))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Ok(Self {
            agent: connect::agent(config),
            base: sota.server.clone(),
            boot: fs::read_to_string(BOOT_ID).ok(),
            tags,
        })
    }

    /// The same gateway, to which this machine says that it follows other tags.
    pub(super) fn following(&self, tags: String) -> Self {
        let other = self.clone();
        Self { tags, ..other }
    }

    /// Asks for the config unless it is the one of `since`; tries again after each of the `pauses` when nobody answers or the
    /// gateway fails.
    ///
    /// # Errors
    /// When it did not answer, or with a status that says no.
    pub(super) fn config(
        &self,
        since: Option<Timestamp>,
        pauses: &[Duration],
        stop: &CancellationToken,
    ) -> Result<Answer, FetchError> {
        let mut pauses = pauses.iter();
        loop {
            let error = match self.ask(since) {
                Err(error) if error.is_transient() => error,
                other => return other,
            };
            let Some(pause) = pauses.next() else {
                return Err(error);
            };
            tracing::warn!(error = %chain(&error), ?pause, "the gateway does not answer; trying again");
            sleep(*pause, stop)?;
        }
    }

    pub(super) fn ask(&self, since: Option<Timestamp>) -> Result<Answer, FetchError> {
        let url = format!("{}/config", self.base);
        let mut request = self.agent.get(&url);
        if let Some(since) = since {
            request = request.header("if-modified-since", format_date(since));
        }
        if let Some(boot) = &self.boot {
            request = request.header(BOOT_HEADER, boot.trim());
        }
        request = request.header(TAGS_HEADER, &self.tags);
        let answer = request.call().map_err(|source| failed(&url, source))?;
        let date = answer
            .headers()
            .get("date")
            .and_then(|date| date.to_str().ok());
        let date = date.and_then(parse_date);
        match answer.status().as_u16() {
            200 => {
                let bytes = body(&url, answer, LONGEST_DOCUMENT as u64)?;
                Ok(Answer::Config { bytes, date })
            }
            204 => Ok(Answer::Nothing),
            304 => Ok(Answer::Unchanged),
            status => Err(refused(&url, status, answer)),
        }
    }

    /// Has the certificate of this device renewed; the answer is PEM.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn renew(&self, request_pem: &str) -> Result<String, FetchError> {
        let url = format!("{}/certificate", self.base);
        let request = self.agent.post(&url);
        let request = request.header("content-type", "application/x-pem-file");
        let answer = taken(&url, request.send(request_pem), &[201])?;
        body_text(&url, answer)
    }

    /// Gives the gateway one file of this device's own config.
    ///
    /// # Errors
    /// When it does not take it.
    pub(super) fn give(&self, name: &str, value: &str, reason: &str) -> Result<(), FetchError> {
        let url = format!("{}/config", self.base);
        let file = json!({"name": name, "value": value, "unencrypted": true});
        let body = json!({"reason": reason, "files": [file]});
        let answer = self.agent.patch(&url).send_json(&body);
        taken(&url, answer, &[201]).map(drop)
    }

    /// Tells that a test of this id begins; the gateway's own id of it.
    ///
    /// # Errors
    /// When it does not take it.
    pub(super) fn begin_test(&self, name: &str, id: &str) -> Result<String, FetchError> {
        let url = format!("{}/tests", self.base);
        let body = json!({"name": name, "test-id": id});
        let answer = taken(&url, self.agent.post(&url).send_json(&body), &[200, 201])?;
        let text = body_text(&url, answer)?;
        let text = text.trim();
        // It becomes a part of an address.
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = (1..=100).contains(&text.len()) && text.bytes().all(is_allowed);
        let named = if fits { text } else { id };
        Ok(named.to_owned())
    }

    /// Tells how a test ended, with one artefact.
    ///
    /// # Errors
    /// When it does not take it.
    pub(super) fn end_test(&self, id: &str, end: &TestEnd<'_>) -> Result<(), FetchError> {
        let url = format!("{}/tests/{id}", self.base);
        let body =
            json!({"status": end.status, "details": end.details, "artifacts": [end.artifact]});
        taken(&url, self.agent.put(&url).send_json(&body), &[200, 201])?;
        let url = format!("{url}/{}", end.artifact);
        let request = self.agent.put(&url).header("content-type", "text/plain");
        taken(&url, request.send(end.output), &[200, 201, 204]).map(drop)
    }
}

/// How a test ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct TestEnd<'a> {
    pub(super) status: &'a str,
    pub(super) details: &'a str,
    /// Name of the output; harmless in an address.
    pub(super) artifact: &'a str,
    pub(super) output: &'a [u8],
}

/// Whether the certificate is that of the key.
///
/// # Errors
/// When it is not, or one of them cannot be used.
pub(super) fn belong_together(identity: &Identity) -> Result<(), rustls::Error> {
    let (chain, key) = (identity.chain.clone(), identity.key.clone_key());
    CertifiedKey::from_der(chain, key, &default_provider()).map(drop)
}

fn read(path: &Path) -> Result<String, GatewayError> {
    fs::read_to_string(path).map_err(|source| GatewayError::Read {
        path: path.to_owned(),
        source,
    })
}

/// In pieces, so that it ends soon when it has to.
fn sleep(pause: Duration, stop: &CancellationToken) -> Result<(), FetchError> {
    const PIECE: Duration = Duration::from_millis(100);
    let mut left = pause;
    while !stop.is_cancelled() {
        if left.is_zero() {
            return Ok(());
        }
        let piece = left.min(PIECE);
        std::thread::sleep(piece);
        left -= piece;
    }
    Err(FetchError::Stopped)
}

fn failed(url: &str, source: ureq::Error) -> FetchError {
    match source {
        ureq::Error::BodyExceedsLimit(_) => FetchError::TooLong {
            url: url.to_owned(),
        },
        source => FetchError::Send {
            url: url.to_owned(),
            source: Box::new(source),
        },
    }
}

fn body(url: &str, mut answer: Response<Body>, most: u64) -> Result<Vec<u8>, FetchError> {
    let reader = answer.body_mut().with_config().limit(most);
    reader.read_to_vec().map_err(|source| failed(url, source))
}

fn body_text(url: &str, answer: Response<Body>) -> Result<String, FetchError> {
    let bytes = body(url, answer, ANSWER_LIMIT)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn refused(url: &str, status: u16, answer: Response<Body>) -> FetchError {
    let reason = body_text(url, answer).unwrap_or_default();
    FetchError::Status {
        url: url.to_owned(),
        status,
        reason: reason.trim().chars().take(500).collect(),
    }
}

fn taken(
    url: &str,
    answer: Result<Response<Body>, ureq::Error>,
    good: &[u16],
) -> Result<Response<Body>, FetchError> {
    let answer = answer.map_err(|source| failed(url, source))?;
    let status = answer.status().as_u16();
    if good.contains(&status) {
        Ok(answer)
    } else {
        Err(refused(url, status, answer))
    }
}
