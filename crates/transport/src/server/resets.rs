//! A node that was killed and is started again does not know the connections of before. Its clients
//! hear so at once, by a stateless reset (RFC 9000 §10.3), instead of waiting until they are tired of
//! the silence: the token of the reset follows from a key that outlives the process.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use rustls::pki_types::PrivateKeyDer;

/// Names the use of the key; another use gets another key.
const CONTEXT: &str = "foghorn 2026-11 quic stateless reset";
const ID_BYTES: usize = size_of::<u64>();

/// Only who has the private key can end a connection with it.
pub(super) fn configure(config: &mut EndpointConfig, key: &PrivateKeyDer<'_>) {
    let key = blake3::derive_key(CONTEXT, key.secret_der());
    config.reset_key(Arc::new(ResetKey(key)));
    // Quinn's own generator knows only the ids that its process has made, and answers no others.
    config.cid_generator(|| Box::new(RandomIds));
}

struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = blake3::keyed_hash(&self.0, data);
        let given = blake3::Hash::from_slice(signature).map_err(|_| CryptoError)?;
        // Compares in constant time.
        (given == expected).then_some(()).ok_or(CryptoError)
    }
}

struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        // Ids need to differ; nothing depends on whether somebody can guess them.
        let id = getrandom::u64()
            .unwrap_or_else(|_| RandomState::new().hash_one(Instant::now()))
            .to_le_bytes();
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
