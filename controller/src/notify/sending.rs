//! The attempts that are under way. No receiver is waited for by the messages of another.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

use super::courier::{Courier, MessageId, Outcome};
use crate::app::notices::deliver::AT_ONCE;

/// Dropping it breaks the attempts off.
#[derive(Default)]
pub(super) struct Sending {
    attempts: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What is being sent, and how those went that are no longer. Targets are bounded in number.
    now: Mutex<(HashSet<MessageId>, Vec<Outcome>)>,
    ended: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (HashSet<MessageId>, Vec<Outcome>)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of one attempt; when it is dropped another may begin.
struct Place {
    shared: Arc<Shared>,
    message: MessageId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.lock().0.remove(&self.message);
        self.shared.ended.send_modify(|count| *count += 1);
    }
}

impl Sending {
    /// Changes whenever an attempt has ended.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.shared.ended.subscribe()
    }

    /// Begins an attempt, unless one for the message is under way, or enough for its target: it is
    /// then due in a later round.
    pub(super) fn begin(&mut self, courier: &Arc<Courier>, message: MessageId) {
        let Some(place) = self.place(message) else {
            return;
        };
        let courier = courier.clone();
        self.attempts.spawn(async move {
            let outcome = courier.send(&place.message).await;
            place.shared.lock().1.push(outcome);
        });
    }

    fn place(&self, message: MessageId) -> Option<Place> {
        let mut now = self.shared.lock();
        let same_target = now.0.iter().filter(|other| other.0 == message.0);
        if same_target.count() >= AT_ONCE || !now.0.insert(message.clone()) {
            return None;
        }
        drop(now);
        let shared = self.shared.clone();
        Some(Place { shared, message })
    }

    /// How those went that have ended since the last call.
    pub(super) fn ended(&mut self) -> Vec<Outcome> {
        while let Some(joined) = self.attempts.try_join_next() {
            if let Err(panic) = joined {
                // The claim of its message ends, and it is tried again.
                error!(error = %panic, "an attempt to deliver a message panicked");
            }
        }
        std::mem::take(&mut self.shared.lock().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_target_has_its_own_places_and_gets_them_back() {
        let sending = Sending::default();
        let mut news = sending.news();
        let place = |target, id: usize| sending.place((target, id.to_string()));
        let mut held: Vec<_> = (0..AT_ONCE).map(|id| place(1, id)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(place(1, 9).is_none(), "enough for this one");
        let other = place(2, 0);
        assert!(
            other.is_some() && place(2, 0).is_none(),
            "one for a message"
        );
        held.pop();
        news.changed().await.expect("it is told");
        assert!(place(1, 9).is_some());
    }
}
