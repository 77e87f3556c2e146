//! What the controller orders, checked once when it arrives.

use foghorn_proto::link::{MulticastOrder, OpenSession, SessionKind as WireKind};
use foghorn_types::{HostId, ImageId, ManifestId, TaskId, Timestamp, chain};
use tracing::warn;

use crate::multicast::MulticastTerms;

/// BLAKE3 of a certificate (DER): stands for the one client that may use a session.
pub(super) type Fingerprint = [u8; 32];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OrderKind {
    Deploy { manifest: ManifestId },
    Capture,
}

/// Tells a task from another that had its number in a store that was restored since.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Incarnation(pub(super) u64);

impl Incarnation {
    /// Whether both may be of one task. Controllers of earlier versions do not tell (0).
    pub(super) fn may_be(self, other: Self) -> bool {
        self == other || self.0 == 0 || other.0 == 0
    }

    /// Takes over what a later order says, if it says anything.
    pub(super) fn learn(&mut self, other: Self) {
        if other.0 != 0 {
            *self = other;
        }
    }
}

/// One session that the node should have.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct SessionOrder {
    pub task: TaskId,
    pub incarnation: Incarnation,
    pub kind: OrderKind,
    pub host: HostId,
    pub image: ImageId,
    pub deadline: Timestamp,
    /// W3C trace context of the request that began it all.
    pub traceparent: Option<String>,
    /// `None` until a client has checked in.
    pub admitted: Option<Fingerprint>,
    /// A deploy that is part of a multicast session.
    pub multicast: Option<MulticastTerms>,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum CheckOrderError {
    #[error("the order has no {0} id")]
    NoId(&'static str),
    #[error("the order is neither a deploy nor a capture")]
    Kind,
    #[error("the {what} has {found} bytes, not 32")]
    Digest { what: &'static str, found: usize },
}

impl TryFrom<OpenSession> for SessionOrder {
    type Error = CheckOrderError;

    fn try_from(wire: OpenSession) -> Result<Self, Self::Error> {
        let kind = match wire.kind() {
            WireKind::Deploy => OrderKind::Deploy {
                manifest: manifest_id(&wire.manifest_id)?,
            },
            WireKind::Capture => OrderKind::Capture,
            WireKind::Unspecified => return Err(CheckOrderError::Kind),
        };
        Ok(Self {
            task: TaskId::new(wire.task_id).ok_or(CheckOrderError::NoId("task"))?,
            incarnation: Incarnation(wire.incarnation),
            kind,
            host: HostId::new(wire.host_id).ok_or(CheckOrderError::NoId("host"))?,
            image: ImageId::new(wire.image_id).ok_or(CheckOrderError::NoId("image"))?,
            deadline: Timestamp::from_millis(wire.deadline_unix_ms),
            traceparent: Some(wire.traceparent).filter(|text| !text.is_empty()),
            admitted: match wire.client_fingerprint.as_slice() {
                [] => None,
                bytes => Some(fingerprint(bytes)?),
            },
            multicast: wire
                .multicast
                .and_then(|order| multicast(order, wire.task_id)),
        })
    }
}

/// A deploy whose multicast part cannot be followed is done by unicast.
fn multicast(wire: MulticastOrder, task: u32) -> Option<MulticastTerms> {
    let checked = MulticastTerms::try_from(wire);
    checked
        .inspect_err(|problem| {
            warn!(task, error = %chain(&problem),
                "the multicast part of an order is not valid and is ignored")
        })
        .ok()
}

/// Checks the length of a manifest id from the wire.
pub(super) fn manifest_id(bytes: &[u8]) -> Result<ManifestId, CheckOrderError> {
    digest("manifest id", bytes).map(ManifestId::from_digest)
}

/// Checks the length of a certificate's fingerprint from the wire.
pub(super) fn fingerprint(bytes: &[u8]) -> Result<Fingerprint, CheckOrderError> {
    digest("client fingerprint", bytes)
}

fn digest(what: &'static str, bytes: &[u8]) -> Result<[u8; 32], CheckOrderError> {
    bytes.try_into().map_err(|_| CheckOrderError::Digest {
        what,
        found: bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_orders_are_refused() {
        let good = OpenSession {
            task_id: 1,
            kind: WireKind::Capture.into(),
            host_id: 2,
            image_id: 3,
            ..Default::default()
        };
        assert!(SessionOrder::try_from(good.clone()).is_ok());
        for bad in [
            OpenSession {
                task_id: 0,
                ..good.clone()
            },
            OpenSession {
                kind: 9,
                ..good.clone()
            },
            OpenSession {
                kind: WireKind::Deploy.into(),
                ..good.clone()
            },
            OpenSession {
                client_fingerprint: vec![1; 31],
                ..good.clone()
            },
        ] {
            assert!(
                SessionOrder::try_from(bad.clone()).is_err(),
                "{bad:?} was taken"
            );
        }
    }
}
