//! Settings of the API that are part of the state: whether it is on, and its token.

use serde::{Deserialize, Serialize};

use super::shelf::{Record, one_setting, stored_whole};
use crate::store::Revision;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiSettings {
    pub enabled: bool,
    /// BLAKE3 of the API token, in hexadecimal.
    pub token_hash: String,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// The API is on, and no token is right.
impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            token_hash: String::new(),
            modified: 0,
        }
    }
}

/// The form in which a token is stored.
#[must_use]
pub fn hash_token(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

impl ApiSettings {
    /// Name of the setting.
    pub const NAME: &'static str = "api";
}

impl Record for ApiSettings {
    const WHAT: &'static str = "settings of the API";
    type Index = ();

    one_setting!();
    stored_whole!();
}
