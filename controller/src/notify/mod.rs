//! Tells people: makes messages of what happened, and sends them.
//!
//! Every controller does all of this. A message is claimed before it is sent, so that in the
//! ordinary case one controller sends it once; after a crash another one sends it again, under the
//! same id.

mod chat;
mod courier;
mod mail;
mod payload;
mod queues;
mod sending;
mod signature;
mod smtp;
mod watch;
mod web;

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{Timestamp, chain};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::app::notices::{self, deliver, gather};
use crate::background::{Report, Rhythm, Why, Work};
use crate::config::NotificationConfig;
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::trust::{SealError, TokenSignError};

const PERIOD: Duration = Duration::from_secs(5);
/// For one message by HTTP, from the look-up of the name to the end of the answer.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Characters of what a receiver says that are shown.
const MOST_SHOWN: usize = 200;

/// Works until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, config: NotificationConfig, cancel: CancellationToken) {
    let sending = Sending::default();
    let rhythm = Rhythm {
        name: "notifications",
        period: PERIOD.min(config.first_retry),
        wakes: vec![
            ("tables", ctx.state.changed()),
            ("attempts", sending.news()),
        ],
    };
    let background = ctx.background.clone();
    let work = Notifications {
        courier: Arc::new(Courier::new(ctx.clone(), &config)),
        ctx,
        sending,
    };
    background.drive(rhythm, work, cancel).await;
}

use self::courier::Courier;
pub(crate) use self::queues::run as queues;
use self::sending::Sending;
pub(crate) use self::watch::run as watch;

struct Notifications {
    ctx: Arc<Ctx>,
    courier: Arc<Courier>,
    sending: Sending,
}

impl Work for Notifications {
    /// Does not wait for receivers: what is sent counts in the round after its end.
    async fn round(&mut self, why: Why, report: &mut Report) {
        let (state, now) = (&self.ctx.state, Timestamp::now());
        let ended = notices::end_orders(state, now).await;
        count(report, "ends of orders told", ended);
        let gathered = gather::gather(state, now).await;
        count(report, "messages made", gathered);
        for (word, result) in self.sending.ended() {
            count(report, word, result);
        }
        for id in state.read(|tables| deliver::due(tables, now)) {
            self.sending.begin(&self.courier, id);
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
    #[error(transparent)]
    Token(#[from] TokenSignError),
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
