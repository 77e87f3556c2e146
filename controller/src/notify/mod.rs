//! Tells people: makes messages of what happened, and sends them.
//!
//! Every controller does all of this. A message is claimed before it is sent, so that in the
//! ordinary case one controller sends it once; after a crash another one sends it again, under the
//! same id.

mod chat;
mod mail;
mod payload;
mod signature;
mod smtp;
mod watch;
mod web;

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{Timestamp, chain};
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::notices::{self, deliver, gather, pace::Patience, secrets};
use crate::background::{Report, Rhythm, Why, Work};
use crate::config::NotificationConfig;
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::notify::{Address, Message, Target};
use crate::trust::SealError;

const PERIOD: Duration = Duration::from_secs(5);
/// Messages that a controller sends at once.
const AT_ONCE: usize = 8;
/// For one message by HTTP, from the look-up of the name to the end of the answer.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Characters of what a receiver says that are shown.
const MOST_SHOWN: usize = 200;

/// Works until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, config: NotificationConfig, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "notifications",
        period: PERIOD.min(config.first_retry),
        wakes: vec![("tables", ctx.state.changed())],
    };
    let background = ctx.background.clone();
    let work = Notifications {
        ctx,
        me: getrandom::u64().unwrap_or_default(),
        patience: Patience {
            attempts: config.attempts,
            first: config.first_retry,
            longest: config.longest_retry,
        },
        lease: config.lease,
    };
    background.drive(rhythm, work, cancel).await;
}

pub(crate) use self::watch::run as watch;

struct Notifications {
    ctx: Arc<Ctx>,
    /// Of this controller among all, in claims.
    me: u64,
    patience: Patience,
    lease: Duration,
}

impl Work for Notifications {
    async fn round(&mut self, why: Why, report: &mut Report) {
        let (state, now) = (&self.ctx.state, Timestamp::now());
        let ended = notices::end_orders(state, now).await;
        count(report, "ends of orders told", ended);
        let gathered = gather::gather(state, now).await;
        count(report, "messages made", gathered);
        let due = state.read(|tables| deliver::due(tables, now));
        let mut sent = futures_util::stream::iter(due)
            .map(|id| self.send(id))
            .buffer_unordered(AT_ONCE);
        while let Some((word, result)) = sent.next().await {
            count(report, word, result);
        }
        if why == Why::Period {
            let trimmed = deliver::trim(state).await;
            count(
                report,
                "old messages removed",
                trimmed.map(|count| count as u64),
            );
        }
    }
}

fn count(report: &mut Report, what: &str, done: Result<u64, Refusal>) {
    match done {
        Ok(number) => report.did(what, number),
        Err(error) => {
            warn!(error = %chain(&error), "notifications: {what}: the store failed");
            report.failed(what, &error);
        }
    }
}

impl Notifications {
    /// One attempt, with the word for how it went.
    async fn send(&self, id: (u32, String)) -> (&'static str, Result<u64, Refusal>) {
        match self.attempt(&id).await {
            Ok(Some(true)) => ("messages delivered", Ok(1)),
            Ok(Some(false)) => ("attempts that failed", Ok(1)),
            Ok(None) => ("messages delivered", Ok(0)),
            Err(error) => ("messages", Err(error)),
        }
    }

    /// Whether it was delivered; `None` when it is not ours to send.
    async fn attempt(&self, id: &(u32, String)) -> Result<Option<bool>, Refusal> {
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
        metrics::counter!("foghorn_notifications_total", "by" => target.address.word(), "outcome" => word)
            .increment(1);
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

/// What somebody else wrote, on one line: nothing in it moves the cursor of whoever reads it.
fn one_line(text: &str, most: usize) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most)
        .collect();
    line.trim().to_owned()
}

/// Why a message was not delivered. Never contains a secret: people see it.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Secret(#[from] SealError),
    #[error("its template {0}")]
    Template(#[from] notices::template::TemplateError),
    #[error("the certificates of its authority cannot be read")]
    Authority,
    #[error("the receiver answered {status}{excerpt}")]
    Status { status: u16, excerpt: String },
    #[error(
        "the receiver answered {0} (go elsewhere), which is not followed: set the final address"
    )]
    Redirect(u16),
    #[error("{0}")]
    Connection(String),
    #[error("an address is not valid: {0}")]
    MailAddress(String),
    #[error("the mail server: {0}")]
    Mail(String),
    #[error("the attempt was broken off")]
    Aborted,
}
