//! `[notifications]`: when something lasts so long that people are told, and how long they are.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, seconds};

/// When people are told, and how often it is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotificationConfig {
    /// Attempts to deliver a message. Default 10.
    pub attempts: u32,
    /// Time from the first to the second attempt. Default 10 seconds; later ones are further apart.
    pub first_retry: Duration,
    /// Longest time between two attempts. Default 1 hour.
    pub longest_retry: Duration,
    /// A task without progress for this time is stuck. Default 15 minutes.
    pub stuck_after: Duration,
    /// A task whose machine does not come for this time is stuck too. Default 2 hours.
    pub waiting_after: Duration,
    /// How long a controller may send a message before another one takes it over: longer than an
    /// attempt can take, with room for clocks that differ. Always 120 seconds but in tests.
    pub lease: Duration,
    /// A certificate that ends within this time is told. Default 30 days.
    pub certificate_days: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Default for NotificationConfig {
    fn default() -> Self {
        Self {
            attempts: 10,
            first_retry: Duration::from_secs(10),
            longest_retry: 60 * MINUTE,
            stuck_after: 15 * MINUTE,
            waiting_after: 120 * MINUTE,
            lease: 2 * MINUTE,
            certificate_days: super::DAY * CERTIFICATE_DAYS,
        }
    }
}

/// Default of `notifications.certificate_days`.
const CERTIFICATE_DAYS: u32 = 30;
const MOST_ATTEMPTS: u32 = 30;

/// When people are told what has happened.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotifications {
    /// How often a message is tried before it is given up.
    #[schemars(range(min = 1, max = MOST_ATTEMPTS))]
    #[schemars(extend("default" = NotificationConfig::default().attempts))]
    attempts: Option<u32>,
    /// Seconds from the first to the second attempt; later ones are further apart.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = NotificationConfig::default().first_retry.as_secs()))]
    first_retry_seconds: Option<u64>,
    /// Longest time between two attempts, in seconds.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = NotificationConfig::default().longest_retry.as_secs()))]
    longest_retry_seconds: Option<u64>,
    /// A task that has made no progress for so long is told as stuck, in minutes.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = NotificationConfig::default().stuck_after.as_secs() / 60))]
    stuck_minutes: Option<u64>,
    /// So is one whose machine has not come for so long, in minutes.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = NotificationConfig::default().waiting_after.as_secs() / 60))]
    waiting_minutes: Option<u64>,
    /// Days before its end on which the certificate authority is told.
    #[schemars(extend("default" = CERTIFICATE_DAYS))]
    certificate_days: Option<u32>,
}

impl RawNotifications {
    pub(super) fn check(&self) -> Result<NotificationConfig, ConfigError> {
        let default = NotificationConfig::default();
        let attempts = self.attempts.unwrap_or(default.attempts);
        if !(1..=MOST_ATTEMPTS).contains(&attempts) {
            return Err(ConfigError::Value {
                key: "notifications.attempts",
                why: format!("must be between 1 and {MOST_ATTEMPTS}"),
            });
        }
        let minutes = |value: Option<u64>| value.map(|minutes| minutes.saturating_mul(60));
        Ok(NotificationConfig {
            attempts,
            first_retry: seconds(
                "notifications.first_retry_seconds",
                self.first_retry_seconds,
                default.first_retry,
            )?,
            longest_retry: seconds(
                "notifications.longest_retry_seconds",
                self.longest_retry_seconds,
                default.longest_retry,
            )?,
            stuck_after: seconds(
                "notifications.stuck_minutes",
                minutes(self.stuck_minutes),
                default.stuck_after,
            )?,
            waiting_after: seconds(
                "notifications.waiting_minutes",
                minutes(self.waiting_minutes),
                default.waiting_after,
            )?,
            lease: default.lease,
            certificate_days: self
                .certificate_days
                .map_or(default.certificate_days, |days| super::DAY * days),
        })
    }
}
