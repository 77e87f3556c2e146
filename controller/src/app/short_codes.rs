//! Short codes, which a person types at a machine, exchanged for the boot token of its host
//! (decision 16).
//!
//! The code is kept with the token of its room, encrypted with a key that follows from that of the
//! certificate authority: every controller has it, and the store does not.

use std::net::IpAddr;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use foghorn_proto::code::ShortCode;
use foghorn_proto::exchange::{self, ExchangeError};
use foghorn_proto::http::{BOOT_PREFIX, CodeRequest, CodeResponse};
use foghorn_types::{HostId, MacAddress, Timestamp};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use tracing::{info, warn};

use super::{claim, one_time};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::enrolment::{OneTimeToken, Purpose};
use crate::trust::Trust;

/// Why there is no code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the cipher refused")]
pub struct SealError;

/// Why a machine gets no token for what was typed at it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodeError {
    #[error("too many codes were tried, try again in {} seconds", wait.as_secs() + 1)]
    TooMany { wait: Duration },
    #[error("too many codes were tried for host {host}: order a new code")]
    TooManyOfHost { host: String },
    #[error("no host has the MAC address {mac}")]
    NoHost { mac: MacAddress },
    #[error("there is no code for host {host}, or it has expired: order a new one")]
    NoCode { host: String },
    #[error("host {host} has checked in with its code already: order a new one")]
    Used { host: String },
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// A new code.
pub(crate) fn random() -> ShortCode {
    ShortCode::from_bits(getrandom::u32().expect("a system without random numbers has no TLS"))
}

fn cipher(trust: &Trust) -> Result<LessSafeKey, SealError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &trust.code_key()).map_err(|_| SealError)?;
    Ok(LessSafeKey::new(key))
}

const NONCE: usize = 12;
/// Between the code and the secret of the room.
const BETWEEN: char = ' ';

/// What is stored of a code: itself and the secret of its room, encrypted.
pub(crate) fn seal(trust: &Trust, code: &ShortCode, room: &str) -> Result<String, SealError> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|_| SealError)?;
    let mut sealed = format!("{code}{BETWEEN}{room}").into_bytes();
    cipher(trust)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut sealed,
        )
        .map_err(|_| SealError)?;
    Ok(BASE64URL_NOPAD.encode(&[&nonce[..], &sealed[..]].concat()))
}

fn open(trust: &Trust, sealed: &str) -> Option<(ShortCode, String)> {
    let mut bytes = BASE64URL_NOPAD.decode(sealed.as_bytes()).ok()?;
    let (nonce, sealed) = bytes.split_at_mut_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let opened = cipher(trust)
        .ok()?
        .open_in_place(nonce, Aad::empty(), sealed);
    let text = std::str::from_utf8(opened.ok()?).ok()?;
    let (code, room) = text.split_once(BETWEEN)?;
    Some((code.parse().ok()?, room.to_owned()))
}

/// The code that counts for a host: the newest that is good for it.
struct Good {
    code: ShortCode,
    /// Secret of the host's token.
    secret: String,
    room: [u8; 32],
}

/// Answers a machine at which a code was typed. Changes nothing: the token that it gets is good
/// once. Whether the code was right is not known here, so every question is counted.
///
/// # Errors
/// See [`CodeError`].
pub fn exchange(ctx: &Ctx, asked: &CodeRequest, from: IpAddr) -> Result<CodeResponse, CodeError> {
    let doors = &ctx.doors;
    if let Some(wait) = doors.wait_of_codes(from) {
        return Err(CodeError::TooMany { wait });
    }
    doors.tried_code(from);
    let (host, name, good) = ctx.state.read(|tables| {
        let host = claim::host_of(tables, asked.mac).ok_or(CodeError::NoHost { mac: asked.mac })?;
        let name = claim::name_of(tables, host);
        let good = good(&ctx.trust, tables, host, Timestamp::now(), &name)?;
        Ok::<_, CodeError>((host, name, good))
    })?;
    if !doors.may_try_code_of(good.room, host) {
        warn!(%host, %from, "too many codes were tried for a host, no more are taken");
        return Err(CodeError::TooManyOfHost { host: name });
    }
    let token = one_time::text(&ctx.trust, BOOT_PREFIX, good.secret);
    let answer = exchange::answer(&good.code, asked, &token)?;
    info!(%host, %from, "a short code was tried");
    Ok(answer)
}

fn good(
    trust: &Trust,
    tables: &Tables,
    host: HostId,
    now: Timestamp,
    name: &str,
) -> Result<Good, CodeError> {
    let mut rooms: Vec<(&OneTimeToken, &str)> = tables
        .tokens()
        .iter()
        .filter(|token| token.expires > now)
        .filter_map(|token| match &token.purpose {
            Purpose::Room { code } => Some((&**token, code.as_deref()?)),
            _ => None,
        })
        .collect();
    rooms.sort_by_key(|(token, _)| std::cmp::Reverse(token.modified));
    let mut is_used = false;
    for (token, sealed) in rooms {
        let Some((code, room)) = open(trust, sealed) else {
            continue; // Of an authority that was replaced.
        };
        let secret = claim::secret_of_host(&room, host);
        match tables.tokens().find(&secret) {
            Some(own) if own.used.is_some() => is_used = true,
            Some(own) if own.expires > now => {
                let room = token.hash;
                return Ok(Good { code, secret, room });
            }
            _ => {}
        }
    }
    let host = name.to_owned();
    Err(if is_used {
        CodeError::Used { host }
    } else {
        CodeError::NoCode { host }
    })
}
