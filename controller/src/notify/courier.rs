//! One attempt to deliver a message: claimed, sent by its target's way, and written down.

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::Timestamp;
use tracing::{info, warn};

use super::{SendError, chat, mail, payload, signature, web};
use crate::app::notices::{deliver, pace::Patience, secrets};
use crate::config::NotificationConfig;
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::notify::{Address, Message, Target};
use crate::trust::SealError;

/// Target and id of a message.
pub(super) type MessageId = (u32, String);
/// How an attempt went: the word for it, and how many that is.
pub(super) type Outcome = (&'static str, Result<u64, Refusal>);

/// Carries messages to receivers.
pub(super) struct Courier {
    ctx: Arc<Ctx>,
    /// Of this controller among all, in claims.
    me: u64,
    patience: Patience,
    lease: Duration,
}

fn count(by: &'static str, outcome: &'static str, attempts: u64) {
    metrics::counter!("foghorn_notifications_total", "by" => by, "outcome" => outcome)
        .increment(attempts);
}

impl Courier {
    pub(super) fn new(ctx: Arc<Ctx>, config: &NotificationConfig) -> Self {
        for by in Address::WORDS {
            for outcome in ["delivered", "failed"] {
                count(by, outcome, 0);
            }
        }
        Self {
            ctx,
            me: getrandom::u64().unwrap_or_default(),
            patience: Patience {
                attempts: config.attempts,
                first: config.first_retry,
                longest: config.longest_retry,
            },
            lease: config.lease,
        }
    }

    /// One attempt, with the word for how it went.
    pub(super) async fn send(&self, id: &MessageId) -> Outcome {
        match self.attempt(id).await {
            Ok(Some(true)) => ("messages delivered", Ok(1)),
            Ok(Some(false)) => ("attempts that failed", Ok(1)),
            Ok(None) => ("messages delivered", Ok(0)),
            Err(error) => ("messages", Err(error)),
        }
    }

    /// Whether it was delivered; `None` when it is not ours to send.
    async fn attempt(&self, id: &MessageId) -> Result<Option<bool>, Refusal> {
        let state = &self.ctx.state;
        let claimed = deliver::claim(state, id, self.me, self.lease, Timestamp::now());
        let Some(message) = claimed.await? else {
            return Ok(None);
        };
        let target = state.read(|tables| tables.notify_targets().get(&id.0).cloned());
        let Some(target) = target else {
            return Ok(None);
        };
        let result = self.deliver(&target, &message).await;
        let result = result.map_err(|error| error.to_string());
        let (word, is_delivered) = if result.is_ok() {
            ("delivered", true)
        } else {
            ("failed", false)
        };
        count(target.address.word(), word, 1);
        if let Err(why) = &result {
            warn!(
                notification = target.name,
                message = message.id,
                error = why,
                "could not deliver a message"
            );
        } else {
            info!(
                notification = target.name,
                message = message.id,
                "delivered a message"
            );
        }
        let now = Timestamp::now();
        let is_dead = deliver::record(state, id, self.me, result, self.patience, now);
        if is_dead.await? {
            warn!(
                notification = target.name,
                message = message.id,
                "gave a message up"
            );
        }
        Ok(Some(is_delivered))
    }

    async fn deliver(&self, target: &Target, message: &Message) -> Result<(), SendError> {
        let trust = &self.ctx.trust;
        let zone = self.ctx.state.read(crate::state::zone::of);
        match &target.address {
            Address::Webhook { web, secret } => {
                let url = secrets::unseal(trust, secrets::What::Url, &web.url)?;
                let secret = secrets::unseal(trust, secrets::What::Signing, secret)?;
                let key = secrets::signing_key(&secret).ok_or(SealError::Open)?;
                let body = payload::json(message);
                let headers = signature::headers(&key, &message.id, Timestamp::now(), &body);
                web::post(url, web.ca_pem.clone(), headers, body).await
            }
            Address::Chat { web, template } => {
                let url = secrets::unseal(trust, secrets::What::Url, &web.url)?;
                let body = chat::body(template, message, &zone)?;
                web::post(url, web.ca_pem.clone(), Vec::new(), body).await
            }
            Address::Mail(mail) => {
                let password = match &mail.password {
                    Some(sealed) => Some(secrets::unseal(trust, secrets::What::Password, sealed)?),
                    None => None,
                };
                mail::send(mail.clone(), password, message, &zone).await
            }
        }
    }
}
