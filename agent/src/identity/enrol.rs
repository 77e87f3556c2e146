//! The first certificate, for a join token or the token of a service account.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foghorn_proto::http::{
    CA_PATH, ENROL_PATH, EnrolRequest, EnrolResponse, JoinToken, Problem, TokenText,
};
use foghorn_types::{Timestamp, chain};
use tracing::warn;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::NodeIdentity;
use super::authority::{self, AuthorityError};
use super::certificate::{self, CheckCertificateError};
use super::file::{self, SaveIdentityError, save};
use crate::config::{KnownAuthority, Offer, Ticket};
use crate::controller_url::ControllerUrl;

/// The whole exchange; a controller that takes longer is not well.
const TIMEOUT: Duration = Duration::from_secs(20);
/// No certificate and no answer of ours is larger.
const ANSWER_LIMIT: u64 = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("could not read {}, {what}", path.display())]
    Read {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} cannot be used as the authority of the controller", path.display())]
    AuthorityFile {
        path: PathBuf,
        source: AuthorityError,
    },
    #[error("could not fetch the certificate authority from {url}")]
    FetchAuthority {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("{url} cannot be trusted")]
    Authority { url: String, source: AuthorityError },
    #[error("could not make a key")]
    MakeKey(#[source] rcgen::Error),
    #[error("could not keep the new key")]
    KeepKey(#[source] SaveIdentityError),
    #[error(
        "could not send the join token to {url}; if it was received, it is used up and another one is needed"
    )]
    Send {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("could not ask {url} to let this node in")]
    Ask {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("the controller refused to enrol this node ({status}): {reason}")]
    Refused {
        status: u16,
        reason: String,
        /// What of the request is at fault, if that is known.
        field: Option<String>,
    },
    #[error("the controller's certificate for this node cannot be used")]
    Certificate(#[source] CheckCertificateError),
    #[error("could not save the new identity")]
    Save(#[source] SaveIdentityError),
}

impl EnrolError {
    /// Whether the same may succeed in a while: nobody has said no.
    #[must_use]
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::FetchAuthority { .. } | Self::Ask { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// Makes a key, gets a certificate for it with what `offer` has, and keeps both in `state_dir`.
/// Blocking, at most some 40 s.
///
/// The key is kept before anything is sent: whoever asks again with it, because the answer was lost, is
/// known by it where the token is good for that ([`Ticket::is_good_again`]).
///
/// # Errors
/// When the controller cannot be reached, is not the one to be trusted, or refuses the token.
pub fn enrol(state_dir: &Path, offer: &Offer) -> Result<NodeIdentity, EnrolError> {
    let Offer { controller, ticket } = offer;
    let ca_pem = authority_of(controller, ticket)?;
    let key = match file::next_key(state_dir) {
        Some(key) => key,
        None => {
            let key = certificate::new_key().map_err(EnrolError::MakeKey)?;
            file::save_next_key(state_dir, &key).map_err(EnrolError::KeepKey)?;
            key
        }
    };
    foghorn_faults::point!("agent.enrol.key-kept");
    let request = certificate::request_of(&key).map_err(EnrolError::MakeKey)?;
    let csr_pem = request.pem().map_err(EnrolError::MakeKey)?;
    let request = request_with(ticket, csr_pem)?;
    foghorn_faults::point!("agent.enrol.before-request");
    let answer = send_request(controller, &ca_pem, &request).map_err(|error| match error {
        // There is no second answer to it.
        EnrolError::Ask { url, source } if !ticket.is_good_again() => {
            EnrolError::Send { url, source }
        }
        error => error,
    })?;
    foghorn_faults::point!("agent.enrol.answered");
    let received = Timestamp::now();
    let leaf = certificate::leaf_of(&answer.chain_pem).map_err(EnrolError::Certificate)?;
    let expires =
        certificate::check(&leaf, &key, &answer.node, received).map_err(EnrolError::Certificate)?;
    let identity = NodeIdentity {
        node: answer.node,
        node_id: answer.node_id,
        ca_pem,
        chain_pem: answer.chain_pem,
        key_pem: key.serialize_pem(),
        link_address: answer.link_address,
        link_server_name: answer.link_server_name,
        received,
        expires,
    };
    save(state_dir, &identity).map_err(EnrolError::Save)?;
    foghorn_faults::point!("agent.enrol.saved");
    end_key(state_dir, &identity);
    Ok(identity)
}

/// The key of the identity does not wait for a certificate any more. If that cannot be written down
/// now, it is at the next start.
pub(super) fn end_key(state_dir: &Path, identity: &NodeIdentity) {
    if let Err(error) = file::end_next_key(state_dir, identity) {
        warn!(error = %chain(&error), "could not remove the copy of this node's new key");
    }
}

/// What is asked with this ticket.
fn request_with(ticket: &Ticket, csr_pem: String) -> Result<EnrolRequest, EnrolError> {
    let with = |token: &TokenText, is_for_many| {
        let token = token.clone();
        JoinToken { token, is_for_many }.to_text()
    };
    Ok(match ticket {
        Ticket::One(token) => EnrolRequest {
            join_token: with(token, false),
            csr_pem,
            ..EnrolRequest::default()
        },
        Ticket::Many { token, name } => EnrolRequest {
            join_token: with(token, true),
            csr_pem,
            name: Some(name.clone()),
            ..EnrolRequest::default()
        },
        Ticket::ServiceAccount {
            token_file, name, ..
        } => EnrolRequest {
            csr_pem,
            name: Some(name.clone()),
            service_account_token: Some(
                read(token_file, "the token of the service account")?
                    .trim()
                    .to_owned(),
            ),
            ..EnrolRequest::default()
        },
    })
}

fn read(path: &Path, what: &'static str) -> Result<String, EnrolError> {
    std::fs::read_to_string(path).map_err(|source| EnrolError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

/// The authority to trust: the one in a file, or that of the controller if it has the right hash.
fn authority_of(controller: &ControllerUrl, ticket: &Ticket) -> Result<String, EnrolError> {
    let expected = match ticket {
        Ticket::One(token) | Ticket::Many { token, .. } => &token.ca_fingerprint,
        Ticket::ServiceAccount { authority, .. } => match authority {
            KnownAuthority::Fingerprint(expected) => expected,
            KnownAuthority::File(path) => {
                let pem = read(path, "the certificate authority of the controller")?;
                return authority::first(&pem).map_err(|source| EnrolError::AuthorityFile {
                    path: path.clone(),
                    source,
                });
            }
        },
    };
    fetch_authority(controller, expected)
}

/// Asks without verifying, which is safe: of the answer, only the certificate that has this hash is
/// kept.
fn fetch_authority(controller: &ControllerUrl, expected: &str) -> Result<String, EnrolError> {
    let url = controller.join(CA_PATH);
    let agent = http(TlsConfig::builder().disable_verification(true).build());
    let read = || {
        agent
            .get(&url)
            .call()?
            .body_mut()
            .with_config()
            .limit(ANSWER_LIMIT)
            .read_to_string()
    };
    let pem = read().map_err(|source| EnrolError::FetchAuthority {
        url: url.clone(),
        source: Box::new(source),
    })?;
    authority::check(&pem, expected).map_err(|source| EnrolError::Authority { url, source })
}

fn send_request(
    controller: &ControllerUrl,
    ca_pem: &str,
    request: &EnrolRequest,
) -> Result<EnrolResponse, EnrolError> {
    let url = controller.join(ENROL_PATH);
    let failed = |source| EnrolError::Ask {
        url: url.clone(),
        source: Box::new(source),
    };
    let root = Certificate::from_pem(ca_pem.as_bytes()).map_err(failed)?;
    let agent = http(
        TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .build(),
    );
    let mut answer = agent.post(&url).send_json(request).map_err(failed)?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(ANSWER_LIMIT);
    if status.is_success() {
        return body.read_json().map_err(failed);
    }
    let text = body.read_to_string().map_err(failed)?;
    let (reason, field) = match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => (problem.error, problem.field),
        Err(_) => (text, None),
    };
    Err(EnrolError::Refused {
        status: status.as_u16(),
        reason,
        field,
    })
}

fn http(tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        // A proxy from the environment has no business between a node and its controller.
        .proxy(None)
        .build()
        .into()
}
