//! The whole state in one encrypted file: the way from one box to etcd, to another machine, and into
//! a safe place.
//!
//! What a file is made of, from its beginning (`docs/decisions/0018-state-files.md` says why):
//!
//! 1. one line of JSON, the [`Header`];
//! 2. blocks: four bytes of length (big endian), then that many bytes: content that was compressed
//!    with zstd and encrypted with AES-256-GCM. The nonce is the number of the block; what is
//!    authenticated beside it is the hash of the header, so no block can be left out, moved, or put
//!    under another header. The last block says how much there was;
//! 3. four zero bytes, and a line `blake3:` with the checksum of everything before that line, which
//!    tells damage from a wrong passphrase.

mod content;
mod export;
mod folder;
mod import;
mod key;
mod reader;
mod writer;

use std::io;

use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::export::{ExportError, Exported, export};
pub use self::folder::FolderError;
pub(crate) use self::folder::{forget_old, take, unfinished};
pub use self::import::{ImportError, ImportTerms, Imported, import};
use self::key::Kdf;
pub use self::reader::{Checked, check};
use crate::state::imports::{IMPORTED, MARKER};
use crate::state::{controller_record, kept_authority};
use crate::store::Revision;

/// The version of the format.
const FORMAT: u32 = 1;
/// Everything of an installation has keys with this prefix.
const EVERYTHING: &str = "/foghorn/";
/// Keys that stay with their store.
const LEFT_OUT: [&str; 4] = [
    crate::store::probe::KEY,
    kept_authority::KEY,
    MARKER,
    IMPORTED,
];

/// Whether this key belongs to the store that it is in, and neither travels nor is replaced.
fn stays(key: &str) -> bool {
    // Whoever took a fence away would let in what was sent before an import, after it.
    let prefixes = [controller_record::PREFIX, crate::store::etcd::FENCES];
    LEFT_OUT.contains(&key) || prefixes.iter().any(|prefix| key.starts_with(prefix))
}

/// A shorter passphrase is refused.
pub const SHORTEST_PASSPHRASE: usize = 8;

/// The first line of a file. It is not secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub foghorn_state: u32,
    /// Version of the program that wrote it.
    pub software: String,
    /// The revision of the store that it is a copy of.
    pub revision: Revision,
    pub made: Timestamp,
    /// Fingerprint of the certificate authority that the state belongs to.
    pub authority: String,
    /// Whether the authority is in the file, with its key.
    pub has_authority: bool,
    kdf: Kdf,
    cipher: String,
    compression: String,
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("this is not a state file: its first line is not the header of one")]
    NotOurs,
    #[error(
        "the file has format {found}, and this version reads {FORMAT}: use the version of Foghorn that wrote it, or a newer one"
    )]
    Format { found: u32 },
    #[error("the file is cut off or damaged: {0}")]
    Damaged(&'static str),
    #[error("the passphrase is wrong")]
    Passphrase,
    #[error("could not read the file")]
    Read(#[from] io::Error),
}
