//! A short code that somebody has typed, exchanged for a boot token.
//!
//! The exchange itself proves that the controller knows the code (`foghorn_proto::exchange`), so the
//! certificate of its server is not looked at here. The token names the authority for everything
//! that follows.

use foghorn_proto::code::ShortCode;
use foghorn_proto::exchange::{ExchangeError, ask};
use foghorn_proto::http::{BOOT_PREFIX, CODE_PATH, CodeResponse, TokenText};
use foghorn_types::MacAddress;
use tokio_util::sync::CancellationToken;
use ureq::tls::TlsConfig;

use super::verified::base_url;
use super::{CheckInError, exchange, http, parse, patience, problem, retry};

/// Where, with what and at which machine.
#[derive(Clone, Debug)]
pub struct Typed<'a> {
    pub controller: &'a str,
    pub code: &'a ShortCode,
    pub mac: MacAddress,
    /// Give up at once when the controller does not answer.
    pub once: bool,
}

/// The boot token of this machine. Blocking.
///
/// # Errors
/// The controller cannot be reached, does not know the code, or refuses it.
pub fn exchange_code(
    typed: &Typed<'_>,
    stop: &CancellationToken,
) -> Result<TokenText, CheckInError> {
    let base = base_url(typed.controller)?;
    let url = format!("{base}{CODE_PATH}");
    let agent = http(TlsConfig::builder().disable_verification(true).build());
    retry(patience(typed.once), stop, || {
        let (asking, asked) = ask(typed.code, typed.mac);
        let (status, text) = exchange(&url, || agent.post(&url).send_json(&asked))?;
        let reason = || problem(&text);
        match status {
            200 => {
                let answer: CodeResponse = parse(&url, &text)?;
                let token = asking.token(&answer).map_err(|error| match error {
                    ExchangeError::OtherCode => CheckInError::WrongCode {
                        url: base.clone(),
                        mac: typed.mac,
                    },
                    ExchangeError::Message => CheckInError::Failed {
                        status,
                        reason: error.to_string(),
                    },
                })?;
                TokenText::parse(BOOT_PREFIX, &token).map_err(|error| CheckInError::Failed {
                    status,
                    reason: error.to_string(),
                })
            }
            // It says when to come again, and that is soon.
            429 | 500.. => Err(CheckInError::Failed {
                status,
                reason: reason(),
            }),
            _ => Err(CheckInError::Code { reason: reason() }),
        }
    })
}
