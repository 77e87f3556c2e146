//! Start conditions and rate of a session in a request.

use std::time::Duration;

use axum::http::StatusCode;
use foghorn_rest_types::multicast::MulticastRequest;
use foghorn_rest_types::tasks::TaskRequest;
use foghorn_types::{BitRate, Timestamp};

use crate::api::native::error::Refused;
use crate::app::sessions::Terms;
use crate::state::multicast::Start;

/// Maximum number of receivers that a session can wait for.
const MOST_RECEIVERS: u32 = 100_000;
const DAY: u32 = 24 * 60 * 60;
/// How far in the future a session may start.
const AHEAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The members of a request that concern its session.
pub(in crate::api::native) struct Asked<'r> {
    start_receivers: Option<u32>,
    start_at: Option<&'r str>,
    max_wait_seconds: Option<u32>,
    max_rate_bytes_per_second: Option<u64>,
}

impl<'r> From<&'r MulticastRequest> for Asked<'r> {
    fn from(request: &'r MulticastRequest) -> Self {
        Self {
            start_receivers: request.start_receivers,
            start_at: request.start_at.as_deref(),
            max_wait_seconds: request.max_wait_seconds,
            max_rate_bytes_per_second: request.max_rate_bytes_per_second,
        }
    }
}

impl<'r> From<&'r TaskRequest> for Asked<'r> {
    fn from(request: &'r TaskRequest) -> Self {
        Self {
            start_receivers: request.start_receivers,
            start_at: request.start_at.as_deref(),
            max_wait_seconds: request.max_wait_seconds,
            max_rate_bytes_per_second: request.max_rate_bytes_per_second,
        }
    }
}

impl Asked<'_> {
    /// The first member that was sent.
    pub(in crate::api::native) fn first(&self) -> Option<&'static str> {
        let sent = [
            ("start_receivers", self.start_receivers.is_some()),
            ("start_at", self.start_at.is_some()),
            ("max_wait_seconds", self.max_wait_seconds.is_some()),
            (
                "max_rate_bytes_per_second",
                self.max_rate_bytes_per_second.is_some(),
            ),
        ];
        sent.into_iter()
            .find(|(_, sent)| *sent)
            .map(|(name, _)| name)
    }

    /// # Errors
    /// When a member has an invalid value, or two of them exclude each other.
    pub(in crate::api::native) fn terms(&self, now: Timestamp) -> Result<Terms, Refused> {
        if self
            .start_receivers
            .is_some_and(|count| count == 0 || count > MOST_RECEIVERS)
        {
            return Err(bad(
                "start_receivers",
                format!("must be between 1 and {MOST_RECEIVERS}"),
            ));
        }
        if self.max_wait_seconds.is_some_and(|seconds| seconds > DAY) {
            return Err(bad("max_wait_seconds", format!("must be at most {DAY}")));
        }
        let at = self.start_at.map(str::parse::<Timestamp>).transpose();
        let at = at.map_err(|error| bad("start_at", error.to_string()))?;
        if at.is_some_and(|at| at <= now || at > now + AHEAD) {
            return Err(bad("start_at", "must be in the next 30 days"));
        }
        if at.is_some() && (self.start_receivers.is_some() || self.max_wait_seconds.is_some()) {
            return Err(bad(
                "start_at",
                "a session can start at a time or with a number of receivers, not both",
            ));
        }
        let max_wait = self
            .max_wait_seconds
            .map(|seconds| Duration::from_secs(seconds.into()));
        let max_rate = self.max_rate_bytes_per_second.map(limit).transpose()?;
        Ok(Terms {
            start: Start {
                receivers: self.start_receivers,
                at,
                max_wait,
            },
            max_rate,
            fixed: None,
        })
    }
}

/// A limit of this many bytes per second.
pub(super) fn limit(bytes_per_second: u64) -> Result<BitRate, Refused> {
    BitRate::from_bytes_per_second(bytes_per_second)
        .as_limit()
        .map_err(|why| bad("max_rate_bytes_per_second", why.to_string()))
}

fn bad(field: &str, why: impl Into<String>) -> Refused {
    Refused::field(StatusCode::BAD_REQUEST, field, why)
}
