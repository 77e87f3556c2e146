//! Sends the messages of event queues to their receivers.
//!
//! Every controller does this. Messages are claimed before they are sent, several at once; a queue whose
//! receiver is slow delays no other one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_types::{Timestamp, chain};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{PERIOD, SendError, count, web};
use crate::app::devices::factories;
use crate::app::devices::queues::delivery::{self, AT_ONCE, Attempt};
use crate::app::devices::queues::wire;
use crate::app::notices::pace::Patience;
use crate::app::notices::secrets::{self, What};
use crate::background::{Report, Rhythm, Why, Work};
use crate::config::NotificationConfig;
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::machines::queue::{EventQueue, QueueMessage};
use crate::state::notify::{Claim, Web};

/// Works until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, config: NotificationConfig, cancel: CancellationToken) {
    let shared = Arc::<Shared>::default();
    let rhythm = Rhythm {
        name: "event queues",
        period: PERIOD.min(config.first_retry),
        wakes: vec![
            ("tables", ctx.state.changed()),
            ("attempts", shared.ended.subscribe()),
        ],
    };
    let background = ctx.background.clone();
    let work = Queues {
        batches: JoinSet::new(),
        shared,
        courier: Arc::new(Courier {
            ctx,
            me: getrandom::u64().unwrap_or_default(),
            patience: Patience {
                // It is tried until somebody has taken it, or it is too old.
                attempts: u32::MAX,
                first: config.first_retry,
                longest: config.longest_retry,
            },
            lease: config.lease,
        }),
    };
    background.drive(rhythm, work, cancel).await;
}

/// Dropping it breaks the attempts off.
struct Queues {
    batches: JoinSet<()>,
    shared: Arc<Shared>,
    courier: Arc<Courier>,
}

/// The queues whose messages are being sent, and how many attempts went how since the last round.
#[derive(Default)]
struct Shared {
    now: Mutex<(HashSet<u32>, Vec<Sent>)>,
    ended: watch::Sender<u64>,
}

/// How messages of a queue were sent.
type Sent = Result<Counts, Refusal>;

#[derive(Clone, Copy, Default)]
struct Counts {
    delivered: u64,
    failed: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (HashSet<u32>, Vec<Sent>)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a queue whose messages are being sent; when it is dropped more may be.
struct Place {
    shared: Arc<Shared>,
    queue: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.lock().0.remove(&self.queue);
        self.shared.ended.send_modify(|count| *count += 1);
    }
}

impl Queues {
    /// Sends what is due of a queue, unless that is being done.
    fn begin(&mut self, queue: u32) {
        if !self.shared.lock().0.insert(queue) {
            return;
        }
        let place = Place {
            shared: self.shared.clone(),
            queue,
        };
        let courier = self.courier.clone();
        self.batches.spawn(async move {
            let sent = courier.send(place.queue).await;
            place.shared.lock().1.push(sent);
        });
    }
}

impl Work for Queues {
    /// Does not wait for receivers: what is sent counts in the round after its end.
    async fn round(&mut self, why: Why, report: &mut Report) {
        while self.batches.try_join_next().is_some() {}
        let ended = std::mem::take(&mut self.shared.lock().1);
        for sent in ended {
            match sent {
                Ok(counts) => {
                    count(report, "messages delivered", Ok(counts.delivered));
                    count(report, "attempts that failed", Ok(counts.failed));
                }
                Err(error) => count(report, "messages", Err(error)),
            }
        }
        let (ctx, now) = (self.courier.ctx.clone(), Timestamp::now());
        for queue in ctx.state.read(|tables| delivery::due(tables, now)) {
            self.begin(queue);
        }
        if why == Why::Period {
            let trimmed = delivery::trim(&ctx.state, now).await;
            if let Ok(trimmed) = &trimmed
                && trimmed.lost > 0
            {
                warn!(
                    messages = trimmed.lost,
                    "removed messages of event queues that nobody has taken"
                );
            }
            let removed = trimmed.map(|trimmed| (trimmed.left + trimmed.lost) as u64);
            count(report, "old messages removed", removed);
        }
    }
}

/// Carries messages to receivers.
struct Courier {
    ctx: Arc<Ctx>,
    /// Of this controller among all, in claims.
    me: u64,
    patience: Patience,
    lease: Duration,
}

impl Courier {
    /// Sends what is due of a queue, as much as goes at once.
    async fn send(&self, queue: u32) -> Sent {
        let state = &self.ctx.state;
        let found = state.read(|tables| {
            let queue = tables.event_queues().get(&queue)?.clone();
            let factory = factories::name_of(tables, queue.factory);
            Some((queue, factory))
        });
        let Some((queue, factory)) = found else {
            return Ok(Counts::default());
        };
        let Some(web) = &queue.push else {
            return Ok(Counts::default());
        };
        let now = Timestamp::now();
        let claim = Claim {
            by: self.me,
            until: now + self.lease,
        };
        let messages = delivery::claim(state, queue.id, claim, AT_ONCE, now).await?;
        let subscription = wire::subscription(&factory, &queue.label);
        let attempts = messages
            .iter()
            .map(|message| self.attempt(&queue, web, message, &subscription));
        let attempts: Vec<Attempt> = join_all(attempts).await;
        delivery::record(state, self.me, &attempts, self.patience, Timestamp::now()).await?;
        let delivered = attempts.iter().filter(|(_, result)| result.is_ok()).count();
        Ok(Counts {
            delivered: delivered as u64,
            failed: (attempts.len() - delivered) as u64,
        })
    }

    async fn attempt(
        &self,
        queue: &EventQueue,
        web: &Web,
        message: &QueueMessage,
        subscription: &str,
    ) -> Attempt {
        let result = self.deliver(web, message, subscription).await;
        match &result {
            Ok(()) => debug!(
                queue = queue.label,
                message = message.id,
                "delivered a message of an event queue"
            ),
            Err(error) => warn!(
                queue = queue.label,
                message = message.id,
                error = %chain(error),
                "could not deliver a message of an event queue"
            ),
        }
        let id = (message.queue, message.id.clone());
        (id, result.map_err(|error| error.to_string()))
    }

    async fn deliver(
        &self,
        web: &Web,
        message: &QueueMessage,
        subscription: &str,
    ) -> Result<(), SendError> {
        let trust = &self.ctx.trust;
        let url = secrets::unseal(trust, What::PushUrl, &web.url)?;
        let claims = wire::claims(&url, subscription, Timestamp::now());
        let token = trust.sign_token(&claims)?;
        let headers = vec![("authorization", format!("Bearer {token}"))];
        let body = wire::pushed(message, subscription).to_string();
        web::post(url, web.ca_pem.clone(), headers, body).await
    }
}
