//! The first credentials, as long as nobody has used them: they can be shown again until then, and
//! no lost terminal locks the owner out.

use serde::{Deserialize, Serialize};

use super::shelf::{Record, one_setting, stored_whole};
use crate::store::Revision;

/// See the module.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstCredentials {
    pub api_token: String,
    pub user: String,
    pub user_token: String,
    pub password: String,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl std::fmt::Debug for FirstCredentials {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstCredentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl FirstCredentials {
    /// Name of the setting.
    pub const NAME: &'static str = "first-run";
}

impl Record for FirstCredentials {
    const WHAT: &'static str = "first credentials";
    type Index = ();

    one_setting!();
    stored_whole!();
}
