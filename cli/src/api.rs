//! REST: requests with the tokens and the authority of the context, and what an answer other than
//! success means.

pub mod action;
mod error;
mod files;
mod rehearsal;
mod stale;
mod state_files;
mod trouble;
pub mod verbose;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_rest_types::fog::{ErrorBody, FogObject, Row, read_list, read_one};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

pub use self::error::{ApiError, Said, Token};
use crate::context::Context;

/// Lists of a large fleet are tens of megabytes.
const LARGEST_ANSWER: u64 = 512 << 20;

/// An answer, whatever its status.
struct Answer {
    status: u16,
    /// The explanation of a refusal beside its body.
    problem: Option<String>,
    text: String,
}

fn problem_of<B>(response: &ureq::http::Response<B>) -> Option<String> {
    let problem = response.headers().get("foghorn-problem")?;
    problem.to_str().ok().map(str::to_owned)
}

/// One server, seen through its REST API.
#[derive(Clone)]
pub struct Api {
    agent: ureq::Agent,
    base: String,
    api_token: String,
    user_token: String,
    /// Names of objects that were seen, for messages that speak of ids.
    names: Arc<Mutex<HashMap<(String, u32), String>>>,
    /// Nothing is to be changed.
    rehearses: bool,
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
            names: Arc::default(),
            rehearses: false,
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
        let rows = read_list(body).map_err(unreadable)?;
        rows.iter().for_each(|row| self.remember(row));
        Ok(rows)
    }

    /// One object, or `None` when there is no object with this id.
    pub fn one<T: FogObject>(&self, number: u32) -> Result<Option<Row<T>>, ApiError> {
        let path = format!("/fog/{}/{number}", T::CLASS);
        match self.value("GET", &path, None::<&Value>) {
            Ok(body) => {
                let row = read_one(body).map_err(unreadable)?;
                self.remember(&row);
                Ok(Some(row))
            }
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object and returns it as the server stored it.
    pub fn create<T: FogObject>(&self, body: &impl Serialize) -> Result<Row<T>, ApiError> {
        let path = format!("/fog/{}/create", T::CLASS);
        let stored = self.value("POST", &path, Some(body))?;
        read_one(stored).map_err(unreadable)
    }

    /// Changes the fields that are in `body`.
    pub fn edit<T: FogObject>(
        &self,
        number: u32,
        body: &impl Serialize,
    ) -> Result<Row<T>, ApiError> {
        let path = format!("/fog/{}/{number}/edit", T::CLASS);
        let stored = self.value("PUT", &path, Some(body))?;
        read_one(stored).map_err(unreadable)
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
        serde_json::from_value(answer).map_err(unreadable)
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
        serde_json::from_str(&text).map_err(unreadable)
    }

    /// The answer as text. Everything but 2xx is an error.
    pub fn text(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<String, ApiError> {
        let body = body.map(serde_json::to_vec).transpose();
        let answer = self.exchange(method, path, body.map_err(unreadable)?)?;
        if (200..300).contains(&answer.status) {
            self.done(method, answer.text)
        } else {
            Err(self.refusal(answer.status, method, path, &answer.text, answer.problem))
        }
    }

    /// Sends a request and reads the answer, whatever it says.
    fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, ApiError> {
        let unreachable = |source| ApiError::Unreachable {
            server: self.base.clone(),
            source,
        };
        let url = format!("{}{}", self.base, self.marked(method, path));
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(&url)
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token)
            .header("content-type", "application/json");
        let has_body = body.is_some();
        let request = request
            .body(body.unwrap_or_default())
            .map_err(|error| unreachable(error.into()))?;
        let mut response = if has_body {
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
        let problem = problem_of(&response);
        verbose::exchange(method, &url, status, problem.as_deref());
        stale::warn(&response);
        let text = response
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER)
            .read_to_string()
            .map_err(unreachable)?;
        Ok(Answer {
            status,
            problem,
            text,
        })
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

    /// What an answer other than success means. Where FOG's dialect has no words for a refusal, they
    /// are in the header `foghorn-problem`.
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
            .map(said_in)
            .filter(|said| !said.is_empty())
            .map(|said| self.with_names(&said));
        let problem = problem.map(|problem| self.with_names(&problem));
        let class = path.strip_prefix("/fog/").unwrap_or_default();
        let class = class.split(['/', '?']).next().unwrap_or_default();
        let what = Said {
            action: action::action(method, path, |class, id| self.called(class, id)),
            message: String::new(),
            command: action::words_of(class).map_or("", |words| words.command),
        };
        error::classify(status, said, problem, what, &self.base)
    }

    fn names(&self) -> MutexGuard<'_, HashMap<(String, u32), String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember<T: FogObject>(&self, row: &Row<T>) {
        if !row.view.name().is_empty() {
            let key = (T::CLASS.to_owned(), row.view.number());
            self.names().insert(key, row.view.name().to_owned());
        }
    }

    /// `pc1 (7)`, or `7` when the name was not seen.
    fn called(&self, class: &str, id: &str) -> String {
        let name = self.name_of(class, id);
        name.map_or_else(|| id.to_owned(), |name| format!("{name} ({id})"))
    }

    fn name_of(&self, class: &str, id: &str) -> Option<String> {
        let id = id.parse().ok()?;
        self.names().get(&(class.to_owned(), id)).cloned()
    }

    /// A message of the server, which speaks of ids, with the names of these objects. Those that
    /// were not seen are looked up; without success the message stays as it is.
    fn with_names(&self, message: &str) -> String {
        let words: Vec<&str> = message.split(' ').collect();
        let mut out: Vec<String> = Vec::with_capacity(words.len());
        let mut said: Option<String> = None;
        for (at, word) in words.iter().enumerate() {
            // The server has named this object itself.
            if said.take().is_some_and(|name| *word == format!("({name})")) {
                continue;
            }
            let class = at.checked_sub(1).and_then(|at| action::words_of(words[at]));
            let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
            let rest = &word[digits.len()..];
            match class.filter(|_| digits.parse::<u32>().is_ok()) {
                Some(class) => {
                    self.look_up(class.class, digits);
                    if let Some(last) = out.last_mut() {
                        class.noun.clone_into(last);
                    }
                    out.push(format!("{}{rest}", self.called(class.class, digits)));
                    said = self.name_of(class.class, digits);
                }
                None => out.push((*word).to_owned()),
            }
        }
        out.join(" ")
    }

    /// Learns the name of an object, if it has one and can be read.
    fn look_up(&self, class: &str, id: &str) {
        let Ok(number) = id.parse::<u32>() else {
            return;
        };
        let key = (class.to_owned(), number);
        if class == "task" || self.names().contains_key(&key) {
            return;
        }
        let found = self.exchange("GET", &format!("/fog/{class}/{id}"), None);
        let name = found
            .ok()
            .filter(|answer| answer.status == 200)
            .and_then(|answer| serde_json::from_str::<Value>(&answer.text).ok())
            .and_then(|object| Some(object.get("name")?.as_str()?.to_owned()));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.names().insert(key, name);
        }
    }
}

/// The words of an error's body, with the field at fault once.
fn said_in(body: ErrorBody) -> String {
    match body.field {
        Some(field)
            if !body
                .error
                .strip_prefix(&field)
                .is_some_and(|rest| rest.starts_with([':', ' '])) =>
        {
            format!("{field}: {}", body.error)
        }
        _ => body.error,
    }
}

fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ApiError {
    ApiError::Answer {
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

    #[test]
    fn the_field_at_fault_is_named_once() {
        let said = |error: &str| {
            said_in(ErrorBody {
                error: error.to_owned(),
                field: Some("hosts".to_owned()),
            })
        };
        assert_eq!(said("too many"), "hosts: too many");
        assert_eq!(said("hosts: too many"), "hosts: too many");
        assert_eq!(said("hosts 1 and 2 are busy"), "hosts 1 and 2 are busy");
    }

    #[test]
    fn objects_that_were_seen_are_called_by_their_names() {
        let api = Api::new(&Context {
            server: "https://127.0.0.1:1".into(),
            ca_pem: None,
            api_token: "a".into(),
            user_token: "u".into(),
        })
        .unwrap();
        let key = ("storagenode".to_owned(), 3);
        api.names().insert(key, "north".to_owned());
        assert_eq!(
            api.with_names("mac: x belongs to storagenode 3: no"),
            "mac: x belongs to storage node north (3): no"
        );
        assert_eq!(
            api.with_names("storagenode 3 (north) is busy"),
            "storage node north (3) is busy"
        );
        assert_eq!(api.with_names("in use by task 4"), "in use by task 4");
        assert_eq!(api.called("host", "9"), "9");
    }
}
