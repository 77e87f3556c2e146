//! A plain REST client for tests: sends any request and returns any answer.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

pub struct Rest {
    pub url: String,
    pub ca_pem: String,
    pub api_token: String,
    pub user_token: String,
    agent: ureq::Agent,
}

/// The answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    request: String,
}

impl Answer {
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

fn agent(tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(std::time::Duration::from_secs(30)))
        .build()
        .into()
}

impl Rest {
    pub fn new(url: &str, ca_pem: &str, api_token: &str, user_token: &str) -> Result<Self> {
        let root = Certificate::from_pem(ca_pem.as_bytes())?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .build();
        Ok(Self {
            url: url.to_owned(),
            ca_pem: ca_pem.to_owned(),
            api_token: api_token.to_owned(),
            user_token: user_token.to_owned(),
            agent: agent(tls),
        })
    }

    /// The certificate of the authority, fetched without verification: the test started the server
    /// itself.
    pub fn fetch_ca(url: &str) -> Result<String> {
        let tls = TlsConfig::builder().disable_verification(true).build();
        Ok(agent(tls)
            .get(format!("{url}/foghorn/v1/ca"))
            .call()?
            .body_mut()
            .read_to_string()?)
    }

    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, None)
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
        let request = request.body(body.unwrap_or_default())?;
        let mut response = self
            .agent
            .run(request)
            .with_context(|| format!("{method} {path}"))?;
        Ok(Answer {
            status: response.status().as_u16(),
            body: response.body_mut().read_to_string()?,
            request: format!("{method} {path}"),
        })
    }
}
