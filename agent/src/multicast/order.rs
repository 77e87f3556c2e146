//! The multicast part of an order, checked once when it arrives.

use std::net::SocketAddr;

use foghorn_multicast::Floor;
use foghorn_proto::link::MulticastOrder;
use foghorn_transport::multicast::{InterfaceChoice, ParseInterfaceError, session_rate};
use foghorn_types::{BitRate, SessionId, Timestamp};

use super::start::StartRule;

/// How fast all that belongs to a session may be sent together, by multicast and by unicast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SessionLimit {
    pub session: SessionId,
    /// On the wire; `None`: as fast as it goes.
    pub max_rate: Option<BitRate>,
}

/// How a session is to be sent.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct MulticastTerms {
    pub session: SessionId,
    pub group: SocketAddr,
    /// `None`: the interface on which clients reach this node.
    pub interface: Option<InterfaceChoice>,
    /// On the wire; `None`: what the group sustains.
    pub max_rate: Option<BitRate>,
    pub floor: Floor,
    pub ttl: u8,
    pub source_specific: bool,
    pub start: StartRule,
}

/// The order cannot be followed. Each names its field.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum CheckMulticastError {
    #[error("session_id: must not be 0")]
    Session,
    #[error("group: {0:?} is not a multicast address with a port")]
    Group(String),
    #[error("interface: {0}")]
    Interface(#[from] ParseInterfaceError),
    #[error("ttl: {0} is above 255")]
    Ttl(u32),
}

/// Half of the fastest rate: receivers slower than that would hold the others up.
const DEFAULT_FLOOR: Floor = Floor::Share(500_000);

impl TryFrom<MulticastOrder> for MulticastTerms {
    type Error = CheckMulticastError;

    fn try_from(wire: MulticastOrder) -> Result<Self, Self::Error> {
        let group: Option<SocketAddr> = wire.group.parse().ok();
        let usable = |group: &SocketAddr| group.ip().is_multicast() && group.port() != 0;
        let rate = |bytes| Some(BitRate::from_bytes_per_second(bytes)).filter(|_| bytes > 0);
        let time = |millis| Some(Timestamp::from_millis(millis)).filter(|_| millis > 0);
        Ok(Self {
            session: SessionId::new(wire.session_id).ok_or(CheckMulticastError::Session)?,
            group: group
                .filter(usable)
                .ok_or(CheckMulticastError::Group(wire.group))?,
            interface: match wire.interface.as_str() {
                "" => None,
                named => Some(named.parse()?),
            },
            max_rate: rate(wire.max_rate_bytes_per_second),
            floor: rate(wire.floor_bytes_per_second)
                .map_or(DEFAULT_FLOOR, |floor| Floor::Rate(session_rate(floor))),
            ttl: u8::try_from(wire.ttl.max(1)).map_err(|_| CheckMulticastError::Ttl(wire.ttl))?,
            source_specific: wire.source_specific,
            start: StartRule {
                receivers: wire.start_receivers,
                at: time(wire.start_unix_ms),
                latest: time(wire.start_latest_unix_ms),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> MulticastOrder {
        MulticastOrder {
            session_id: 3,
            group: "239.255.1.7:49152".to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let terms = MulticastTerms::try_from(order()).unwrap();
        assert_eq!(
            (terms.ttl, terms.max_rate, terms.interface, terms.floor),
            (1, None, None, DEFAULT_FLOOR)
        );
        let v6 = MulticastOrder {
            group: "[ff18::7]:49152".to_owned(),
            ttl: 8,
            ..order()
        };
        assert_eq!(MulticastTerms::try_from(v6).unwrap().ttl, 8);
    }

    #[test]
    fn each_bad_field_is_named() {
        for (bad, field) in [
            (
                MulticastOrder {
                    session_id: 0,
                    ..order()
                },
                "session_id",
            ),
            (
                MulticastOrder {
                    group: "10.0.0.1:5".to_owned(),
                    ..order()
                },
                "group",
            ),
            (
                MulticastOrder {
                    group: "239.1.1.1:0".to_owned(),
                    ..order()
                },
                "group",
            ),
            (
                MulticastOrder {
                    interface: "a name that is too long".to_owned(),
                    ..order()
                },
                "interface",
            ),
            (
                MulticastOrder {
                    ttl: 256,
                    ..order()
                },
                "ttl",
            ),
        ] {
            let error = MulticastTerms::try_from(bad).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
