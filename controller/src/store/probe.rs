//! Whether a write would work: a small one is made, and its result is kept for some seconds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foghorn_types::chain;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Op, Store, Txn};

/// Outside the prefix of the watch cache: nothing shows it and no event is made of it.
pub(crate) const KEY: &str = "/foghorn/probe/v1";
/// An engine that does not answer by then is not there.
const WITHIN: Duration = Duration::from_secs(2);
/// Whoever asks more often gets the last result, so that strangers cost nothing.
const KEPT: Duration = Duration::from_secs(3);
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// `Err` says why a write does not work.
type Outcome = Result<(), Arc<str>>;

/// Asks an engine whether it can write.
pub struct WriteProbe {
    store: Arc<dyn Store>,
    last: Mutex<Option<(Instant, Outcome)>>,
}

impl WriteProbe {
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            last: Mutex::new(None),
        }
    }

    /// `Err` says why a write does not work and, where that is known, what to do.
    ///
    /// # Errors
    /// The text for people.
    pub async fn check(&self) -> Result<(), Arc<str>> {
        let mut last = self.last.lock().await;
        if let Some((when, result)) = &*last {
            let kept = if result.is_ok() { KEPT } else { FAILURE_KEPT };
            if when.elapsed() < kept {
                return result.clone();
            }
        }
        let result = self.write().await;
        *last = Some((Instant::now(), result.clone()));
        result
    }

    async fn write(&self) -> Outcome {
        let txn = Txn {
            ops: vec![Op::Put {
                key: KEY.to_owned(),
                value: Bytes::from_static(b"1"),
            }],
            ..Txn::default()
        };
        match timeout(WITHIN, self.store.commit(txn)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(chain(&error).to_string().into()),
            Err(_) => Err(format!(
                "the state store did not answer a write within {} seconds",
                WITHIN.as_secs()
            )
            .into()),
        }
    }
}
