//! REST: requests with the tokens and the authority of the context, and what an answer other than
//! success means.

mod files;

use std::sync::Arc;
use std::time::Duration;

use foghorn_rest_types::fog::{ErrorBody, FogObject, ReadListError, Row, read_list, read_one};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Lists of a large fleet are tens of megabytes.
const LARGEST_ANSWER: u64 = 512 << 20;

/// One server, seen through its REST API.
pub struct Api {
    agent: ureq::Agent,
    base: String,
    api_token: String,
    user_token: String,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("could not read the certificate authority of this server")]
    Authority(#[source] ureq::Error),
    #[error("could not reach {server}")]
    Unreachable { server: String, source: ureq::Error },
    #[error("{server} did not accept the tokens")]
    Credentials { server: String },
    /// The tokens are valid, but the role is insufficient, or there were too many attempts.
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
    #[error("the server answered {status} to {request}: {message}")]
    Server {
        status: u16,
        request: String,
        message: String,
    },
    #[error("could not read the answer to {request}")]
    Answer {
        request: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let (exit, advice) = match &error {
            ApiError::Authority(_) => (
                Exit::Usage,
                Some("log in again with --ca or --ca-fingerprint"),
            ),
            ApiError::Unreachable { source, .. } if is_distrust(source) => (
                Exit::Failed,
                Some(
                    "the server's certificate was not accepted: log in with --ca FILE or --ca-fingerprint SHA",
                ),
            ),
            ApiError::Unreachable { .. } => (
                Exit::Failed,
                Some(
                    "check the address and that the server is running; `foghorn doctor` shows details",
                ),
            ),
            ApiError::Credentials { .. } => {
                (Exit::Refused, Some("run `foghorn login` with valid tokens"))
            }
            ApiError::Forbidden(_) => (Exit::Refused, None),
            ApiError::NotFound(_) => (Exit::NotFound, None),
            ApiError::Conflict(_) => (
                Exit::Conflict,
                Some(
                    "see `list` and `task list --active` for what exists, then choose another name or wait",
                ),
            ),
            ApiError::Invalid(_) => (Exit::Usage, None),
            ApiError::Server { .. } => (Exit::Failed, Some("see the server's log")),
            ApiError::Answer { .. } => (
                Exit::Failed,
                Some("client and server may have different versions"),
            ),
        };
        let failure = Failure::new(exit, error.to_string());
        let failure = match std::error::Error::source(&error) {
            Some(_) => match error {
                ApiError::Authority(source) | ApiError::Unreachable { source, .. } => {
                    failure.caused_by(source)
                }
                ApiError::Answer { source, .. } => failure.caused_by(source),
                _ => failure,
            },
            None => failure,
        };
        match advice {
            Some(advice) => failure.advise(advice),
            None => failure,
        }
    }
}

impl Api {
    /// # Errors
    /// When the authority in the context is not a certificate.
    pub fn new(context: &Context) -> Result<Self, ApiError> {
        let roots = match &context.ca_pem {
            Some(pem) => {
                RootCerts::Specific(Arc::new(certificates(pem).map_err(ApiError::Authority)?))
            }
            None => RootCerts::WebPki,
        };
        let agent = agent(TlsConfig::builder().root_certs(roots).build());
        Ok(Self {
            agent,
            base: context.server.clone(),
            api_token: data_encoding::BASE64.encode(context.api_token.as_bytes()),
            user_token: data_encoding::BASE64.encode(context.user_token.as_bytes()),
        })
    }

    #[must_use]
    pub fn server(&self) -> &str {
        &self.base
    }

    /// All objects of a class.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn list<T: FogObject>(&self) -> Result<Vec<Row<T>>, ApiError> {
        self.list_at(&format!("/fog/{}", T::CLASS), None)
    }

    /// The list at `path`, filtered by the fields of `filter` as in FOG: a GET with a body.
    pub fn list_at<T: FogObject>(
        &self,
        path: &str,
        filter: Option<Value>,
    ) -> Result<Vec<Row<T>>, ApiError> {
        let body = self.value("GET", path, filter.as_ref())?;
        read_list(body).map_err(|source| unreadable("GET", path, source))
    }

    /// One object, or `None` when there is no object with this id.
    pub fn one<T: FogObject>(&self, number: u32) -> Result<Option<Row<T>>, ApiError> {
        let path = format!("/fog/{}/{number}", T::CLASS);
        match self.value("GET", &path, None::<&Value>) {
            Ok(body) => read_one(body)
                .map(Some)
                .map_err(|source| unreadable("GET", &path, source)),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object and returns it as the server stored it.
    pub fn create<T: FogObject>(&self, body: &impl Serialize) -> Result<Row<T>, ApiError> {
        let path = format!("/fog/{}/create", T::CLASS);
        let stored = self.value("POST", &path, Some(body))?;
        read_one(stored).map_err(|source: ReadListError| unreadable("POST", &path, source))
    }

    /// Changes the fields that are in `body`.
    pub fn edit<T: FogObject>(
        &self,
        number: u32,
        body: &impl Serialize,
    ) -> Result<Row<T>, ApiError> {
        let path = format!("/fog/{}/{number}/edit", T::CLASS);
        let stored = self.value("PUT", &path, Some(body))?;
        read_one(stored).map_err(|source| unreadable("PUT", &path, source))
    }

    pub fn delete<T: FogObject>(&self, number: u32) -> Result<(), ApiError> {
        self.text(
            "DELETE",
            &format!("/fog/{}/{number}/delete", T::CLASS),
            None::<&Value>,
        )
        .map(drop)
    }

    /// A request to a native route with a typed answer.
    pub fn native<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        let answer = self.value(method, path, body)?;
        serde_json::from_value(answer).map_err(|source| unreadable(method, path, source))
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.native("GET", path, None::<&Value>)
    }

    /// The answer as JSON; an empty one is `null`.
    pub fn value(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Value, ApiError> {
        let text = self.text(method, path, body)?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|source| unreadable(method, path, source))
    }

    /// The answer as text. Everything but 2xx is an error.
    pub fn text(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<String, ApiError> {
        let unreachable = |source| ApiError::Unreachable {
            server: self.base.clone(),
            source,
        };
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token)
            .header("content-type", "application/json");
        let bytes = match body {
            Some(body) => {
                serde_json::to_vec(body).map_err(|source| unreadable(method, path, source))?
            }
            None => Vec::new(),
        };
        let request = request
            .body(bytes)
            .map_err(|error| unreachable(error.into()))?;
        let mut response = if body.is_some() {
            self.agent.run(
                self.agent
                    .configure_request(request)
                    .allow_non_standard_methods(true)
                    .build(),
            )
        } else {
            let (parts, _) = request.into_parts();
            self.agent.run(ureq::http::Request::from_parts(parts, ()))
        }
        .map_err(unreachable)?;
        let status = response.status().as_u16();
        let problem = response.headers().get("foghorn-problem");
        let problem = problem.and_then(|text| text.to_str().ok().map(str::to_owned));
        let text = response
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER)
            .read_to_string()
            .map_err(unreachable)?;
        if (200..300).contains(&status) {
            Ok(text)
        } else {
            Err(self.refusal(status, method, path, &text, problem))
        }
    }

    /// The time of the server's clock, as an HTTP date.
    pub fn date(&self) -> Result<Option<String>, ApiError> {
        let unreachable = |source| ApiError::Unreachable {
            server: self.base.clone(),
            source,
        };
        let response = self
            .agent
            .get(format!("{}/healthz", self.base))
            .call()
            .map_err(unreachable)?;
        Ok(response
            .headers()
            .get("date")
            .and_then(|date| date.to_str().ok())
            .map(str::to_owned))
    }

    /// Where FOG's dialect has no words for a refusal, they are in the header `foghorn-problem`.
    fn refusal(
        &self,
        status: u16,
        method: &str,
        path: &str,
        body: &str,
        problem: Option<String>,
    ) -> ApiError {
        let said = serde_json::from_str::<ErrorBody>(body)
            .ok()
            .map(|body| match body.field {
                Some(field) => format!("{field}: {}", body.error),
                None => body.error,
            });
        let request = format!("{method} {path}");
        match (said, problem) {
            // FOG answers 404 to objects that it does not take.
            (None, Some(problem)) if status == 404 && path.ends_with("/create") => {
                ApiError::Invalid(format!(
                    "the server refused {request}: {}",
                    with_options(problem)
                ))
            }
            (said, problem) => classify(status, said.or(problem), &request, &self.base),
        }
    }
}

/// Whether the connection failed because of the server's certificate. Errors of the handshake are
/// reported as I/O errors.
fn is_distrust(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => true,
        ureq::Error::Io(error) => error
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>()),
        _ => false,
    }
}

/// FOG's statuses do not distinguish a conflict from a crash; its few fixed sentences do.
fn classify(status: u16, said: Option<String>, request: &str, server: &str) -> ApiError {
    let message = said.map_or_else(|| "no reason was given".to_owned(), with_options);
    let lower = message.to_lowercase();
    let taken = [
        "already created",
        "already a member of an active task",
        "already in use",
        "is in use by task",
        "is taken",
        "belongs to",
    ]
    .iter()
    .any(|part| lower.contains(part));
    match status {
        403 if lower.contains("needs the role") || lower.contains("turned off") => {
            ApiError::Forbidden(format!("the server refused {request}: {message}"))
        }
        302 => {
            ApiError::Forbidden("the API is turned off: `foghorn api on` turns it on".to_owned())
        }
        429 => ApiError::Forbidden(format!("the server refused {request}: {message}")),
        401 | 403 => ApiError::Credentials {
            server: server.to_owned(),
        },
        404 => ApiError::NotFound(format!("the server does not know {request}: {message}")),
        409 => ApiError::Conflict(format!("the server refused {request}: {message}")),
        500 if taken => ApiError::Conflict(format!("the server refused {request}: {message}")),
        400 | 413 | 417 | 422 => {
            ApiError::Invalid(format!("the server refused {request}: {message}"))
        }
        _ => ApiError::Server {
            status,
            request: request.to_owned(),
            message,
        },
    }
}

/// Fields of the API that refusals speak of, and what sets them here.
const SET_BY: [(&str, &str); 3] = [
    ("imagePartitionTypeID", "foghorn image edit --part"),
    ("imageTypeID", "foghorn image edit --all-disks or --raw"),
    ("kernelDevice", "foghorn host edit --disk"),
];

/// A sentence of the server, with the options for the fields that it names.
fn with_options(said: String) -> String {
    let named = SET_BY.iter().filter(|(field, _)| said.contains(field));
    let options: Vec<String> = named
        .map(|(field, command)| format!("{field} is set by `{command}`"))
        .collect();
    if options.is_empty() {
        said
    } else {
        format!("{said} ({})", options.join(", "))
    }
}

fn unreadable(
    method: &str,
    path: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ApiError {
    ApiError::Answer {
        request: format!("{method} {path}"),
        source: source.into(),
    }
}

/// An HTTP agent with a time limit for every request.
pub(crate) fn agent(tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(Duration::from_secs(120)))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("foghorn/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
        .into()
}

/// All certificates in a PEM text.
pub(crate) fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, ureq::Error> {
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(certificate) = item? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        Err(ureq::Error::Tls("the text has no certificate"))
    } else {
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(status: u16, said: Option<&str>) -> Exit {
        Failure::from(classify(
            status,
            said.map(str::to_owned),
            "GET /fog/host",
            "https://fog",
        ))
        .exit()
    }

    #[test]
    fn every_answer_has_its_exit_code() {
        assert_eq!(exit_of(401, None), Exit::Refused);
        assert_eq!(exit_of(403, None), Exit::Refused);
        assert_eq!(
            exit_of(
                403,
                Some("this needs the role operator, and anna has read-only")
            ),
            Exit::Refused
        );
        assert_eq!(exit_of(429, Some("too many failed log-ins")), Exit::Refused);
        assert_eq!(exit_of(302, None), Exit::Refused);
        assert_eq!(exit_of(404, None), Exit::NotFound);
        assert_eq!(exit_of(409, Some("no active task")), Exit::Conflict);
        assert_eq!(
            exit_of(417, Some("Required database field is empty")),
            Exit::Usage
        );
        assert_eq!(exit_of(500, Some("Already created")), Exit::Conflict);
        assert_eq!(
            exit_of(500, Some("Host is already a member of an active task")),
            Exit::Conflict
        );
        assert_eq!(exit_of(500, None), Exit::Failed);
        assert_eq!(exit_of(503, None), Exit::Failed);
    }

    #[test]
    fn fields_of_the_api_come_with_the_options_that_set_them() {
        assert_eq!(with_options("no".to_owned()), "no");
        let said = with_options("set imageTypeID to 1".to_owned());
        assert!(said.contains("--all-disks or --raw") && !said.contains("--part"));
    }
}
