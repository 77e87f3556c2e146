//! What the controller orders, checked once when it arrives.

use foghorn_proto::link::{
    MulticastOrder, OpenSession, SessionKind as WireKind, SessionLimit as WireLimit,
};
use foghorn_types::{BitRate, HostId, ImageId, ManifestId, SessionId, TaskId, Timestamp, chain};
use tracing::warn;

use crate::multicast::{MulticastTerms, SessionLimit};

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
    /// As it is called now; empty from a controller that does not say.
    pub host_name: String,
    pub image: ImageId,
    pub deadline: Timestamp,
    /// W3C trace context of the request that began it all.
    pub traceparent: Option<String>,
    /// `None` until a client has checked in.
    pub admitted: Option<Fingerprint>,
    /// A deploy that is part of a multicast session.
    pub multicast: Option<MulticastTerms>,
    /// The limit of that session, which holds also where it has no stream.
    pub limit: Option<SessionLimit>,
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
        let multicast = wire
            .multicast
            .and_then(|order| multicast(order, wire.task_id));
        let limit = match wire.session_limit {
            Some(limit) => session_limit(&limit),
            // A controller of an earlier version.
            None => multicast.as_ref().map(|terms| SessionLimit {
                session: terms.session,
                max_rate: terms.max_rate,
            }),
        };
        Ok(Self {
            task: TaskId::new(wire.task_id).ok_or(CheckOrderError::NoId("task"))?,
            incarnation: Incarnation(wire.incarnation),
            kind,
            host: HostId::new(wire.host_id).ok_or(CheckOrderError::NoId("host"))?,
            host_name: wire.host_name,
            image: ImageId::new(wire.image_id).ok_or(CheckOrderError::NoId("image"))?,
            deadline: Timestamp::from_millis(wire.deadline_unix_ms),
            traceparent: Some(wire.traceparent).filter(|text| !text.is_empty()),
            admitted: match wire.client_fingerprint.as_slice() {
                [] => None,
                bytes => Some(fingerprint(bytes)?),
            },
            multicast,
            limit,
        })
    }
}

fn session_limit(wire: &WireLimit) -> Option<SessionLimit> {
    let rate = Some(wire.max_rate_bytes_per_second).filter(|rate| *rate > 0);
    Some(SessionLimit {
        session: SessionId::new(wire.session_id)?,
        max_rate: rate.map(BitRate::from_bytes_per_second),
    })
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
    fn the_limit_of_a_session_is_known_with_and_without_a_stream() {
        let wire = |session_limit, multicast| OpenSession {
            task_id: 1,
            kind: WireKind::Capture.into(),
            host_id: 2,
            image_id: 3,
            session_limit,
            multicast,
            ..Default::default()
        };
        let limit = |wire| SessionOrder::try_from(wire).unwrap().limit;
        let own = WireLimit {
            session_id: 7,
            max_rate_bytes_per_second: 1_000_000,
        };
        let stream = MulticastOrder {
            session_id: 7,
            group: "239.255.1.7:49152".to_owned(),
            max_rate_bytes_per_second: 2_000_000,
            ..Default::default()
        };
        let expected = |megabits| {
            Some(SessionLimit {
                session: SessionId::new(7).unwrap(),
                max_rate: Some(BitRate::from_mbit(megabits)),
            })
        };
        assert_eq!(limit(wire(None, None)), None);
        assert_eq!(limit(wire(Some(own), None)), expected(8));
        assert_eq!(limit(wire(Some(own), Some(stream.clone()))), expected(8));
        assert_eq!(limit(wire(None, Some(stream))), expected(16));
    }

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
