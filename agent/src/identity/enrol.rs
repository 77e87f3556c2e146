//! The first certificate, for a join token.

use std::path::Path;
use std::time::Duration;

use foghorn_proto::http::{
    CA_PATH, ENROL_PATH, EnrolRequest, EnrolResponse, JOIN_PREFIX, Problem, TokenText,
};
use foghorn_types::Timestamp;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::NodeIdentity;
use super::authority::{self, AuthorityError};
use super::certificate::{self, CheckCertificateError};
use super::file::{SaveIdentityError, save};
use crate::controller_url::ControllerUrl;

/// The whole exchange; a controller that takes longer is not well.
const TIMEOUT: Duration = Duration::from_secs(20);
/// No certificate and no answer of ours is larger.
const ANSWER_LIMIT: u64 = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("could not fetch the certificate authority from {url}")]
    FetchAuthority {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("{url} cannot be trusted")]
    Authority { url: String, source: AuthorityError },
    #[error("could not make a key")]
    MakeKey(#[source] rcgen::Error),
    #[error(
        "could not send the join token to {url}; if it was received, it is used up and another one is needed"
    )]
    Send {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("the controller refused to enrol this node ({status}): {reason}")]
    Refused { status: u16, reason: String },
    #[error("the controller's certificate for this node cannot be used")]
    Certificate(#[source] CheckCertificateError),
    #[error("could not save the new identity")]
    Save(#[source] SaveIdentityError),
}

/// Makes a key, buys a certificate for `token`, and keeps both in `state_dir`. Blocking, at most
/// some 40 s.
///
/// # Errors
/// When the controller cannot be reached, is not the one that the token names, or refuses the
/// token.
pub fn enrol(
    state_dir: &Path,
    controller: &ControllerUrl,
    token: &TokenText,
) -> Result<NodeIdentity, EnrolError> {
    let ca_pem = fetch_authority(controller, token)?;
    let (key, request) = certificate::new_request().map_err(EnrolError::MakeKey)?;
    let csr_pem = request.pem().map_err(EnrolError::MakeKey)?;
    foghorn_faults::point!("agent.enrol.before-request");
    let answer = send_request(
        controller,
        &ca_pem,
        &EnrolRequest {
            join_token: token.to_text(JOIN_PREFIX),
            csr_pem,
        },
    )?;
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
    Ok(identity)
}

/// Asks without verifying, which is safe: of the answer, only the certificate that has the token's
/// hash is kept.
fn fetch_authority(controller: &ControllerUrl, token: &TokenText) -> Result<String, EnrolError> {
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
    authority::check(&pem, &token.ca_fingerprint)
        .map_err(|source| EnrolError::Authority { url, source })
}

fn send_request(
    controller: &ControllerUrl,
    ca_pem: &str,
    request: &EnrolRequest,
) -> Result<EnrolResponse, EnrolError> {
    let url = controller.join(ENROL_PATH);
    let failed = |source| EnrolError::Send {
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
    let reason = serde_json::from_str::<Problem>(&text).map_or(text, |problem| problem.error);
    Err(EnrolError::Refused {
        status: status.as_u16(),
        reason,
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
