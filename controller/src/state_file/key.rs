//! The key of a file, from its passphrase: argon2id, then AES-256-GCM.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

/// Some tenths of a second of one core.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// A file that asks for more is refused, lest reading its header takes all memory.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 16;
const SALT: usize = 32;

/// How the key follows from the passphrase.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Kdf {
    name: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    /// Base64. Random for each file, so no two files have the same key.
    salt: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the system has no random numbers")]
    Random,
    #[error(
        "the key could not be made from the passphrase: the parameters in the header are not usable"
    )]
    Parameters,
}

impl Kdf {
    pub(super) fn new() -> Result<Self, KeyError> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(|_| KeyError::Random)?;
        Ok(Self {
            name: "argon2id".to_owned(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: 1,
            salt: BASE64.encode(&salt),
        })
    }

    /// Takes a while: not on an async thread.
    fn derive(&self, passphrase: &str) -> Result<[u8; 32], KeyError> {
        let wrong = |_| KeyError::Parameters;
        let is_usable = self.name == "argon2id"
            && self.memory_kib <= MOST_MEMORY_KIB
            && self.passes <= MOST_PASSES
            && self.lanes <= 16;
        if !is_usable {
            return Err(KeyError::Parameters);
        }
        let salt = BASE64.decode(self.salt.as_bytes());
        let salt = salt.map_err(|_| KeyError::Parameters)?;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32));
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(wrong)?);
        let mut key = [0; 32];
        argon
            .hash_password_into(passphrase.as_bytes(), &salt, &mut key)
            .map_err(wrong)?;
        Ok(key)
    }
}

/// Encrypts and decrypts the blocks of one file.
pub(super) struct Sealer {
    key: LessSafeKey,
    /// Hash of the header.
    header: [u8; 32],
}

impl Sealer {
    /// `header`: the first line, without its end.
    pub(super) fn new(kdf: &Kdf, passphrase: &str, header: &[u8]) -> Result<Self, KeyError> {
        let key = kdf.derive(passphrase)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| KeyError::Parameters)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            header: *blake3::hash(header).as_bytes(),
        })
    }

    /// `None` only if the block is longer than the cipher takes.
    pub(super) fn seal(&self, number: u64, mut block: Vec<u8>) -> Option<Vec<u8>> {
        let aad = Aad::from(self.header);
        let sealed = self
            .key
            .seal_in_place_append_tag(nonce(number), aad, &mut block);
        sealed.ok().map(|()| block)
    }

    /// `None` when the key is another, or the block.
    pub(super) fn open(&self, number: u64, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let aad = Aad::from(self.header);
        let opened = self.key.open_in_place(nonce(number), aad, &mut sealed);
        let length = opened.ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

/// Each number once per key, and each file has its own key.
fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}
