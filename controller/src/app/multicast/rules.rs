//! The rules for multicast from the settings and the configuration.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::{GroupRange, MulticastConfig};
use crate::state::Tables;

/// Value of `FOG_MULTICAST_MAX_SESSIONS` if the setting was deleted or is not a number.
const MAX_SESSIONS: usize = 64;
/// Value of `FOG_UDPCAST_MAXWAIT` in the same case.
const MAX_WAIT_MINUTES: u64 = 10;
/// One year; larger values are typing errors.
const MOST_MINUTES: u64 = 365 * 24 * 60;

/// See the module.
pub(crate) struct Rules<'a> {
    tables: &'a Tables,
    config: &'a MulticastConfig,
}

impl<'a> Rules<'a> {
    pub(crate) fn new(tables: &'a Tables, config: &'a MulticastConfig) -> Self {
        Self { tables, config }
    }

    /// Maximum number of sessions with groups at a time; 0 in the setting is no limit.
    pub(crate) fn max_sessions(&self) -> usize {
        match self.number("FOG_MULTICAST_MAX_SESSIONS") {
            Some(0) => usize::MAX,
            Some(most) => usize::try_from(most).unwrap_or(usize::MAX),
            None => MAX_SESSIONS,
        }
    }

    /// How long a session waits after its first receiver has checked in, unless it has a limit of
    /// its own; `None` for no limit, which is what 0 means on a FOG server.
    pub(crate) fn max_wait(&self) -> Option<Duration> {
        let minutes = self
            .number("FOG_UDPCAST_MAXWAIT")
            .unwrap_or(MAX_WAIT_MINUTES)
            .min(MOST_MINUTES);
        (minutes > 0).then(|| Duration::from_secs(minutes * 60))
    }

    /// The sending interface, if the node's row contains none.
    pub(crate) fn interface(&self) -> &'a str {
        self.tables
            .setting("FOG_UDPCAST_INTERFACE")
            .unwrap_or_default()
    }

    /// The port of every session, if the setting contains one.
    pub(crate) fn port_override(&self) -> Option<u16> {
        self.tables
            .setting("FOG_MULTICAST_PORT_OVERRIDE")?
            .parse()
            .ok()
            .filter(|port| *port != 0)
    }

    /// Groups for nodes of one address family. The setting replaces the range of its family: as
    /// many groups as there may be sessions at a time, starting at the address in the setting.
    pub(crate) fn range(&self, ipv6: bool) -> GroupRange {
        let most = u32::try_from(self.max_sessions()).unwrap_or(u32::MAX);
        let moved = self
            .tables
            .setting("FOG_MULTICAST_ADDRESS")
            .and_then(|text| text.parse::<IpAddr>().ok());
        let moved = moved.filter(|first| first.is_ipv6() == ipv6);
        let moved = moved.and_then(|first| GroupRange::starting_at(first, most).ok());
        moved.unwrap_or(if ipv6 {
            self.config.range_v6
        } else {
            self.config.range_v4
        })
    }

    fn number(&self, setting: &str) -> Option<u64> {
        self.tables.setting(setting)?.parse().ok()
    }
}
