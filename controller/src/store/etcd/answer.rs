//! What etcd's errors mean.

use std::time::Duration;

use tonic::Code;

use crate::store::StoreError;

/// A definite no: the call has changed nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    Compacted,
    YetToCome,
    Full,
    Invalid(String),
}

/// The refusal in `error`, if it is one. etcd tells several apart by their text only.
pub(super) fn refusal(error: &etcd_client::Error) -> Option<Refusal> {
    let etcd_client::Error::GRpcStatus(status) = error else {
        return None;
    };
    let text = status.message();
    match status.code() {
        Code::OutOfRange if text.contains("has been compacted") => Some(Refusal::Compacted),
        Code::OutOfRange if text.contains("is a future revision") => Some(Refusal::YetToCome),
        Code::ResourceExhausted if text.contains("space exceeded") => Some(Refusal::Full),
        Code::InvalidArgument => Some(Refusal::Invalid(text.to_owned())),
        _ => None,
    }
}

/// What to do when etcd takes no more writes.
pub(super) const FULL: &str = "the database of etcd is full (alarm NOSPACE): compact it, run `etcdctl defrag` and `etcdctl alarm disarm`, or raise --quota-backend-bytes";

pub(super) fn unavailable(
    doing: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        doing,
        source: source.into(),
    }
}

/// Waits for a call that has no refusals of its own.
pub(super) async fn in_time<T>(
    doing: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, call).await {
        Ok(done) => done.map_err(|error| unavailable(doing, error)),
        Err(late) => Err(unavailable(doing, late)),
    }
}
