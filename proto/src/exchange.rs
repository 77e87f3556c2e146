//! The exchange of a short code for a boot token: SPAKE2, in which both ends prove to each other
//! that they know the code, without anything on the wire with which it could be guessed later.
//!
//! One question, one answer. The token in the answer is encrypted with the key that both ends have
//! computed: only who knew the code when it asked can read it, and only who knows the code can have
//! written it. Whoever is in between has one guess for each question of a client, and whoever asks
//! a controller has one for each question of his own. The MAC address is part of the exchange.

use data_encoding::BASE64URL_NOPAD;
use foghorn_types::MacAddress;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use spake2::{Ed25519Group, Identity, Password, Spake2};

use crate::code::ShortCode;
use crate::http::{CodeRequest, CodeResponse};

const CLIENT: &str = "foghorn client 1 ";
const CONTROLLER: &str = "foghorn controller 1";

/// Why an exchange brings nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Not what the protocol says.
    #[error("the message is not one of an exchange of codes")]
    Message,
    /// The two ends do not know the same code, or the answer was changed.
    #[error("the two ends do not have the same code")]
    OtherCode,
}

/// The client's end of an exchange.
pub struct Asking {
    state: Spake2<Ed25519Group>,
}

fn identities(mac: MacAddress) -> (Identity, Identity) {
    (
        Identity::new(format!("{CLIENT}{mac}").as_bytes()),
        Identity::new(CONTROLLER.as_bytes()),
    )
}

/// Begins an exchange at the machine with this address.
#[must_use]
pub fn ask(code: &ShortCode, mac: MacAddress) -> (Asking, CodeRequest) {
    let (client, controller) = identities(mac);
    let (state, message) =
        Spake2::<Ed25519Group>::start_a(&Password::new(code.as_bytes()), &client, &controller);
    let message = BASE64URL_NOPAD.encode(&message);
    (Asking { state }, CodeRequest { mac, message })
}

/// The controller's end: an answer in which only who knows the code can read the token.
///
/// # Errors
/// [`ExchangeError::Message`].
pub fn answer(
    code: &ShortCode,
    asked: &CodeRequest,
    token: &str,
) -> Result<CodeResponse, ExchangeError> {
    let (client, controller) = identities(asked.mac);
    let (state, message) =
        Spake2::<Ed25519Group>::start_b(&Password::new(code.as_bytes()), &client, &controller);
    let theirs = decode(&asked.message)?;
    let key = state.finish(&theirs).map_err(|_| ExchangeError::Message)?;
    let mut sealed = token.as_bytes().to_vec();
    cipher(&key)?
        .seal_in_place_append_tag(once(), Aad::empty(), &mut sealed)
        .map_err(|_| ExchangeError::Message)?;
    Ok(CodeResponse {
        message: BASE64URL_NOPAD.encode(&message),
        sealed: BASE64URL_NOPAD.encode(&sealed),
    })
}

impl Asking {
    /// The token in the answer.
    ///
    /// # Errors
    /// [`ExchangeError::OtherCode`] when the other end does not know the code.
    pub fn token(self, answer: &CodeResponse) -> Result<String, ExchangeError> {
        let theirs = decode(&answer.message)?;
        let mut sealed = decode(&answer.sealed)?;
        let key = self
            .state
            .finish(&theirs)
            .map_err(|_| ExchangeError::Message)?;
        let token = cipher(&key)?
            .open_in_place(once(), Aad::empty(), &mut sealed)
            .map_err(|_| ExchangeError::OtherCode)?;
        String::from_utf8(token.to_vec()).map_err(|_| ExchangeError::Message)
    }
}

fn decode(text: &str) -> Result<Vec<u8>, ExchangeError> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| ExchangeError::Message)
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, ExchangeError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| ExchangeError::Message)?;
    Ok(LessSafeKey::new(key))
}

/// Every exchange has a key of its own, and encrypts one text with it.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(text: &str) -> MacAddress {
        text.parse().unwrap()
    }

    #[test]
    fn who_knows_the_code_gets_the_token() {
        let code = ShortCode::from_bits(0x0123_4567);
        let (asking, asked) = ask(&code, mac("02:00:00:00:00:01"));
        let answered = answer(&code, &asked, "fhb1.secret.authority").unwrap();
        assert_eq!(asking.token(&answered).unwrap(), "fhb1.secret.authority");
    }

    #[test]
    fn two_exchanges_have_nothing_in_common() {
        let code = ShortCode::from_bits(7);
        let asked = [(); 2].map(|()| ask(&code, mac("02:00:00:00:00:01")).1.message);
        assert_ne!(asked[0], asked[1]);
        let asked = ask(&code, mac("02:00:00:00:00:01")).1;
        let answers = [(); 2].map(|()| answer(&code, &asked, "token").unwrap().sealed);
        assert_ne!(answers[0], answers[1]);
    }

    #[test]
    fn another_code_or_another_address_gets_nothing() {
        let (right, wrong) = (ShortCode::from_bits(1), ShortCode::from_bits(2));
        let here = mac("02:00:00:00:00:01");
        let (asking, asked) = ask(&wrong, here);
        let answered = answer(&right, &asked, "token").unwrap();
        assert_eq!(asking.token(&answered), Err(ExchangeError::OtherCode));
        let (asking, mut asked) = ask(&right, here);
        asked.mac = mac("02:00:00:00:00:02");
        let answered = answer(&right, &asked, "token").unwrap();
        assert_eq!(asking.token(&answered), Err(ExchangeError::OtherCode));
    }

    #[test]
    fn an_answer_that_was_changed_is_refused() {
        let code = ShortCode::from_bits(1);
        let here = mac("02:00:00:00:00:01");
        for (message, sealed) in [(true, false), (false, true)] {
            let (asking, asked) = ask(&code, here);
            let mut answered = answer(&code, &asked, "token").unwrap();
            let other = answer(&code, &ask(&code, here).1, "another").unwrap();
            if message {
                answered.message = other.message;
            }
            if sealed {
                answered.sealed = other.sealed;
            }
            assert_eq!(asking.token(&answered), Err(ExchangeError::OtherCode));
        }
        // The own message, sent back.
        let (asking, asked) = ask(&code, here);
        let mirrored = CodeResponse {
            message: asked.message.clone(),
            sealed: asked.message,
        };
        assert_eq!(asking.token(&mirrored), Err(ExchangeError::Message));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let code = ShortCode::from_bits(1);
        for message in [
            "",
            "!",
            "QQ",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            let asked = CodeRequest {
                mac: mac("02:00:00:00:00:01"),
                message: message.to_owned(),
            };
            assert_eq!(
                answer(&code, &asked, "token").unwrap_err(),
                ExchangeError::Message,
                "{message}"
            );
        }
    }
}
