//! Check-in: the boot token buys a short-lived certificate and, as soon as there is one, the order.
//! Before that the client may look what the task needs, which leaves the token unused.
//!
//! Blocking; run it on a thread of its own. The controller is known by the fingerprint in the
//! token, so nothing has to be installed on the machine. Plain HTTP is taken only to loopback
//! addresses.

pub mod code;
pub(crate) mod connect;
mod error;
mod verified;

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use foghorn_proto::http::{
    BOOT_PREFIX, CHECK_IN_PATH, CheckInRequest, CheckInResponse, FURTHER_PATH, FurtherNode,
    FurtherRequest, FurtherResponse, LOOK_PATH, LookRequest, LookResponse, ORDER_PATH, OptionsFor,
    Order, Problem, TokenText, UNREACHED_PATH, UnreachedRequest, UnreachedResponse,
};
use foghorn_reach::Trouble;
use foghorn_transport::Identity;
use foghorn_types::{HostId, MacAddress, chain};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use ureq::http::Uri;
use ureq::tls::TlsConfig;

pub use self::error::CheckInError;
pub(crate) use self::verified::Verified;
use crate::hardware;

/// Seconds that the controller may hold a question for the order.
const ORDER_WAIT: u64 = 20;
/// One exchange; longer than the controller may hold one.
const TIMEOUT: Duration = Duration::from_secs(40);
/// How long an unreachable controller is tried; it may be restarting.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// How long a name without an address is tried; the network may come up just now.
const PATIENCE_WITH_A_NAME: Duration = Duration::from_secs(20);
const ANSWER_LIMIT: u64 = 1 << 20;

/// Name and version that the client gives itself.
pub const SOFTWARE: &str = concat!("foghorn-client ", env!("CARGO_PKG_VERSION"));

/// What to check in with.
#[derive(Clone, Debug)]
pub struct CheckIn {
    pub controller: String,
    pub token: TokenText,
    pub mac: MacAddress,
    /// Give up with [`CheckInError::NoTask`] when the order is not there at once, instead of
    /// waiting for it.
    pub once: bool,
    /// Options of this run that have an effect on one kind of task only.
    pub only_for: Option<OnlyFor>,
}

impl CheckIn {
    /// Refuses a task on which the options would have no effect.
    fn accept(&self, task: OptionsFor) -> Result<(), CheckInError> {
        match self.only_for.as_ref().filter(|only| only.kind != task) {
            Some(only) => Err(only.refuse(task)),
            None => Ok(()),
        }
    }
}

/// How long an unreachable controller is tried.
fn patience(once: bool) -> Duration {
    if once { Duration::ZERO } else { PATIENCE }
}

/// Options that have an effect on one kind of task only: a task of the other kind is not begun with
/// them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OnlyFor {
    pub kind: OptionsFor,
    /// Never empty.
    pub options: Vec<&'static str>,
}

impl OnlyFor {
    fn refuse(&self, task: OptionsFor) -> CheckInError {
        CheckInError::OtherTask {
            options: self.options.join(" and "),
            task: task.word(),
            wanted: self.kind.word(),
        }
    }
}

/// A machine that has checked in.
#[derive(Clone, Debug)]
pub struct CheckedIn {
    pub host: HostId,
    pub host_name: String,
    pub identity: Identity,
    pub order: Order,
    pub contact: Contact,
}

/// The way to the controller for a client that has checked in.
#[derive(Clone)]
pub struct Contact {
    agent: ureq::Agent,
    base: String,
    session: String,
}

impl std::fmt::Debug for Contact {
    /// Without the session, which is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contact")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Contact {
    /// Address of the controller.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.base
    }

    /// Tells the controller that the storage node at `address` does not answer. Blocking.
    ///
    /// # Errors
    /// The controller cannot be reached either, or the task has ended.
    pub fn unreached(
        &self,
        address: &str,
        gave_up: bool,
    ) -> Result<UnreachedResponse, CheckInError> {
        let url = format!("{}{UNREACHED_PATH}", self.base);
        let body = UnreachedRequest {
            address: address.to_owned(),
            gave_up,
        };
        let (status, text) = exchange(&url, || {
            self.agent
                .post(&url)
                .header("authorization", format!("Bearer {}", self.session))
                .send_json(&body)
        })?;
        match status {
            200 => parse(&url, &text),
            410 => Err(CheckInError::NoTask {
                reason: problem(&text),
            }),
            _ => Err(answer_error(status, &text)),
        }
    }

    /// The order as it is now: another storage node may have taken the task over. Waits for one a
    /// while, if no node has the task or its node is offline; `None` if that does not change.
    /// Blocking.
    ///
    /// # Errors
    /// The controller cannot be reached, or the task has ended.
    pub fn order(&self, wait: Duration) -> Result<Option<Order>, CheckInError> {
        let url = format!("{}{ORDER_PATH}?wait={}", self.base, wait.as_secs());
        let (status, text) = exchange(&url, || {
            self.agent
                .get(&url)
                .header("authorization", format!("Bearer {}", self.session))
                .call()
        })?;
        match status {
            200 => parse(&url, &text).map(Some),
            204 => Ok(None),
            410 => Err(CheckInError::NoTask {
                reason: problem(&text),
            }),
            _ => Err(answer_error(status, &text)),
        }
    }

    /// Asks for storage nodes that serve this client beside the one that has its task: all that there
    /// are from now on. Blocking.
    ///
    /// # Errors
    /// The controller cannot be reached, does not know the question, or the task has ended.
    pub fn further(&self, request: &FurtherRequest) -> Result<Vec<FurtherNode>, CheckInError> {
        let url = format!("{}{FURTHER_PATH}", self.base);
        let (status, text) = exchange(&url, || {
            self.agent
                .post(&url)
                .header("authorization", format!("Bearer {}", self.session))
                .send_json(request)
        })?;
        match status {
            200 => parse::<FurtherResponse>(&url, &text).map(|answer| answer.nodes),
            410 => Err(CheckInError::NoTask {
                reason: problem(&text),
            }),
            _ => Err(answer_error(status, &text)),
        }
    }

    /// Whether `address` is on the machine by which this one reaches the controller.
    #[must_use]
    pub fn is_beside(&self, address: &str) -> bool {
        let host = |text: &str| {
            let uri: Option<Uri> = text.parse().ok();
            uri.and_then(|uri| uri.host().map(str::to_owned))
        };
        host(&self.base).is_some_and(|ours| host(&format!("https://{address}")) == Some(ours))
    }
}

/// The controller that a token names.
#[derive(Debug)]
pub struct Desk<'a> {
    with: &'a CheckIn,
    stop: &'a CancellationToken,
    base: String,
    authority: String,
    agent: ureq::Agent,
}

impl<'a> Desk<'a> {
    /// Finds the controller. `stop` ends the waiting between two exchanges, here and later.
    ///
    /// # Errors
    /// The controller cannot be reached or is not the one that the token names.
    pub fn find(with: &'a CheckIn, stop: &'a CancellationToken) -> Result<Self, CheckInError> {
        let found = Verified::find(&with.controller, &with.token, patience(with.once), stop)?;
        Ok(Self {
            with,
            stop,
            base: found.base,
            authority: found.authority,
            agent: found.agent,
        })
    }

    /// What the task needs. The token stays unused.
    ///
    /// # Errors
    /// The controller refuses the token, or has no task.
    pub fn look(&self) -> Result<LookResponse, CheckInError> {
        let body = LookRequest {
            mac: self.with.mac,
            boot_token: self.with.token.to_text(BOOT_PREFIX),
            options_for: self.with.only_for.as_ref().map(|only| only.kind),
        };
        let seen: LookResponse = self.post(LOOK_PATH, &body)?;
        self.with.accept(seen.kind)?;
        Ok(seen)
    }

    /// Checks in and waits for the order.
    ///
    /// # Errors
    /// The controller refuses the token, or has no task.
    pub fn check_in(&self) -> Result<CheckedIn, CheckInError> {
        let with = self.with;
        let key = rcgen::KeyPair::generate().map_err(CheckInError::MakeKey)?;
        let request = rcgen::CertificateParams::default()
            .serialize_request(&key)
            .map_err(CheckInError::MakeKey)?;
        let body = CheckInRequest {
            mac: with.mac,
            boot_token: with.token.to_text(BOOT_PREFIX),
            csr_pem: request.pem().map_err(CheckInError::MakeKey)?,
            software: SOFTWARE.to_owned(),
            options_for: with.only_for.as_ref().map(|only| only.kind),
            hardware: Some(hardware::read(Path::new("/"))),
        };
        foghorn_faults::point!("client.check-in.before");
        let answer: CheckInResponse = self.post(CHECK_IN_PATH, &body)?;
        foghorn_faults::point!("client.check-in.answered");
        let identity =
            Identity::from_pem(&self.authority, &answer.chain_pem, &key.serialize_pem())?;
        tracing::info!(host = %answer.host, task = %answer.task, name = answer.host_name, "checked in");
        let contact = Contact {
            agent: self.agent.clone(),
            base: self.base.clone(),
            session: answer.session.clone(),
        };
        let order = match answer.order {
            Some(order) => order,
            None => wait_for_order(
                &self.agent,
                &self.base,
                &answer.session,
                with.once,
                self.stop,
            )?,
        };
        with.accept(order.kind.options())?;
        Ok(CheckedIn {
            host: answer.host,
            host_name: answer.host_name,
            identity,
            order,
            contact,
        })
    }

    /// Sends a request, also when the answer to it was lost before.
    fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CheckInError> {
        let url = format!("{}{path}", self.base);
        let only_for = self.with.only_for.as_ref();
        retry(patience(self.with.once), self.stop, || {
            let answer = send(&self.agent, &url, body, only_for)?;
            foghorn_faults::fail!("client.request.answered").map_err(|error| {
                CheckInError::Send {
                    url: url.clone(),
                    source: Box::new(ureq::Error::Io(error)),
                }
            })?;
            Ok(answer)
        })
    }
}

/// Checks in and waits for the order, without a look before it.
///
/// # Errors
/// The controller cannot be reached or is not the one that the token names, refuses the token, or
/// has no task.
pub fn check_in(with: &CheckIn, stop: &CancellationToken) -> Result<CheckedIn, CheckInError> {
    Desk::find(with, stop)?.check_in()
}

pub(crate) fn retry<T>(
    patience: Duration,
    stop: &CancellationToken,
    mut attempt: impl FnMut() -> Result<T, CheckInError>,
) -> Result<T, CheckInError> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(250);
    loop {
        if stop.is_cancelled() {
            return Err(CheckInError::Stopped);
        }
        match attempt().map_err(CheckInError::in_words) {
            Err(
                error @ CheckInError::Unusable {
                    trouble: Trouble::UnknownName,
                    ..
                },
            ) if begun.elapsed() < patience.min(PATIENCE_WITH_A_NAME) => {
                tracing::warn!(error = %chain(&error), "trying again for a moment");
                std::thread::sleep(Duration::from_secs(2));
            }
            Err(error) if error.is_transient() && begun.elapsed() < patience => {
                tracing::warn!(
                    error = %chain(&error),
                    "the controller does not answer; trying again"
                );
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            other => return other,
        }
    }
}

/// IPv4 address of the controller, for finding the way to it. Blocking.
pub(crate) fn controller_address(controller: &str) -> Option<Ipv4Addr> {
    let uri: Uri = controller.trim().parse().ok()?;
    let host = uri.host()?;
    (host, uri.port_u16().unwrap_or(443))
        .to_socket_addrs()
        .ok()?
        .find_map(|address| match address.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
}

fn send<T: DeserializeOwned>(
    agent: &ureq::Agent,
    url: &str,
    body: &impl Serialize,
    only_for: Option<&OnlyFor>,
) -> Result<T, CheckInError> {
    let (status, text) = exchange(url, || agent.post(url).send_json(body))?;
    match status {
        200..=299 => parse(url, &text),
        404 | 410 => Err(CheckInError::NoTask {
            reason: problem(&text),
        }),
        409 => Err(other_task(only_for, &text).unwrap_or_else(|| answer_error(status, &text))),
        _ => Err(answer_error(status, &text)),
    }
}

/// The refusal of a task of the other kind, if the answer is about that.
fn other_task(only_for: Option<&OnlyFor>, text: &str) -> Option<CheckInError> {
    let problem: Problem = serde_json::from_str(text).ok()?;
    let only = only_for.filter(|_| problem.field.as_deref() == Some("options_for"))?;
    Some(only.refuse(match only.kind {
        OptionsFor::Capture => OptionsFor::Deploy,
        OptionsFor::Deploy => OptionsFor::Capture,
    }))
}

fn wait_for_order(
    agent: &ureq::Agent,
    base: &str,
    session: &str,
    once: bool,
    stop: &CancellationToken,
) -> Result<Order, CheckInError> {
    let wait = if once { 0 } else { ORDER_WAIT };
    let url = format!("{base}{ORDER_PATH}?wait={wait}");
    loop {
        let (status, text) = retry(patience(once), stop, || {
            let answer = exchange(&url, || {
                agent
                    .get(&url)
                    .header("authorization", format!("Bearer {session}"))
                    .call()
            })?;
            if answer.0 >= 500 {
                Err(answer_error(answer.0, &answer.1))
            } else {
                Ok(answer)
            }
        })?;
        match status {
            200 => return parse(&url, &text),
            204 if once => {
                return Err(CheckInError::NoTask {
                    reason: "it still waits for a storage node".to_owned(),
                });
            }
            204 => tracing::info!("the task waits for a storage node"),
            404 | 410 => {
                return Err(CheckInError::NoTask {
                    reason: problem(&text),
                });
            }
            _ => return Err(answer_error(status, &text)),
        }
    }
}

pub(crate) fn exchange(
    url: &str,
    send: impl FnOnce() -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<(u16, String), CheckInError> {
    let failed = |source| CheckInError::Send {
        url: url.to_owned(),
        source: Box::new(source),
    };
    let mut answer = send().map_err(failed)?;
    let text = answer
        .body_mut()
        .with_config()
        .limit(ANSWER_LIMIT)
        .read_to_string()
        .map_err(failed)?;
    Ok((answer.status().as_u16(), text))
}

pub(crate) fn parse<T: DeserializeOwned>(url: &str, text: &str) -> Result<T, CheckInError> {
    serde_json::from_str(text).map_err(|error| CheckInError::Failed {
        status: 200,
        reason: format!("{url} answered nonsense: {error}"),
    })
}

pub(crate) fn answer_error(status: u16, text: &str) -> CheckInError {
    let reason = problem(text);
    if (400..500).contains(&status) {
        CheckInError::Refused { status, reason }
    } else {
        CheckInError::Failed { status, reason }
    }
}

fn problem(text: &str) -> String {
    serde_json::from_str::<Problem>(text).map_or_else(|_| text.to_owned(), |problem| problem.error)
}

fn http(tls: TlsConfig) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        // A proxy from the environment has no business between a machine and its controller.
        .proxy(None)
        .build();
    connect::agent(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_said_at_once_and_not_tried_again() {
        let wrong_name = rustls::CertificateError::NotValidForNameContext {
            expected: rustls::pki_types::ServerName::try_from("10.23.0.1")
                .unwrap()
                .to_owned(),
            presented: vec!["IpAddress(127.0.0.1)".to_owned()],
        };
        let tls = rustls::Error::InvalidCertificate(wrong_name);
        let mut tries = 0;
        let result: Result<(), _> = retry(PATIENCE, &CancellationToken::new(), || {
            tries += 1;
            Err(CheckInError::Send {
                url: "https://10.23.0.1:8443/foghorn/v1/clients/look".to_owned(),
                source: Box::new(ureq::Error::Io(std::io::Error::other(tls.clone()))),
            })
        });
        let error = result.unwrap_err();
        assert_eq!(tries, 1);
        assert_eq!(
            error.to_string(),
            "the controller at https://10.23.0.1:8443 cannot be used: the certificate is for 127.0.0.1; you asked for 10.23.0.1"
        );
        assert!(error.advice().unwrap().contains("--advertise 10.23.0.1"));
    }

    #[test]
    fn the_address_beside_the_controller_is_known() {
        let contact = |base: &str| Contact {
            agent: http(TlsConfig::builder().build()),
            base: base.to_owned(),
            session: String::new(),
        };
        assert!(contact("https://10.23.0.1:8443").is_beside("10.23.0.1:7472"));
        assert!(!contact("https://10.23.0.1:8443").is_beside("10.23.0.2:7472"));
        assert!(contact("https://[fd00::2]:8443").is_beside("[fd00::2]:7472"));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let mut tries = 0;
        let result: Result<(), _> = retry(PATIENCE, &CancellationToken::new(), || {
            tries += 1;
            Err(answer_error(
                if tries < 2 { 503 } else { 403 },
                r#"{"error":"used"}"#,
            ))
        });
        assert!(
            matches!(result, Err(CheckInError::Refused { status: 403, reason }) if reason == "used")
        );
        assert_eq!(tries, 2);
    }
}
