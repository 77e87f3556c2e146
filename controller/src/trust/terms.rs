//! What all certificates have in common: names, and the times between which they are good.

use std::time::Duration;

use foghorn_types::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, date_time_ymd};

/// A name in every server certificate of the controller, whatever its address. Agents verify it on
/// the link.
pub const CONTROLLER_TLS_NAME: &str = "controller.foghorn.internal";

/// Certificates start this much in the past, for machines whose clock is slow.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(15 * 60);

/// Lifetimes of new certificates. That of a client's certificate depends on its task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetimes {
    /// Agents' certificates. Default 30 days.
    pub node: Duration,
    /// The controller's own. Default 30 days.
    pub server: Duration,
    /// Devices'. Default ten years: not every program that devices run renews its certificate, and
    /// one that was deleted is refused whatever its certificate says.
    pub device: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
        Self {
            node: MONTH,
            server: MONTH,
            device: MONTH * 122,
        }
    }
}

/// Sets the validity of a certificate. X.509 has a resolution of seconds: the end is rounded down.
pub(super) fn set_validity(params: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    let since_epoch = now.since(Timestamp::from_millis(0));
    params.not_before = epoch + since_epoch.saturating_sub(CLOCK_TOLERANCE);
    params.not_after = epoch + (since_epoch + lifetime);
}

pub(super) fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}
