//! What etcd's errors mean.

use std::error::Error as _;

use tonic::{Code, ConnectError};

use crate::store::StoreError;

/// A definite no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    Compacted,
    YetToCome,
    /// etcd says so also of what it has carried out, if there was room when it took it and none was
    /// left when its turn came. No other refusal has changed anything.
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
        Code::InvalidArgument if !is_about_login(text) => Some(Refusal::Invalid(text.to_owned())),
        _ => None,
    }
}

/// What to do when etcd takes no more writes.
pub(super) const FULL: &str = "the database of etcd is full (alarm NOSPACE): compact it, run `etcdctl defrag` and `etcdctl alarm disarm`, or raise --quota-backend-bytes";

/// Whether another member may do better: this one is gone, or has lost its leader.
pub(super) fn is_of_member(error: &etcd_client::Error) -> bool {
    match error {
        etcd_client::Error::GRpcStatus(status) => matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
        ),
        etcd_client::Error::TransportError(_) => true,
        _ => false,
    }
}

/// Whether the connection broke or the member ended during the call, or had no answer from its leader.
pub(super) fn is_cut(error: &etcd_client::Error) -> bool {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            matches!(
                status.code(),
                Code::Unavailable | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded
            )
        }
        etcd_client::Error::TransportError(_) => true,
        _ => false,
    }
}

/// Whether the call has certainly not been carried out: no connection, or a member that says it
/// has no leader, which it does before it looks at a call.
pub(super) fn never_arrived(error: &etcd_client::Error) -> bool {
    let etcd_client::Error::GRpcStatus(status) = error else {
        return false;
    };
    if status.code() == Code::Unavailable && status.message() == "etcdserver: no leader" {
        return true;
    }
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether etcd knows us not, or does not let us.
pub(super) fn is_permission(error: &etcd_client::Error) -> bool {
    let etcd_client::Error::GRpcStatus(status) = error else {
        return false;
    };
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => true,
        Code::InvalidArgument | Code::FailedPrecondition => is_about_login(status.message()),
        _ => false,
    }
}

fn is_about_login(text: &str) -> bool {
    ["authentication", "auth token", "user name", "permission"]
        .iter()
        .any(|word| text.contains(word))
}

pub(super) fn unavailable(
    doing: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        doing,
        source: source.into(),
    }
}
