//! Tokens that others check: JSON Web Tokens, signed with the key of the authority (ES256).
//!
//! What is signed is text with a dot in it, which no certificate is.

use data_encoding::BASE64URL_NOPAD;
use rcgen::PKCS_ECDSA_P256_SHA256;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::Trust;

/// Bytes of a coordinate of P-256.
const COORDINATE: usize = 32;

/// Why there is no token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenSignError {
    #[error("the key of the certificate authority is not ECDSA P-256, so it signs no tokens")]
    NotP256,
    #[error("the key of the certificate authority could not sign a token")]
    Sign,
}

/// The public key with which tokens are checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenKey {
    /// Its thumbprint by RFC 7638; tokens name it.
    pub id: String,
    /// Its point, base64url.
    pub x: String,
    pub y: String,
}

impl Trust {
    /// `None` when the authority's key is of another kind: then nothing is signed with it.
    #[must_use]
    pub fn token_key(&self) -> Option<TokenKey> {
        let key = self.issuer.key();
        if !key.is_compatible(&PKCS_ECDSA_P256_SHA256) {
            return None;
        }
        let point = key.public_key_raw().strip_prefix(&[4_u8])?;
        let (x, y) = point.split_at_checked(COORDINATE)?;
        let [x, y] = [x, y].map(|number| BASE64URL_NOPAD.encode(number));
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let id = BASE64URL_NOPAD.encode(digest(&SHA256, text.as_bytes()).as_ref());
        Some(TokenKey { id, x, y })
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// See [`TokenSignError`].
    pub fn sign_token(&self, claims: &Value) -> Result<String, TokenSignError> {
        let key = self.token_key().ok_or(TokenSignError::NotP256)?;
        let header = json!({"alg": "ES256", "kid": key.id, "typ": "JWT"});
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let text = format!("{}.{}", part(&header), part(claims));
        let random = SystemRandom::new();
        let der = self.issuer.key().serialize_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random);
        let signed = pair
            .map_err(|_| TokenSignError::Sign)?
            .sign(&random, text.as_bytes());
        let signed = signed.map_err(|_| TokenSignError::Sign)?;
        Ok(format!(
            "{text}.{}",
            BASE64URL_NOPAD.encode(signed.as_ref())
        ))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_token_is_checked_with_the_public_key() {
        let trust = Trust::generate().unwrap();
        let key = trust.token_key().unwrap();
        let token = trust.sign_token(&json!({"aud": "https://lab/"})).unwrap();
        let (text, signature) = token.rsplit_once('.').unwrap();
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        let point = [vec![4], decode(&key.x), decode(&key.y)].concat();
        let check = |text: &str| {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
            key.verify(text.as_bytes(), &decode(signature))
        };
        assert!(check(text).is_ok());
        assert!(check(&text.replace('.', "x.")).is_err());
        let (header, claims) = text.split_once('.').unwrap();
        let read = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
        assert_eq!(read(header)["kid"], key.id);
        assert_eq!(read(claims), json!({"aud": "https://lab/"}));
    }
}
