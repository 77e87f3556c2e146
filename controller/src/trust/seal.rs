//! Secrets that are stored: encrypted with a key that follows from that of the certificate
//! authority, which every controller of an installation has and the store has not.

use data_encoding::BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use super::Trust;

/// Why a secret could not be read or made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    #[error("the system has no random numbers")]
    Random,
    #[error("the secret could not be encrypted")]
    Seal,
    #[error(
        "the secret cannot be read: it was stored under another certificate authority, so give it again"
    )]
    Open,
}

/// Encrypts with AES-256-GCM, under a key that is derived from secret bytes (HKDF-SHA256).
pub(super) struct Sealer(LessSafeKey);

impl Sealer {
    pub(super) fn new(secret: &[u8]) -> Result<Self, SealError> {
        let salt = Salt::new(HKDF_SHA256, b"foghorn-secrets-v1");
        let key = salt.extract(secret);
        let okm = key.expand(&[b"aes-256-gcm"], &AES_256_GCM);
        let okm = okm.map_err(|_| SealError::Seal)?;
        Ok(Self(LessSafeKey::new(UnboundKey::from(okm))))
    }

    pub(super) fn seal(&self, what: &str, secret: &str) -> Result<String, SealError> {
        self.seal_bytes(what, secret.as_bytes().to_vec())
    }

    fn seal_bytes(&self, what: &str, mut bytes: Vec<u8>) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(what.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| SealError::Seal)?;
        let mut sealed = nonce.to_vec();
        sealed.append(&mut bytes);
        Ok(BASE64.encode(&sealed))
    }

    pub(super) fn open(&self, what: &str, sealed: &str) -> Result<String, SealError> {
        String::from_utf8(self.open_bytes(what, sealed)?).map_err(|_| SealError::Open)
    }

    fn open_bytes(&self, what: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let bytes = BASE64
            .decode(sealed.as_bytes())
            .map_err(|_| SealError::Open)?;
        let (nonce, rest) = bytes
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::Open)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(what.as_bytes()), &mut rest)
            .map_err(|_| SealError::Open)?;
        Ok(plain.to_vec())
    }
}

impl Trust {
    /// Encrypts a secret. `what` it is must be said again to read it.
    ///
    /// # Errors
    /// [`SealError`]
    pub fn seal(&self, what: &str, secret: &str) -> Result<String, SealError> {
        self.sealer()?.seal(what, secret)
    }

    /// As [`Trust::seal`], of what is no text.
    ///
    /// # Errors
    /// [`SealError`]
    pub fn seal_bytes(&self, what: &str, secret: Vec<u8>) -> Result<String, SealError> {
        self.sealer()?.seal_bytes(what, secret)
    }

    /// Decrypts what [`Trust::seal`] has made.
    ///
    /// # Errors
    /// [`SealError::Open`] when it was made with another authority's key, or is something else.
    pub fn unseal(&self, what: &str, sealed: &str) -> Result<String, SealError> {
        let sealer = self.sealer().map_err(|_| SealError::Open)?;
        sealer.open(what, sealed)
    }

    /// Decrypts what [`Trust::seal_bytes`] has made.
    ///
    /// # Errors
    /// As [`Trust::unseal`].
    pub fn unseal_bytes(&self, what: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let sealer = self.sealer().map_err(|_| SealError::Open)?;
        sealer.open_bytes(what, sealed)
    }

    fn sealer(&self) -> Result<Sealer, SealError> {
        Sealer::new(&self.issuer.key().serialize_der())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_authority_reads_a_secret() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let trust = Trust::load_or_create(folder.path()).unwrap();
        let sealed = trust.seal("url", "https://example.org/s3cret").unwrap();
        assert!(!sealed.contains("s3cret"));
        assert_ne!(
            Ok(&sealed),
            trust.seal("url", "https://example.org/s3cret").as_ref()
        );
        // The same authority, loaded as another controller would.
        let again = Trust::load_or_create(folder.path()).unwrap();
        assert_eq!(
            again.unseal("url", &sealed).as_deref(),
            Ok("https://example.org/s3cret")
        );
        assert_eq!(again.unseal("password", &sealed), Err(SealError::Open));
        assert_eq!(again.unseal("url", "AAAA"), Err(SealError::Open));
        let other = Trust::load_or_create(other.path()).unwrap();
        assert_eq!(other.unseal("url", &sealed), Err(SealError::Open));
        let bytes = vec![0xff, 0, 1];
        let sealed = trust.seal_bytes("files", bytes.clone()).unwrap();
        assert_eq!(again.unseal_bytes("files", &sealed), Ok(bytes));
        assert_eq!(again.unseal("files", &sealed), Err(SealError::Open));
    }
}
