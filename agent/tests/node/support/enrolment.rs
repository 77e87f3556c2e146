//! The two HTTPS calls of enrolment, as the controller answers them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foghorn_proto::http::{
    CA_PATH, ENROL_PATH, EnrolRequest, EnrolResponse, MANY_JOIN_PREFIX, Problem,
};
use foghorn_types::StorageNodeId;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::{Authority, CONTROLLER_NAME};
use super::controller::node_name;

/// Secret of a second good token.
pub const ANOTHER: &str = "another-good-secret";
/// Token of the service account that is let in.
pub const OF_THE_POD: &str = "header.claims.signature";

/// What was asked, and how often an answer gets lost.
#[derive(Default)]
pub struct Asked {
    pub requests: Mutex<Vec<EnrolRequest>>,
    pub lost: AtomicUsize,
}

pub struct Enrolment {
    pub authority: Arc<Authority>,
    /// The one token that is good.
    pub token: String,
    pub link_address: String,
    pub lifetime: Duration,
    pub asked: Arc<Asked>,
}

impl Enrolment {
    /// Whether this one is let in.
    fn is_good(&self, request: &EnrolRequest) -> bool {
        if request.service_account_token.is_some() {
            let is_of_the_pod = request.service_account_token.as_deref() == Some(OF_THE_POD);
            return is_of_the_pod && request.name.as_ref() == Some(&node_name());
        }
        let token = &request.join_token;
        match token.strip_prefix(MANY_JOIN_PREFIX) {
            Some(rest) => self.token.ends_with(rest) && request.name.as_ref() == Some(&node_name()),
            // It belongs to a node, and an older controller takes no name.
            None => request.name.is_none() && (*token == self.token || token.contains(ANOTHER)),
        }
    }
}

/// Answers until the task is aborted.
pub async fn serve(listener: TcpListener, enrolment: Enrolment) {
    let issued = enrolment.authority.controller();
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        // One after the other is enough for agents that enrol once; one that gives up spoils
        // nothing.
        let _ = answer(&acceptor, stream, &enrolment).await;
    }
}

async fn answer(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    enrolment: &Enrolment,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    let mut head = Vec::new();
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        head.push(std::mem::take(&mut line));
    }
    let path = head
        .first()
        .and_then(|request| request.split(' ').nth(1))
        .unwrap_or_default()
        .to_owned();
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let (status, text) = respond(&path, &body, enrolment);
    let answer = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn respond(path: &str, body: &[u8], enrolment: &Enrolment) -> (u16, String) {
    match path {
        CA_PATH => (200, enrolment.authority.pem.clone()),
        ENROL_PATH => {
            let request: EnrolRequest = serde_json::from_slice(body).unwrap();
            enrolment
                .asked
                .requests
                .lock()
                .unwrap()
                .push(request.clone());
            let lost = |left: usize| left.checked_sub(1);
            let order = Ordering::SeqCst;
            if enrolment
                .asked
                .lost
                .fetch_update(order, order, lost)
                .is_ok()
            {
                return (503, "the answer got lost".to_owned());
            }
            if !enrolment.is_good(&request) {
                let problem = Problem {
                    error: "this token was used already".into(),
                    field: Some("join_token".into()),
                };
                return (403, serde_json::to_string(&problem).unwrap());
            }
            let response = EnrolResponse {
                node: node_name(),
                node_id: StorageNodeId::new(1).unwrap(),
                chain_pem: enrolment.authority.sign_node_pem(
                    &node_name(),
                    &request.csr_pem,
                    enrolment.lifetime,
                ),
                link_address: enrolment.link_address.clone(),
                link_server_name: CONTROLLER_NAME.into(),
            };
            (200, serde_json::to_string(&response).unwrap())
        }
        _ => (404, String::new()),
    }
}
