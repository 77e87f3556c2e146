//! The thread that writes: group commit.

use std::sync::{Arc, mpsc};

use foghorn_types::chain;
use tokio::sync::{oneshot, watch};
use tracing::error;

use super::Shared;
use super::transaction::Group;
use crate::store::{Revision, StoreError, Txn, TxnOutcome};

/// Most commands that share one flush. Enough to make the flush cheap, few enough that the first is
/// not kept waiting long.
const GROUP: usize = 512;

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

/// Answers that wait until their group is durable. When the group fails they are dropped, which
/// tells the callers.
type Answers = Vec<Box<dyn FnOnce()>>;

pub(super) struct Writer {
    shared: Arc<Shared>,
    announce: watch::Sender<Revision>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, announce: watch::Sender<Revision>) -> Self {
        Self { shared, announce }
    }

    /// Works until the inbox is closed and empty.
    pub(super) fn run(self, inbox: &mpsc::Receiver<Command>) {
        while let Ok(first) = inbox.recv() {
            let commands = std::iter::once(first)
                .chain(inbox.try_iter())
                .take(GROUP)
                .collect();
            if let Err(error) = self.write(commands) {
                error!(error = %chain(&error), "a group of transactions could not be written");
            }
        }
    }

    /// Runs one group: durable as a whole, then announced, then answered.
    fn write(&self, commands: Vec<Command>) -> Result<(), redb::Error> {
        let mut answers = Answers::with_capacity(commands.len());
        let txn = self.shared.db.begin_write()?;
        let mut group = Group::begin(&txn)?;
        for command in commands {
            match command {
                Command::Commit { txn, reply } => {
                    answers.push(answer(reply, Ok(group.commit(&txn)?)))
                }
                Command::Compact { revision, reply } => {
                    answers.push(answer(reply, group.compact(revision)?))
                }
            }
        }
        let revision = group.finish()?;
        txn.commit()?;
        self.announce
            .send_if_modified(|last| std::mem::replace(last, revision) != revision);
        answers.into_iter().for_each(|answer| answer());
        Ok(())
    }
}

fn answer<T: 'static>(reply: Reply<T>, outcome: Result<T, StoreError>) -> Box<dyn FnOnce()> {
    Box::new(move || {
        let _ = reply.send(outcome); // The caller may have stopped waiting.
    })
}
