//! The SHA-256 of a certificate authority, which identifies it for users and in tokens.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use ureq::tls::Certificate;

/// SHA-256 of a certificate (DER).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is not a SHA-256: expected 64 hexadecimal digits (colons allowed) or 43 characters of base64url"
)]
pub struct ParseFingerprintError(String);

impl Fingerprint {
    #[must_use]
    pub fn of(certificate: &Certificate<'_>) -> Self {
        let hash = digest::digest(&digest::SHA256, certificate.der());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.as_ref());
        Self(bytes)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    /// Accepts the form of `foghorn serve` and of tokens (base64url) and that of `openssl x509
    /// -fingerprint -sha256` (hex).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain: String = text.trim().chars().filter(|c| *c != ':').collect();
        let decoded = if plain.len() == 64 {
            data_encoding::HEXLOWER_PERMISSIVE.decode(plain.as_bytes())
        } else {
            data_encoding::BASE64URL_NOPAD.decode(plain.as_bytes())
        };
        let bytes = decoded.ok().and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| ParseFingerprintError(text.to_owned()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spellings_are_one_fingerprint() {
        let hex = "00ff".repeat(16);
        let colons = hex
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap())
            .collect::<Vec<_>>()
            .join(":");
        let fingerprint: Fingerprint = hex.parse().unwrap();
        assert_eq!(colons.to_uppercase().parse(), Ok(fingerprint));
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert!("abc".parse::<Fingerprint>().is_err());
    }
}
