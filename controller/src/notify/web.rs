//! One HTTP request to a receiver: no redirects, everything bounded, TLS verified.

use std::io::Read as _;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

use super::{MOST_SHOWN, SendError, TIME_LIMIT};

/// Bytes of an answer that are read.
const MOST_READ: u64 = 2048;

/// Sends a body. The URL may contain secrets: no error names it.
pub(super) async fn post(
    url: String,
    ca_pem: Option<String>,
    headers: Vec<(&'static str, String)>,
    body: String,
) -> Result<(), SendError> {
    let work = move || post_blocking(&url, ca_pem.as_deref(), headers, body);
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(SendError::Aborted),
    }
}

fn post_blocking(
    url: &str,
    ca_pem: Option<&str>,
    headers: Vec<(&'static str, String)>,
    body: String,
) -> Result<(), SendError> {
    let agent = agent(ca_pem)?;
    let mut request = agent
        .post(url)
        .header("content-type", "application/json")
        .header("user-agent", concat!("foghorn/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request
        .send(body)
        .map_err(|error| SendError::Connection(words(&error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        return Err(SendError::Redirect(status.as_u16()));
    }
    let mut bytes = Vec::new();
    // What cannot be read is not shown.
    let _cut_off = answer
        .into_body()
        .into_reader()
        .take(MOST_READ)
        .read_to_end(&mut bytes);
    Err(SendError::Status {
        status: status.as_u16(),
        excerpt: excerpt(&bytes),
    })
}

fn agent(ca_pem: Option<&str>) -> Result<Agent, SendError> {
    let roots = match ca_pem {
        None => RootCerts::WebPki,
        Some(pem) => {
            let mut certificates = Vec::new();
            for item in parse_pem(pem.as_bytes()) {
                if let PemItem::Certificate(one) = item.map_err(|_| SendError::Authority)? {
                    certificates.push(one);
                }
            }
            if certificates.is_empty() {
                return Err(SendError::Authority);
            }
            RootCerts::new_with_certs(&certificates as &[Certificate<'static>])
        }
    };
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(TIME_LIMIT))
        .build();
    Ok(Agent::new_with_config(config))
}

/// The error without the URL.
fn words(error: &Error) -> String {
    match error {
        Error::HostNotFound => "the name of the receiver is not known".to_owned(),
        Error::Timeout(_) => "the receiver did not answer within 10 seconds".to_owned(),
        Error::ConnectionFailed => "could not connect to the receiver".to_owned(),
        Error::Io(source) => format!("could not reach the receiver: {source}"),
        Error::Rustls(source) => format!("TLS: {source}"),
        Error::BadUri(_) | Error::Http(_) => "its address is not valid".to_owned(),
        other => format!("could not reach the receiver: {other}"),
    }
}

/// The beginning of an answer, on one line.
fn excerpt(bytes: &[u8]) -> String {
    let text = super::one_line(&String::from_utf8_lossy(bytes), MOST_SHOWN);
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}
