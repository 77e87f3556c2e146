//! What is under way on a connection, and whether its client is silent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::HANDSHAKE_WITHIN;
use crate::config::Patience;

/// Requests and answers that are under way on a connection.
#[derive(Debug)]
pub(super) struct Traffic(Mutex<UnderWay>);

#[derive(Debug)]
struct UnderWay {
    requests: usize,
    /// How many requests there have been.
    begun: u64,
    /// When the connection was last without a request.
    quiet_since: Instant,
    /// Answers of which the client has been given a piece and has not asked for the next one, and
    /// since when.
    untaken: HashMap<u64, Instant>,
}

/// What is wrong with a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It asks for nothing.
    Idle,
    /// It does not read its answer.
    Stuck,
}

impl Traffic {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(UnderWay {
            requests: 0,
            begun: 0,
            quiet_since: Instant::now(),
            untaken: HashMap::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        let mut under_way = self.lock();
        under_way.requests += 1;
        under_way.begun += 1;
        Turn {
            number: under_way.begun,
            traffic: self.clone(),
        }
    }

    pub(super) fn fault(&self, now: Instant, patience: Patience) -> Option<Fault> {
        let under_way = self.lock();
        let oldest = under_way.untaken.values().min();
        if oldest.is_some_and(|since| now.duration_since(*since) >= patience.stuck) {
            return Some(Fault::Stuck);
        }
        let quiet = if under_way.begun == 0 {
            patience.idle.min(HANDSHAKE_WITHIN)
        } else {
            patience.idle
        };
        let is_idle = under_way.requests == 0 && now.duration_since(under_way.quiet_since) >= quiet;
        is_idle.then_some(Fault::Idle)
    }
}

/// One request from its beginning to the end of its answer.
#[derive(Debug)]
pub(super) struct Turn {
    number: u64,
    traffic: Arc<Traffic>,
}

impl Turn {
    /// The client has to take what it was given before it gets more.
    pub(super) fn gave(&self) {
        let mut under_way = self.traffic.lock();
        under_way.untaken.insert(self.number, Instant::now());
    }

    /// The client can take more.
    pub(super) fn taken(&self) {
        self.traffic.lock().untaken.remove(&self.number);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self.traffic.lock();
        under_way.untaken.remove(&self.number);
        under_way.requests -= 1;
        if under_way.requests == 0 {
            under_way.quiet_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PATIENCE: Patience = Patience {
        idle: Duration::from_secs(60),
        stuck: Duration::from_secs(30),
    };

    #[test]
    fn clients_that_neither_ask_nor_read_are_found() {
        let (traffic, start) = (Traffic::new(), Instant::now());
        let after = |seconds| traffic.fault(start + Duration::from_secs(seconds), PATIENCE);
        assert_eq!((after(5), after(11)), (None, Some(Fault::Idle)));
        let turn = traffic.begin();
        assert_eq!(after(1000), None, "a long poll waits for us");
        turn.gave();
        assert_eq!((after(20), after(31)), (None, Some(Fault::Stuck)));
        turn.taken();
        assert_eq!(after(1000), None);
        drop(turn);
        assert_eq!((after(50), after(61)), (None, Some(Fault::Idle)));
    }
}
