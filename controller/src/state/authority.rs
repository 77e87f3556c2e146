//! Which certificate authority this installation has. The authority itself is on the disks of its
//! controllers; its fingerprint is here, so that two controllers with one store cannot have two.

use serde::{Deserialize, Serialize};

use super::shelf::{Record, one_setting, stored_whole};
use crate::store::Revision;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Authority {
    /// As [`crate::trust::Trust::ca_fingerprint`] gives it.
    pub fingerprint: String,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Authority {
    /// Name of the setting.
    pub const NAME: &'static str = "authority";
}

impl Record for Authority {
    const WHAT: &'static str = "fingerprint of the certificate authority";
    type Index = ();

    one_setting!();
    stored_whole!();
}
