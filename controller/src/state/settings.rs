//! Settings of the API that are part of the state: whether it is on, and its token.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::key;
use crate::store::{Op, Revision};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiSettings {
    pub enabled: bool,
    /// BLAKE3 of the API token, in hexadecimal.
    pub token_hash: String,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    enabled: bool,
    token_hash: String,
}

const VERSION: u32 = 1;

/// The form in which a token is stored.
#[must_use]
pub fn hash_token(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

impl ApiSettings {
    /// Name of the setting.
    pub const NAME: &'static str = "api";

    #[must_use]
    pub fn put_op(&self) -> Op {
        let record = Record { v: VERSION, enabled: self.enabled, token_hash: self.token_hash.clone() };
        let value = serde_json::to_vec(&record).expect("a flag and a text can be written as JSON");
        Op::Put { key: key::setting(Self::NAME), value: Bytes::from(value), lease: None }
    }

    pub(crate) fn decode(value: &[u8], modified: Revision) -> Result<Self, String> {
        let record: Record = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        if record.v != VERSION {
            return Err(format!("API settings of version {}, this program reads {VERSION}", record.v));
        }
        Ok(Self { enabled: record.enabled, token_hash: record.token_hash, modified })
    }
}
