//! The thread that writes: group commit, and opening the file again after a failure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tracing::{error, info};

use super::Shared;
use super::file::{self, Space, Trouble};
use super::transaction::Group;
use crate::store::check::txn_bytes;
use crate::store::{Revision, StoreError, Txn, TxnOutcome};

/// Most commands that share one flush. Enough to make the flush cheap, few enough that the first is
/// not kept waiting long.
const GROUP: usize = 512;
/// Pause between attempts to open a file that has failed.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Command {
    Commit {
        txn: Txn,
        reply: Reply<TxnOutcome>,
    },
    Compact {
        revision: Revision,
        reply: Reply<()>,
    },
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Commit { txn, .. } => txn_bytes(txn),
            Self::Compact { .. } => 0,
        }
    }

    fn refuse(self, trouble: &Trouble) {
        // The caller may have stopped waiting.
        match self {
            Self::Commit { reply, .. } => {
                let _ = reply.send(Err(trouble.while_doing("commit a transaction")));
            }
            Self::Compact { reply, .. } => {
                let _ = reply.send(Err(trouble.while_doing("compact the history")));
            }
        }
    }

    fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Commit { reply, .. }, Outcome::Commit(outcome)) => {
                let _ = reply.send(Ok(outcome));
            }
            (Self::Compact { reply, .. }, Outcome::Compact(outcome)) => {
                let _ = reply.send(outcome);
            }
            _ => unreachable!("outcomes are in the order of the commands"),
        }
    }
}

/// What a command will be told when its group is durable.
enum Outcome {
    Commit(TxnOutcome),
    Compact(Result<(), StoreError>),
}

/// A group as far as it came.
#[derive(Default)]
struct Written {
    outcomes: Vec<Outcome>,
    /// The last revision, once all of the group was ready to be committed.
    revision: Option<Revision>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    announce: watch::Sender<Revision>,
    /// When the file was last tried to be opened after a failure.
    tried: Option<Instant>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, announce: watch::Sender<Revision>) -> Self {
        Self {
            shared,
            announce,
            tried: None,
        }
    }

    /// Works until the inbox is closed and empty.
    pub(super) fn run(mut self, inbox: &mpsc::Receiver<Command>) {
        loop {
            let first = match inbox.recv_timeout(OPEN_AGAIN_AFTER) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.is_broken() && self.is_due() {
                self.open_again();
            }
            let Some(first) = first else { continue };
            let commands = std::iter::once(first)
                .chain(inbox.try_iter())
                .take(GROUP)
                .collect();
            self.serve(commands);
        }
    }

    fn is_broken(&self) -> bool {
        self.shared.suspect.load(Ordering::Acquire) || self.shared.trouble().is_some()
    }

    fn is_due(&self) -> bool {
        self.tried
            .is_none_or(|tried| tried.elapsed() >= OPEN_AGAIN_AFTER)
    }

    /// Runs one group and answers all of it.
    fn serve(&mut self, commands: Vec<Command>) {
        let bytes = commands.iter().map(Command::bytes).sum();
        let refused = self.shared.trouble();
        if let Some(trouble) = refused.or_else(|| Space::refuse(&self.shared.path, bytes)) {
            commands
                .into_iter()
                .for_each(|command| command.refuse(&trouble));
            return;
        }
        let before = *self.announce.borrow();
        let mut written = Written::default();
        let done = catch_unwind(AssertUnwindSafe(|| self.write(&commands, &mut written)));
        let trouble = match done {
            Ok(Ok(())) => return self.answer(commands, written),
            Ok(Err(error)) => Trouble::of_write(&self.shared.path, &error),
            Err(panic) => Trouble::of_panic(&self.shared.path, &*panic),
        };
        error!(
            error = trouble.text(),
            "a group of transactions could not be written"
        );
        let found = self.open_again();
        // A commit that failed may be in the file all the same.
        if found.is_some() && found == written.revision && found != Some(before) {
            return self.answer(commands, written);
        }
        let trouble = self.shared.trouble().unwrap_or(trouble);
        commands
            .into_iter()
            .for_each(|command| command.refuse(&trouble));
    }

    /// What is announced and answered is durable.
    fn answer(&self, commands: Vec<Command>, written: Written) {
        if let Some(revision) = written.revision {
            self.announce(revision);
        }
        for (command, outcome) in commands.into_iter().zip(written.outcomes) {
            command.answer(outcome);
        }
    }

    fn announce(&self, revision: Revision) {
        self.announce
            .send_if_modified(|last| std::mem::replace(last, revision) != revision);
    }

    fn write(&self, commands: &[Command], written: &mut Written) -> Result<(), redb::Error> {
        let file = self.shared.file.read();
        let file = file.unwrap_or_else(PoisonError::into_inner);
        let Ok(db) = &*file else {
            return Err(redb::Error::PreviousIo); // It was open a moment ago, and only we close it.
        };
        let txn = db.begin_write()?;
        let mut group = Group::begin(&txn)?;
        for command in commands {
            written.outcomes.push(match command {
                Command::Commit { txn, .. } => Outcome::Commit(group.commit(txn)?),
                Command::Compact { revision, .. } => Outcome::Compact(group.compact(*revision)?),
            });
        }
        written.revision = Some(group.finish()?);
        // In one phase, on purpose. redb keeps the state before the last one whole until the next
        // commit, and when the last one does not verify after a crash, it goes back to that. With
        // its two-phase commit (or quick repair) it trusts the last one and gives up instead; the
        // second flush would double the time of a change, and only helps if the disk tells the
        // truth about flushes, which is when one phase loses nothing either. What loses both
        // states is a device that reported a flush as done and lost it, as a thin one may whose
        // pool is full: no setting of redb helps there, and the store is refused in words.
        foghorn_faults::fail!("controller.embedded.before-commit").map_err(redb::Error::Io)?;
        txn.commit()?;
        foghorn_faults::fail!("controller.embedded.committed").map_err(redb::Error::Io)?;
        Ok(())
    }

    /// Closes the file and opens it again. Returns its revision if that worked.
    fn open_again(&mut self) -> Option<Revision> {
        self.tried = Some(Instant::now());
        let known = *self.announce.borrow();
        let was_closed = self.shared.trouble();
        // redb allows a file to be open once. Reads that are under way end first.
        let closing = Trouble::opening(&self.shared.path);
        self.set_file(Err(was_closed.clone().unwrap_or(closing)));
        self.shared.suspect.store(false, Ordering::Release);
        let (state, found) = match file::open_again(&self.shared.path, known) {
            Ok((db, found)) => (Ok(db), Some(found)),
            Err(trouble) => (Err(trouble), None),
        };
        match &state {
            Ok(_) => info!(path = %self.shared.path.display(), "the store has been opened again"),
            Err(trouble) if was_closed.as_ref() != Some(trouble) => {
                error!(
                    error = trouble.text(),
                    "the store could not be opened again"
                );
            }
            Err(_) => {}
        }
        self.set_file(state);
        if let Some(revision) = found {
            self.announce(revision);
        }
        found
    }

    fn set_file(&self, state: Result<redb::Database, Trouble>) {
        let file = self.shared.file.write();
        let old = std::mem::replace(&mut *file.unwrap_or_else(PoisonError::into_inner), state);
        // Closing a damaged file may panic as well.
        if catch_unwind(AssertUnwindSafe(|| drop(old))).is_err() {
            error!("closing the store panicked");
        }
    }
}
