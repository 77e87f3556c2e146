//! Secrets for one device: ECIES (SEC 1) over P-256 with AES-128-CTR and HMAC-SHA-256, as the devices of this API expect it.
//!
//! A message is the ephemeral point (65 bytes, uncompressed), the IV (16), the cipher text and the tag (32), as base64.
//! Nothing is decrypted before its tag was found right.

use std::fmt;

use aes::Aes128;
use ctr::cipher::{KeyIvInit, StreamCipher};
use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};

type Cipher = ctr::Ctr128BE<Aes128>;
type Tag = Hmac<Sha256>;

const POINT: usize = 65;
const IV: usize = 16;
const TAG: usize = 32;
/// First byte of a point that has both of its coordinates.
const UNCOMPRESSED: u8 = 4;

/// How many bytes a message is longer than its text, before base64.
pub const OVERHEAD: usize = POINT + IV + TAG;

/// The private key of a device.
#[derive(Clone)]
pub struct DeviceKey(SecretKey);

/// The public key of a device, for whom a secret is encrypted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipient(PublicKey);

/// Bytes that nobody can guess and that are never used a second time.
#[derive(Clone, Copy)]
pub struct Randomness {
    /// The ephemeral private key.
    pub scalar: [u8; 32],
    /// The first block of the counter.
    pub iv: [u8; IV],
}

/// A text that is no private key of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is no private key on P-256 in PEM (`EC PRIVATE KEY` or `PRIVATE KEY`)")]
pub struct BadKey;

/// A text that is no public key of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is no public key on P-256 in PEM (`PUBLIC KEY`)")]
pub struct BadRecipient;

/// Why a message was not encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the random bytes are no private key on P-256; take others")]
pub struct BadRandomness;

/// Why a message was not decrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecryptError {
    /// Or not with its padding.
    #[error("it is no base64")]
    NotBase64,
    /// Not even the empty text is that short.
    #[error("it has {0} bytes; an encrypted value has at least {OVERHEAD}")]
    TooShort(usize),
    /// Whoever answers to points elsewhere gives his key away bit by bit.
    #[error("it does not begin with a point on P-256")]
    NoPoint,
    /// It was encrypted for another device, or changed on its way.
    #[error("it was encrypted for another key, or is damaged")]
    WrongTag,
}

impl fmt::Debug for DeviceKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey")
    }
}

impl fmt::Debug for Randomness {
    /// Without the bytes, which would open the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness")
    }
}

impl DeviceKey {
    /// Reads a key in the forms of SEC 1 and of PKCS #8. Other blocks around it are passed over: some programs
    /// write the parameters of the curve or certificates there.
    ///
    /// # Errors
    /// When there is none, or it is on another curve.
    pub fn from_pem(text: &str) -> Result<Self, BadKey> {
        let key = match block(text, "EC PRIVATE KEY") {
            Some(sec1) => SecretKey::from_sec1_pem(sec1).ok(),
            None => {
                block(text, "PRIVATE KEY").and_then(|pkcs8| SecretKey::from_pkcs8_pem(pkcs8).ok())
            }
        };
        key.map(Self).ok_or(BadKey)
    }

    /// The key with this number.
    ///
    /// # Errors
    /// When the number is 0 or not below the order of the curve.
    pub fn from_scalar(scalar: &[u8; 32]) -> Result<Self, BadKey> {
        SecretKey::from_slice(scalar).map(Self).map_err(|_| BadKey)
    }

    /// What others need to encrypt for this device.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.public_key())
    }

    /// Decrypts a message. Line breaks in it do not count.
    ///
    /// # Errors
    /// When it is no message for this key.
    pub fn decrypt(&self, message: &str) -> Result<Vec<u8>, DecryptError> {
        let text: Vec<u8> = message
            .bytes()
            .filter(|byte| !b"\r\n".contains(byte))
            .collect();
        let message = BASE64.decode(&text).map_err(|_| DecryptError::NotBase64)?;
        self.decrypt_bytes(&message)
    }

    fn decrypt_bytes(&self, message: &[u8]) -> Result<Vec<u8>, DecryptError> {
        if message.len() < OVERHEAD {
            return Err(DecryptError::TooShort(message.len()));
        }
        let (point, rest) = message.split_at(POINT);
        let (body, tag) = rest.split_at(rest.len() - TAG);
        if point[0] != UNCOMPRESSED {
            return Err(DecryptError::NoPoint);
        }
        let point = PublicKey::from_sec1_bytes(point).map_err(|_| DecryptError::NoPoint)?;
        let keys = Keys::of(&self.0, &point);
        // Compares in constant time.
        keys.tag(body)
            .verify_slice(tag)
            .map_err(|_| DecryptError::WrongTag)?;
        let (iv, cipher_text) = body.split_at(IV);
        let mut text = cipher_text.to_vec();
        keys.cipher(iv).apply_keystream(&mut text);
        Ok(text)
    }
}

/// The first block of this kind in a file.
fn block<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    let end = format!("-----END {label}-----");
    let from = text.find(&format!("-----BEGIN {label}-----"))?;
    let length = text[from..].find(&end)? + end.len();
    Some(&text[from..from + length])
}

impl Recipient {
    /// Reads a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// When it is none, or on another curve.
    pub fn from_pem(text: &str) -> Result<Self, BadRecipient> {
        let key = PublicKey::from_public_key_pem(text.trim());
        key.map(Self).map_err(|_| BadRecipient)
    }

    /// Encrypts a text. The bytes of `random` must not be used for another one.
    ///
    /// # Errors
    /// For one in four thousand million random bytes.
    pub fn encrypt(&self, text: &[u8], random: &Randomness) -> Result<String, BadRandomness> {
        let ephemeral = SecretKey::from_slice(&random.scalar).map_err(|_| BadRandomness)?;
        let keys = Keys::of(&ephemeral, &self.0);
        let mut message = Vec::with_capacity(OVERHEAD + text.len());
        let point = ephemeral.public_key().to_encoded_point(false);
        message.extend_from_slice(point.as_bytes());
        message.extend_from_slice(&random.iv);
        message.extend_from_slice(text);
        keys.cipher(&random.iv)
            .apply_keystream(&mut message[POINT + IV..]);
        let tag = keys.tag(&message[POINT..]).finalize().into_bytes();
        message.extend_from_slice(&tag);
        Ok(BASE64.encode(&message))
    }
}

/// What both ends derive from the shared secret.
struct Keys {
    cipher: [u8; 16],
    tag: [u8; 32],
}

impl Keys {
    fn of(own: &SecretKey, theirs: &PublicKey) -> Self {
        let shared = p256::ecdh::diffie_hellman(own.to_nonzero_scalar(), theirs.as_affine());
        // One block of the KDF is all that is needed; it is counted from 1.
        let derived = Sha256::new()
            .chain_update([0_u8, 0, 0, 1])
            .chain_update(shared.raw_secret_bytes())
            .finalize();
        let (cipher, tag) = derived.split_at(16);
        Self {
            cipher: cipher.try_into().expect("the first 16 of 32 bytes"),
            tag: Sha256::digest(tag).into(),
        }
    }

    fn cipher(&self, iv: &[u8]) -> Cipher {
        Cipher::new_from_slices(&self.cipher, iv).expect("both have 16 bytes")
    }

    /// The state of the tag over IV and cipher text.
    fn tag(&self, body: &[u8]) -> Tag {
        let mut tag = <Tag as Mac>::new_from_slice(&self.tag).expect("keys may have any length");
        tag.update(body);
        tag
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    /// Made by a client of another make.
    const SCALAR: &str = "d09e4f47bf9a9d5724cfb3eb46454658b5f128b84d4aae79d981a09250bc07ff";
    const MESSAGE: &str = "BJrwrqOX+kEm0Nlrk08Q4YO5tKEHNojnAu6nArbURm284/9bldauidtZpmTmpnv21ru28+mjaZR/Trl8pFqFK8AEFlmLKYdw6UKiiwIMHVaQCZQBztdAf5ldJshGUs4aJueywyUNJwyONVWnLrv4++6ACP787Q==";

    fn key() -> DeviceKey {
        let scalar = HEXLOWER.decode(SCALAR.as_bytes()).unwrap();
        DeviceKey::from_scalar(&scalar.try_into().unwrap()).unwrap()
    }

    #[test]
    fn the_vector_is_read() {
        assert_eq!(key().decrypt(MESSAGE).unwrap(), b"hello");
        let (first, second) = MESSAGE.split_at(76);
        let broken = format!("{first}\r\n{second}\n");
        assert_eq!(key().decrypt(&broken).unwrap(), b"hello");
    }

    #[test]
    fn every_bit_of_a_message_counts() {
        let (key, message) = (key(), BASE64.decode(MESSAGE.as_bytes()).unwrap());
        assert_eq!(message.len(), OVERHEAD + 5);
        for bit in 0..message.len() * 8 {
            let mut changed = message.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key.decrypt_bytes(&changed).is_err(), "bit {bit}");
        }
        for bit in 0..MESSAGE.len() * 8 {
            let mut changed = MESSAGE.as_bytes().to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(text) = String::from_utf8(changed) {
                assert!(key.decrypt(&text).is_err(), "bit {bit} of the base64");
            }
        }
        for length in 0..message.len() {
            assert!(
                key.decrypt_bytes(&message[..length]).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn each_reason_is_told() {
        let key = key();
        assert_eq!(key.decrypt("!"), Err(DecryptError::NotBase64));
        assert_eq!(
            key.decrypt(MESSAGE.trim_end_matches('=')),
            Err(DecryptError::NotBase64)
        );
        assert_eq!(key.decrypt("AAAA"), Err(DecryptError::TooShort(3)));
        let mut message = BASE64.decode(MESSAGE.as_bytes()).unwrap();
        let last = message.len() - 1;
        message[last] ^= 1;
        assert_eq!(key.decrypt_bytes(&message), Err(DecryptError::WrongTag));
        // The same point in its short form.
        let mut compressed = vec![2 + (message[64] & 1)];
        compressed.extend_from_slice(&message[1..33]);
        compressed.extend_from_slice(&message[POINT..]);
        compressed.extend_from_slice(&[0; 32]);
        assert_eq!(key.decrypt_bytes(&compressed), Err(DecryptError::NoPoint));
        let mut off_the_curve = message.clone();
        off_the_curve[64] ^= 1;
        assert_eq!(
            key.decrypt_bytes(&off_the_curve),
            Err(DecryptError::NoPoint)
        );
    }

    #[test]
    fn a_message_for_another_device_is_not_read() {
        let other = DeviceKey::from_scalar(&[7; 32]).unwrap();
        assert_eq!(other.decrypt(MESSAGE), Err(DecryptError::WrongTag));
    }

    #[test]
    fn zero_is_no_key() {
        assert!(DeviceKey::from_scalar(&[0; 32]).is_err());
        assert!(DeviceKey::from_scalar(&[255; 32]).is_err());
        let random = Randomness {
            scalar: [0; 32],
            iv: [0; 16],
        };
        assert_eq!(key().recipient().encrypt(b"x", &random), Err(BadRandomness));
    }

    #[test]
    fn keys_are_read_in_the_forms_that_programs_write() {
        use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};

        let key = key();
        let pkcs8 = key.0.to_pkcs8_pem(LineEnding::LF).unwrap();
        let sec1 = key.0.to_sec1_pem(LineEnding::LF).unwrap();
        let parameters =
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let with_parameters = format!("{parameters}{}", sec1.as_str());
        let with_certificate = format!("{}-----BEGIN CERTIFICATE-----\n", pkcs8.as_str());
        for text in [
            pkcs8.as_str(),
            sec1.as_str(),
            &with_parameters,
            &with_certificate,
        ] {
            let read = DeviceKey::from_pem(text).unwrap();
            assert_eq!(read.decrypt(MESSAGE).unwrap(), b"hello", "{text}");
        }
        for text in [
            "",
            parameters,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            assert_eq!(DeviceKey::from_pem(text).unwrap_err(), BadKey);
        }
        let public = key
            .0
            .public_key()
            .to_public_key_pem(LineEnding::LF)
            .unwrap();
        assert_eq!(Recipient::from_pem(&public).unwrap(), key.recipient());
        assert_eq!(Recipient::from_pem("key").unwrap_err(), BadRecipient);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn what_is_encrypted_is_read_by_its_device_only(
            scalar in 1..u128::MAX, ephemeral in 1..u128::MAX, iv in any::<[u8; 16]>(),
            text in proptest::collection::vec(any::<u8>(), 0..100), bit in any::<proptest::sample::Index>(),
        ) {
            let number = |number: u128| {
                let mut bytes = [0; 32];
                bytes[16..].copy_from_slice(&number.to_be_bytes());
                bytes[..16].copy_from_slice(&(number ^ 0x5a).to_le_bytes());
                bytes[0] &= 0x7f;
                bytes
            };
            let key = DeviceKey::from_scalar(&number(scalar)).unwrap();
            let random = Randomness { scalar: number(ephemeral), iv };
            let message = key.recipient().encrypt(&text, &random).unwrap();
            prop_assert_eq!(key.decrypt(&message).unwrap(), text.clone());
            let mut changed = BASE64.decode(message.as_bytes()).unwrap();
            prop_assert_eq!(changed.len(), OVERHEAD + text.len());
            let bit = bit.index(changed.len() * 8);
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(key.decrypt_bytes(&changed).is_err());
        }
    }
}
