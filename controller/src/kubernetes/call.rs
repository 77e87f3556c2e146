//! One call of the API server: its certificate is verified by the cluster's own authority, nothing is
//! followed, everything is bounded.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::review::{PATH, ReviewError, question};
use crate::config::KubernetesConfig;

/// The whole exchange.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// A review has the token, and some lines.
const MOST_READ: u64 = 256 << 10;
/// What is shown of an answer that is no review.
const MOST_SHOWN: usize = 300;

/// What one call needs, so that it can be made elsewhere.
pub(super) struct Call {
    server: String,
    ca_file: PathBuf,
    token_file: PathBuf,
    body: String,
}

impl Call {
    pub(super) fn new(config: &KubernetesConfig, token: &str) -> Self {
        Self {
            server: config.api_server.clone(),
            ca_file: config.ca_file.clone(),
            token_file: config.token_file.clone(),
            body: question(token, &config.audience),
        }
    }

    /// The body of the answer. Blocking.
    pub(super) fn send(self) -> Result<String, ReviewError> {
        let authorities = authorities(&self.ca_file)?;
        let what = "the token of this controller for the API server";
        let token = read(&self.token_file, what)?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .tls_config(
                TlsConfig::builder()
                    .root_certs(RootCerts::new_with_certs(&authorities))
                    .build(),
            )
            .timeout_global(Some(TIME_LIMIT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The API server is in the cluster, or next to it.
            .proxy(None)
            .build()
            .into();
        let server = self.server;
        let failed = |source| ReviewError::Unreachable {
            server: server.clone(),
            source: Box::new(source),
        };
        let mut answer = agent
            .post(format!("{server}{PATH}"))
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .send(self.body)
            .map_err(failed)?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(MOST_READ);
        let text = body.read_to_string().map_err(failed)?;
        if status.is_success() {
            return Ok(text);
        }
        Err(refusal(server, status.as_u16(), &text))
    }
}

/// What the API server says when it does not do what it was asked.
#[derive(Deserialize)]
struct Said {
    message: String,
}

fn refusal(server: String, status: u16, text: &str) -> ReviewError {
    let said = serde_json::from_str(text).map_or_else(
        |_| text.chars().take(MOST_SHOWN).collect(),
        |said: Said| said.message,
    );
    match status {
        401 => ReviewError::Unknown {
            server,
            status,
            said,
        },
        403 => ReviewError::Forbidden {
            server,
            status,
            said,
        },
        _ => ReviewError::Failed {
            server,
            status,
            said,
        },
    }
}

fn read(path: &Path, what: &'static str) -> Result<String, ReviewError> {
    std::fs::read_to_string(path).map_err(|source| ReviewError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, ReviewError> {
    let pem = read(path, "the authority of the API server")?;
    let no_authority = || ReviewError::NoAuthority {
        path: path.to_owned(),
    };
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(one) = item.map_err(|_| no_authority())? {
            found.push(one);
        }
    }
    if found.is_empty() {
        return Err(no_authority());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_refuses_says_what_to_do() {
        let text = r#"{"kind":"Status","status":"Failure","message":"tokenreviews.authentication.k8s.io is forbidden: User \"system:serviceaccount:fog:controller\" cannot create resource","reason":"Forbidden","code":403}"#;
        let refused = refusal("https://k8s".to_owned(), 403, text);
        assert!(!refused.is_of_the_token());
        let said = refused.to_string();
        for part in ["https://k8s", "fog:controller", "system:auth-delegator"] {
            assert!(said.contains(part), "{said}");
        }
        let said = refusal("https://k8s".to_owned(), 401, "{}").to_string();
        assert!(said.contains("kubernetes.token_file"), "{said}");
        let said = refusal("https://k8s".to_owned(), 503, &"x".repeat(1000)).to_string();
        assert!(said.contains("(503)") && said.len() < 500, "{said}");
    }

    #[test]
    fn a_file_without_certificates_is_no_authority() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        assert!(matches!(authorities(&path), Err(ReviewError::Read { .. })));
        std::fs::write(&path, "none").unwrap();
        assert!(matches!(
            authorities(&path),
            Err(ReviewError::NoAuthority { .. })
        ));
    }
}
