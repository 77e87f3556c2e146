//! Multicast sessions: images that are sent once to many clients.
//!
//! A session comes to life when the first client with its order joins, runs on a thread of its own
//! (`drive`) around the sender of `foghorn-multicast`, and ends when nobody listens any more or no
//! order names it. Clients keep their QUIC connection: it carries the key, reports and, whenever
//! multicast does not work out, the chunks.

mod burst;
mod control;
mod drive;
mod key;
mod loader;
mod member;
mod members;
mod open;
mod order;
mod pace;
mod report;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foghorn_multicast::{ReceiverId, Report};
use foghorn_proto::link::{MulticastReport, SessionProgress};
use foghorn_transport::multicast::session_rate;
use foghorn_types::{BitRate, SessionId, TaskId};
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub(crate) use self::order::{MulticastTerms, SessionLimit};

use self::control::{Command, SessionHandle};
use self::open::{OpenSessionError, Opening};
use self::pace::{Pace, Standing};
use self::start::StartRule;
use crate::disk::Disk;
use crate::healing::Healing;
use crate::served_image::ServedImage;

/// How long sessions may take to end once they were asked to.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Who waits for the end of a stream looks so often whether it has come.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The sessions of a node.
pub(crate) struct Multicasts {
    disk: Disk,
    healing: Arc<Healing>,
    /// What all sessions together may send; `None`: no bound.
    budget: Option<BitRate>,
    sessions: Mutex<BTreeMap<SessionId, RunningSession>>,
    /// Ordered sessions that have begun to send. When one is opened again, its receivers do not
    /// wait for those that are done.
    started: Mutex<BTreeSet<SessionId>>,
    /// How fast the clients of each ordered session fetch beside its stream, also before the stream
    /// is opened and after it has ended.
    paces: Mutex<BTreeMap<SessionId, Arc<Pace>>>,
    /// One is opened at a time, so that clients that come together find the same one.
    opening: AsyncMutex<()>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

struct RunningSession {
    terms: MulticastTerms,
    handle: Arc<SessionHandle>,
    /// The bound that the session was last given.
    bound: Option<BitRate>,
}

impl Multicasts {
    pub(crate) fn new(disk: Disk, healing: Arc<Healing>, budget: Option<BitRate>) -> Self {
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        Self {
            disk,
            healing,
            budget,
            sessions: Mutex::default(),
            started: Mutex::default(),
            paces: Mutex::default(),
            opening: AsyncMutex::default(),
            tasks,
            cancel,
        }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, RunningSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self) -> MutexGuard<'_, BTreeSet<SessionId>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self, session: SessionId) -> Option<Arc<SessionHandle>> {
        self.sessions()
            .get(&session)
            .filter(|open| !open.handle.is_over())
            .map(|open| open.handle.clone())
    }

    /// The session of an order, opened now if there is none. `local` is this node's address on the
    /// connection of the client that joins, which chooses the interface where the order does
    /// not.
    async fn session(
        &self,
        terms: &MulticastTerms,
        image: &Arc<ServedImage>,
        local: Option<IpAddr>,
    ) -> Result<Arc<SessionHandle>, OpenSessionError> {
        let _turn = self.opening.lock().await;
        if let Some(handle) = self.present(terms.session) {
            return Ok(handle);
        }
        if self.cancel.is_cancelled() {
            return Err(OpenSessionError::ShuttingDown);
        }
        let bound = bound(terms.max_rate, self.budget, self.sessions().len() + 1);
        let terms = &self.terms_now(terms);
        let opening = Opening {
            terms: terms.clone(),
            image: image.clone(),
            local,
            max_rate: bound,
            cancel: self.cancel.child_token(),
        };
        let store = (self.disk.clone(), self.healing.clone());
        let handle = Arc::new(opening.open(store, &self.tasks).await?);
        foghorn_faults::wait!("agent.multicast.opened");
        info!(session = %terms.session, group = %terms.group, "multicast session opened");
        self.sessions().insert(
            terms.session,
            RunningSession {
                terms: terms.clone(),
                handle: handle.clone(),
                bound,
            },
        );
        Ok(handle)
    }

    /// The terms, with nothing to wait for if the session has begun before.
    fn terms_now(&self, terms: &MulticastTerms) -> MulticastTerms {
        let start = if self.started().contains(&terms.session) {
            StartRule::default()
        } else {
            terms.start
        };
        MulticastTerms {
            start,
            ..terms.clone()
        }
    }

    fn pace(&self, limit: SessionLimit) -> Arc<Pace> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = paces.entry(limit.session).or_insert_with(|| {
            if let Some(rate) = limit.max_rate {
                info!(session = %limit.session, %rate, "unicast of this session is limited, too");
            }
            Arc::new(Pace::new(limit.max_rate.map(session_rate)))
        });
        pace.clone()
    }

    /// Waits until `bytes` may go to this client beside the stream of its session. At once while it
    /// is in the session; otherwise within the session's limit, and slowly while the stream is sent.
    pub(crate) async fn give_way(&self, limit: SessionLimit, task: TaskId, bytes: u64) {
        let (pace, began) = (self.pace(limit), Instant::now());
        let allowed_now = || {
            let handle = self.present(limit.session);
            let standing = handle.as_ref().map_or(Standing::Alone, |handle| {
                handle.standing(ReceiverId(task.get()))
            });
            let rate = pace::allowed(standing, pace.limit(), began.elapsed())?;
            // A stream that is being sent makes room for what goes out beside it.
            Some((rate, handle.filter(|handle| handle.is_busy())))
        };
        if allowed_now().is_none() {
            return;
        }
        let _turn = pace.turn().await;
        while let Some((rate, handle)) = allowed_now() {
            match pace.ask(bytes, rate, Instant::now()) {
                Ok(()) => return handle.map_or((), |handle| handle.make_room(bytes)),
                Err(wait) => tokio::time::sleep(wait.min(LOOK_AGAIN)).await,
            }
        }
    }

    /// Takes over the limits of the sessions that have orders, and forgets the others.
    fn set_limits(&self, limits: &[SessionLimit]) {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.retain(|session, _| limits.iter().any(|limit| limit.session == *session));
        for limit in limits {
            if let Some(pace) = paces.get(&limit.session)
                && pace.set_limit(limit.max_rate.map(session_rate))
            {
                let rate = limit.max_rate.map(|rate| rate.to_string());
                info!(session = %limit.session, rate, "the limit of a session was changed");
            }
        }
    }

    /// A client's report on how the session arrives, and how many bytes its connection has carried
    /// to it, headers included. Lost when the session is busy; the next one says more.
    pub(crate) fn report(&self, session: SessionId, task: TaskId, report: Report, carried: u64) {
        if let Some(handle) = self.present(session) {
            handle.try_tell(Command::Report {
                receiver: ReceiverId(task.get()),
                report,
                carried,
            });
        }
    }

    /// A client's task was taken from it: if it ever had the key, the others get another one.
    pub(crate) fn expel(&self, session: SessionId, task: TaskId) {
        if let Some(handle) = self.present(session) {
            handle.try_tell(Command::Expel {
                receiver: ReceiverId(task.get()),
            });
        }
    }

    /// Once a second: ends sessions that no order names, takes over changed orders, shares out the
    /// budget. Returns how the sessions do. `ordered` are the orders' terms, `limits` those of all
    /// sessions with an order, also of those without a stream here, `progress` is how far their
    /// tasks are.
    pub(crate) fn tick(
        &self,
        ordered: &[MulticastTerms],
        limits: &[SessionLimit],
        progress: &BTreeMap<TaskId, SessionProgress>,
    ) -> Vec<MulticastReport> {
        self.set_limits(limits);
        let wanted: BTreeSet<SessionId> = ordered.iter().map(|terms| terms.session).collect();
        let mut sessions = self.sessions();
        {
            let mut started = self.started();
            started.extend(
                sessions
                    .iter()
                    .filter(|(_, open)| open.handle.has_started())
                    .map(|(session, _)| *session),
            );
            started.retain(|session| wanted.contains(session));
        }
        sessions.retain(|session, open| {
            let keep = wanted.contains(session) && !open.handle.is_over();
            if !keep {
                open.handle.end();
                info!(%session, "multicast session ended");
            }
            keep
        });
        let busy = sessions
            .values()
            .filter(|open| open.handle.is_busy())
            .count()
            .max(1);
        for terms in ordered {
            let Some(open) = sessions.get_mut(&terms.session) else {
                continue;
            };
            let terms = self.terms_now(terms);
            let bound = bound(terms.max_rate, self.budget, busy);
            if open.bound != bound || open.terms.start != terms.start {
                open.handle.try_tell(Command::Settings {
                    max_rate: bound,
                    start: terms.start,
                });
                (open.bound, open.terms) = (bound, terms);
            }
        }
        sessions
            .iter()
            .map(|(session, open)| report::of(*session, &open.handle.status(), progress))
            .collect()
    }

    /// Ends all sessions and waits until their threads are gone.
    pub(crate) async fn end(&self) {
        self.cancel.cancel();
        self.tasks.close();
        if tokio::time::timeout(END_WITHIN, self.tasks.wait())
            .await
            .is_err()
        {
            warn!("a multicast session did not end in time");
        }
    }
}

impl Drop for Multicasts {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// What a session may send: its own bound, and its part of the node's budget when so many sessions
/// are busy.
fn bound(own: Option<BitRate>, budget: Option<BitRate>, busy: usize) -> Option<BitRate> {
    match (own, budget.map(|all| all.shared_by(busy as u64))) {
        (Some(own), Some(part)) => Some(own.min(part)),
        (own, part) => own.or(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_its_own_bound_and_its_part_of_the_budget() {
        let rate = |megabits| Some(BitRate::from_mbit(megabits));
        assert_eq!(bound(None, None, 3), None);
        assert_eq!(bound(rate(100), None, 3), rate(100));
        assert_eq!(bound(None, rate(900), 3), rate(300));
        assert_eq!(bound(rate(100), rate(900), 3), rate(100));
        assert_eq!(bound(rate(500), rate(900), 3), rate(300));
        assert_eq!(bound(None, rate(900), 0), rate(900));
    }
}
