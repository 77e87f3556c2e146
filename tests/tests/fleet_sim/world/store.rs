//! What controllers ask of the store, carried there and back.

use foghorn_controller::store::{Revision, StoreError, Txn, TxnOutcome, WatchError};

use super::World;
use crate::engine::Bug;
use crate::engine::client::{Answer, StoreCall, Watcher, unavailable};
use crate::scenario::{Millis, Place};

/// A store that does not answer is given up after this time.
const PATIENCE: Millis = 2_000;

/// A watch of a controller.
pub(crate) struct Watch {
    prefix: String,
    seen: Revision,
    to: Watcher,
}

impl World {
    /// A call leaves its controller.
    pub(crate) fn call_store(&mut self, host: usize, call: StoreCall) {
        let (starts, at) = (self.hosts[host].starts, self.now + self.store_delay());
        self.at(at, move |world| world.store_called((host, starts), call));
    }

    fn store_delay(&mut self) -> Millis {
        let most = if self.store_is_slow > 0 { 600 } else { 8 };
        1 + self.random.u64(0..most)
    }

    fn store_called(&mut self, from: (usize, u32), call: StoreCall) {
        let unreachable =
            self.store_is_down > 0 || self.net.is_cut(Place::Store, Place::Controller(from.0));
        match call {
            StoreCall::Watch(prefix, seen, to) => {
                let watch = Watch { prefix, seen, to };
                if self.hosts[from.0].starts == from.1
                    && let Some(process) = &mut self.hosts[from.0].process
                {
                    process.watches.push(watch);
                    self.tell_watches(from.0);
                }
            }
            StoreCall::Commit(txn, answer) => self.commit(from, unreachable, &txn, answer),
            StoreCall::Get(key, answer) => {
                let found = self.engine.get(&key).cloned();
                self.answer(from, "read a key", unreachable, answer, found);
            }
            StoreCall::List(prefix, answer) => {
                let found = self.engine.list(&prefix);
                self.answer(from, "list keys", unreachable, answer, found);
            }
            StoreCall::Range((a, b), most, backwards, answer) => {
                let found = self.engine.range(&a, &b, most, backwards);
                self.answer(from, "read keys", unreachable, answer, found);
            }
            StoreCall::Compact(revision, answer) => {
                if !unreachable {
                    self.engine.compact(revision);
                }
                self.answer(from, "compact", unreachable, answer, ());
            }
        }
    }

    fn commit(
        &mut self,
        from: (usize, u32),
        unreachable: bool,
        txn: &Txn,
        answer: Answer<TxnOutcome>,
    ) {
        let doing = "commit a transaction";
        // A cut may also come between the transaction and its answer: nobody knows then.
        let happens = !unreachable || self.random.u8(0..4) == 0;
        let mut outcome = TxnOutcome::Conflict;
        if happens {
            let (result, batch) = self.engine.commit(txn);
            outcome = result;
            if let Some(batch) = batch {
                self.note(|| {
                    let keys: Vec<_> = batch.changes.iter().map(|change| change.key()).collect();
                    format!("controller {} commits {}: {keys:?}", from.0, batch.revision)
                });
                self.judge_batch(&batch);
                for host in 0..self.hosts.len() {
                    let at = self.now + self.store_delay();
                    self.at(at, move |world| world.tell_watches(host));
                }
            }
        }
        self.answer(from, doing, unreachable, answer, outcome);
    }

    /// Brings the answer of the store to its controller.
    fn answer<T: Send + 'static>(
        &mut self,
        (host, starts): (usize, u32),
        doing: &'static str,
        is_lost: bool,
        answer: Answer<T>,
        result: T,
    ) {
        let delay = if is_lost {
            PATIENCE
        } else {
            self.store_delay()
        };
        self.at(self.now + delay, move |world| {
            let cut = world.net.is_cut(Place::Store, Place::Controller(host));
            let result: Result<T, StoreError> = match is_lost || cut {
                true => Err(unavailable(doing)),
                false => Ok(result),
            };
            if world.hosts[host].starts == starts {
                let _gone = answer.send(result);
                world.due(host);
            }
        });
    }

    /// Tells the watches of a controller what they have not heard yet.
    pub(crate) fn tell_watches(&mut self, host: usize) {
        let unreachable =
            self.store_is_down > 0 || self.net.is_cut(Place::Store, Place::Controller(host));
        let Some(process) = &mut self.hosts[host].process else {
            return;
        };
        if unreachable {
            if !process.watches.is_empty() {
                self.at(self.now + 100, move |world| world.tell_watches(host));
            }
            return;
        }
        let (engine, random) = (&self.engine, &mut self.random);
        let mut told = false;
        process.watches.retain_mut(|watch| {
            let batches = match engine.since(&watch.prefix, watch.seen) {
                Ok(batches) => batches,
                Err(compacted) => {
                    told = true;
                    let _gone = watch.to.send(Err(WatchError::Compacted { compacted }));
                    return false;
                }
            };
            batches.into_iter().all(|batch| {
                told = true;
                watch.seen = batch.revision;
                let loses = engine.bug == Some(Bug::LosesAnEvent) && random.u8(0..30) == 0;
                loses || watch.to.send(Ok(batch)).is_ok()
            })
        });
        if told {
            self.due(host);
        }
    }

    /// The watches of a controller break off.
    pub(crate) fn break_watches(&mut self, host: usize) {
        if let Some(process) = &mut self.hosts[host].process {
            for watch in process.watches.drain(..) {
                let _gone = watch.to.send(Err(unavailable("watch keys").into()));
            }
            self.due(host);
        }
    }
}
