//! The thread that writes: group commit, and the clock of leases.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tracing::{debug, error};

use super::Shared;
use super::transaction::Group;
use crate::store::{LeaseId, Revision, StoreError, Txn, TxnOutcome};

/// Most commands that share one flush. Enough to make the flush cheap, few enough that the first is not kept waiting long.
const GROUP: usize = 512;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Command {
    Commit { txn: Txn, reply: Reply<TxnOutcome> },
    Compact { revision: Revision, reply: Reply<()> },
    Grant { seconds: u32, reply: Reply<LeaseId> },
    Renew { lease: LeaseId, reply: Reply<()> },
    Revoke { lease: LeaseId, reply: Reply<()> },
}

/// Answers that wait until their group is durable. When the group fails they are dropped, which tells the callers.
type Answers = Vec<Box<dyn FnOnce()>>;

pub(super) struct Writer {
    shared: Arc<Shared>,
    announce: watch::Sender<Revision>,
    clock: LeaseClock,
}

impl Writer {
    /// Leases that outlived a restart get their whole time again: while the store was down nobody could renew them.
    pub(super) fn new(shared: Arc<Shared>, announce: watch::Sender<Revision>, leases: Vec<(LeaseId, u64)>) -> Self {
        let mut clock = LeaseClock::default();
        let now = Instant::now();
        for (lease, seconds) in leases {
            clock.start(lease, Duration::from_secs(seconds), now);
        }
        Self { shared, announce, clock }
    }

    /// Works until the inbox is closed and empty.
    pub(super) fn run(mut self, inbox: &mpsc::Receiver<Command>) {
        loop {
            let first = match self.clock.next_end() {
                Some(end) => inbox.recv_timeout(end.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            };
            let commands: Vec<Command> = match first {
                Ok(first) => std::iter::once(first).chain(inbox.try_iter()).take(GROUP).collect(),
                Err(mpsc::RecvTimeoutError::Timeout) => Vec::new(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            // Renewals first: one that came in time must not lose to the clock because the disk was busy.
            let commands = self.renew(commands, Instant::now());
            let ended = self.clock.ended(Instant::now());
            if commands.is_empty() && ended.is_empty() {
                continue;
            }
            if let Err(error) = self.write(commands, &ended) {
                error!(error = &error as &dyn std::error::Error, "a group of transactions failed");
                // Leases that could not be ended are tried again, not at once and not never.
                self.clock.postpone(&ended, Instant::now());
            }
        }
    }

    /// Answers renewals and gives back the other commands.
    fn renew(&mut self, commands: Vec<Command>, now: Instant) -> Vec<Command> {
        let mut others = Vec::with_capacity(commands.len());
        for command in commands {
            match command {
                Command::Renew { lease, reply } => {
                    let renewed =
                        if self.clock.renew(lease, now) { Ok(()) } else { Err(StoreError::NoSuchLease(lease)) };
                    let _ = reply.send(renewed); // The caller may have stopped waiting.
                }
                other => others.push(other),
            }
        }
        others
    }

    /// Runs one group: durable as a whole, then announced, then answered.
    fn write(&mut self, commands: Vec<Command>, ended: &[LeaseId]) -> Result<(), redb::Error> {
        let mut answers = Answers::with_capacity(commands.len());
        let mut granted = Vec::new();
        let mut revoked = ended.to_vec();
        let txn = self.shared.db.begin_write()?;
        let mut group = Group::begin(&txn)?;
        for lease in ended {
            debug!(?lease, "a lease has expired");
            group.end_lease(*lease)?;
        }
        for command in commands {
            match command {
                Command::Commit { txn, reply } => answers.push(answer(reply, group.commit(&txn)?)),
                Command::Compact { revision, reply } => answers.push(answer(reply, group.compact(revision)?)),
                Command::Grant { seconds, reply } => {
                    let lease = group.grant(seconds.into())?;
                    granted.push((lease, Duration::from_secs(seconds.into())));
                    answers.push(answer(reply, Ok(lease)));
                }
                Command::Revoke { lease, reply } => {
                    let was_there = group.end_lease(lease)?;
                    revoked.push(lease);
                    answers.push(answer(reply, if was_there { Ok(()) } else { Err(StoreError::NoSuchLease(lease)) }));
                }
                Command::Renew { .. } => unreachable!("renewals were answered before"),
            }
        }
        let revision = group.finish()?;
        txn.commit()?;
        let now = Instant::now();
        granted.into_iter().for_each(|(lease, ttl)| self.clock.start(lease, ttl, now));
        revoked.into_iter().for_each(|lease| self.clock.stop(lease));
        self.announce.send_if_modified(|last| std::mem::replace(last, revision) != revision);
        answers.into_iter().for_each(|answer| answer());
        Ok(())
    }
}

fn answer<T: 'static>(reply: Reply<T>, outcome: Result<T, StoreError>) -> Box<dyn FnOnce()> {
    Box::new(move || {
        let _ = reply.send(outcome); // The caller may have stopped waiting.
    })
}

/// When each lease ends. Leases are few (leadership, places in queues), so the next end is found by looking at all.
#[derive(Default)]
struct LeaseClock {
    leases: HashMap<LeaseId, (Duration, Instant)>,
}

impl LeaseClock {
    fn start(&mut self, lease: LeaseId, ttl: Duration, now: Instant) {
        self.leases.insert(lease, (ttl, now + ttl));
    }

    fn stop(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
    }

    fn renew(&mut self, lease: LeaseId, now: Instant) -> bool {
        match self.leases.get_mut(&lease) {
            Some((ttl, end)) => {
                *end = now + *ttl;
                true
            }
            None => false,
        }
    }

    fn postpone(&mut self, leases: &[LeaseId], now: Instant) {
        for lease in leases {
            if let Some((_, end)) = self.leases.get_mut(lease) {
                *end = now + Duration::from_secs(1);
            }
        }
    }

    fn next_end(&self) -> Option<Instant> {
        self.leases.values().map(|(_, end)| *end).min()
    }

    /// Leases whose time is over, in the order of their ids.
    fn ended(&self, now: Instant) -> Vec<LeaseId> {
        let mut ended: Vec<_> =
            self.leases.iter().filter(|(_, (_, end))| *end <= now).map(|(lease, _)| *lease).collect();
        ended.sort_unstable();
        ended
    }
}
