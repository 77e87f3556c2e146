//! A plain REST client for tests: sends any request and returns any answer.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

pub struct Rest {
    pub url: String,
    pub ca_pem: String,
    pub api_token: String,
    pub user_token: String,
    agent: ureq::Agent,
    /// Of the last change, where answers are to show it.
    revision: Option<Seen>,
}

/// A revision that several clients know of.
pub type Seen = Arc<AtomicU64>;

/// In answers to changes, and in requests that are to see them.
const REVISION: &str = "foghorn-revision";

/// The answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    headers: ureq::http::HeaderMap,
    request: String,
}

impl Answer {
    /// The text of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The JSON of a successful answer; anything else is an error that shows the answer.
    pub fn ok(self) -> Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "{} was answered {}: {}",
            self.request,
            self.status,
            self.body
        );
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.body)
            .with_context(|| format!("the answer to {} is not JSON: {}", self.request, self.body))
    }
}

/// Far longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(30);

fn agent(tls: TlsConfig, timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .build()
        .into()
}

/// Clients of which each sees what any of them has changed.
#[must_use]
pub fn following(rests: Vec<Rest>) -> Vec<Rest> {
    let seen = Seen::default();
    rests
        .into_iter()
        .map(|rest| rest.following(&seen))
        .collect()
}

impl Rest {
    pub fn new(url: &str, ca_pem: &str, api_token: &str, user_token: &str) -> Result<Self> {
        Self::with_timeout(url, ca_pem, (api_token, user_token), TIMEOUT)
    }

    /// A client that gives up early.
    pub fn with_timeout(
        url: &str,
        ca_pem: &str,
        (api_token, user_token): (&str, &str),
        timeout: Duration,
    ) -> Result<Self> {
        let root = Certificate::from_pem(ca_pem.as_bytes())?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .build();
        Ok(Self {
            url: url.to_owned(),
            ca_pem: ca_pem.to_owned(),
            api_token: api_token.to_owned(),
            user_token: user_token.to_owned(),
            agent: agent(tls, timeout),
            revision: None,
        })
    }

    /// A client that sees what it and others with the same `seen` have changed, whichever controller
    /// answers.
    #[must_use]
    pub fn following(self, seen: &Seen) -> Self {
        let revision = Some(seen.clone());
        Self { revision, ..self }
    }

    /// The certificate of the authority, fetched without verification: the test started the server
    /// itself.
    pub fn fetch_ca(url: &str) -> Result<String> {
        let tls = TlsConfig::builder().disable_verification(true).build();
        Ok(agent(tls, TIMEOUT)
            .get(format!("{url}/foghorn/v1/ca"))
            .call()?
            .body_mut()
            .read_to_string()?)
    }

    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, None)
    }

    /// The bytes of a successful answer.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let mut response = self
            .agent
            .get(format!("{}{path}", self.url))
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token)
            .call()?;
        ensure!(
            response.status() == 200,
            "GET {path}: {}",
            response.status()
        );
        Ok(response.body_mut().read_to_vec()?)
    }

    /// The bytes of the answer to a JSON text.
    pub fn post_for_bytes(&self, path: &str, body: &str) -> Result<Vec<u8>> {
        let mut response = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token)
            .header("content-type", "application/json")
            .send(body)?;
        ensure!(
            response.status() == 200,
            "POST {path}: {}",
            response.status()
        );
        Ok(response.body_mut().read_to_vec()?)
    }

    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send("POST", path, Some(body.to_string().into_bytes()))
    }

    pub fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send("PUT", path, Some(body.to_string().into_bytes()))
    }

    /// Reads an endless answer, such as that of events, until the server ends it, and gives what came.
    pub fn listen(&self, path: &str, last: Option<&str>) -> Result<String> {
        let request = self
            .agent
            .get(format!("{}{path}", self.url))
            .config()
            .timeout_global(None)
            .build()
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token)
            // The connection ends with the stream, and is not used again.
            .header("connection", "close");
        let request = match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        let mut answer = request.call()?;
        ensure!(
            answer.status().as_u16() == 200,
            "events: {}",
            answer.status()
        );
        let mut text = String::new();
        answer.body_mut().as_reader().read_to_string(&mut text)?;
        Ok(text)
    }

    /// A request with arbitrary bytes as its body.
    pub fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Result<Answer> {
        self.send_with(method, path, body, &[])
    }

    /// As [`Rest::send`], with additional headers; a token given here replaces the default one.
    pub fn send_with(
        &self,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let usual = [
            ("fog-api-token", self.api_token.as_str()),
            ("fog-user-token", self.user_token.as_str()),
            ("content-type", "application/json"),
        ];
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in usual
            .iter()
            .filter(|(name, _)| headers.iter().all(|(other, _)| other != name))
            .chain(headers)
        {
            request = request.header(*name, *value);
        }
        if let Some(seen) = &self.revision {
            request = request.header(REVISION, seen.load(Ordering::Relaxed));
        }
        let request = request.body(body.unwrap_or_default())?;
        let mut response = self
            .agent
            .run(request)
            .with_context(|| format!("{method} {path}"))?;
        let shown = response.headers().get(REVISION);
        let shown = shown.and_then(|shown| shown.to_str().ok()?.parse().ok());
        if let (Some(seen), Some(shown)) = (&self.revision, shown) {
            seen.fetch_max(shown, Ordering::Relaxed);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.body_mut().read_to_string()?,
            request: format!("{method} {path}"),
        })
    }
}
