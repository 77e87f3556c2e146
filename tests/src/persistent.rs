//! A client of several controllers that does not give up: a request that was not answered is sent
//! again under its idempotency key, each time to the next controller.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::rest::Rest;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

pub struct Persistent {
    rests: Vec<Rest>,
    /// Requests so far.
    next: usize,
    /// Of the last request.
    attempts: usize,
    patience: Duration,
}

impl Persistent {
    /// `patience`: a request is sent again for so long.
    #[must_use]
    pub fn new(rests: Vec<Rest>, patience: Duration) -> Self {
        Self {
            rests,
            next: 0,
            attempts: 0,
            patience,
        }
    }

    /// Whether an earlier attempt of the last request may still lie at another controller, which
    /// carries it out when it comes round: only what creates something knows idempotency keys.
    #[must_use]
    pub fn may_come_late(&self) -> bool {
        self.attempts > 1 && self.rests.len() > 1
    }

    /// The next controller in turn.
    pub fn any(&mut self) -> &Rest {
        self.next += 1;
        &self.rests[self.next % self.rests.len()]
    }

    /// Sends the request under the key, if it is not empty, until somebody answers it for good. `null`
    /// is no body.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        self.ask_until(method, path, key, body, is_later)
    }

    /// The same, with another opinion of which answers say "not now".
    pub fn ask_until(
        &mut self,
        method: &str,
        path: &str,
        key: &str,
        body: &Value,
        is_later: impl Fn(u16, &str) -> bool,
    ) -> Option<(u16, Value)> {
        let start = Instant::now();
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.attempts = 0;
        while start.elapsed() < self.patience {
            self.attempts += 1;
            let headers = [("idempotency-key", key)];
            let headers = if key.is_empty() {
                &[][..]
            } else {
                &headers[..]
            };
            if let Ok(answer) = self
                .any()
                .send_with(method, path, Some(bytes.clone()), headers)
                && !is_later(answer.status, &answer.body)
            {
                let value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
                return Some((answer.status, value));
            }
            std::thread::sleep(PAUSE);
        }
        None
    }
}

/// Answers that say "not now": busy, not ready, the store does not answer.
#[must_use]
pub fn is_later(status: u16, body: &str) -> bool {
    match status {
        401 | 409 | 429 | 502..=504 => true,
        500 => body.contains("store"),
        _ => false,
    }
}
