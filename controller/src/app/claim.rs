//! The boot token that a machine presents: one of its host alone, or one of a room, which stands for
//! a token of each host in it.
//!
//! The token of a host in a room is derived from the room's, and stored like any other boot token.
//! So every host has one, it is good once, and what holds for boot tokens holds for it.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use foghorn_proto::http::BOOT_PREFIX;
use foghorn_types::{HostId, MacAddress, Timestamp};

use super::one_time::{self, TokenError};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::classes::mac_address_association::mac_key;
use crate::state::classes::{Host, MacAddressAssociation};
use crate::state::enrolment::{OneTimeToken, Purpose};

/// A boot token as it counts for one machine.
pub(crate) struct Claim {
    pub(crate) token: Arc<OneTimeToken>,
    /// The secret under which it is stored.
    pub(crate) secret: String,
}

/// The secret of one host of a room, from that of the room.
pub(crate) fn secret_of_host(room: &str, host: HostId) -> String {
    let mut hash = blake3::Hasher::new_derive_key("foghorn 2026-11 boot token of a host of a room");
    hash.update(&host.get().to_le_bytes());
    hash.update(room.as_bytes());
    BASE64URL_NOPAD.encode(hash.finalize().as_bytes())
}

/// The host that is registered with this address, approved.
pub(crate) fn host_of(tables: &Tables, mac: MacAddress) -> Option<HostId> {
    let mut rows = tables
        .of::<MacAddressAssociation>()
        .by(MacAddressAssociation::BY_MAC, mac_key(mac));
    let row = rows.find(|row| !row.pending.is_yes())?;
    HostId::new(row.host)
}

/// The token with this text for the machine with this address, if it is valid now; see
/// [`one_time::find`].
pub(crate) fn find(
    ctx: &Ctx,
    text: &str,
    mac: MacAddress,
    key: Option<&str>,
) -> Result<Claim, TokenError> {
    let secret = one_time::secret_of(BOOT_PREFIX, text)?;
    let token = one_time::find(ctx, BOOT_PREFIX, text, key)?;
    if !matches!(token.purpose, Purpose::Room { .. }) {
        return Ok(Claim { token, secret });
    }
    ctx.state.read(|tables| {
        let host = host_of(tables, mac).ok_or(TokenError::NoHost { mac })?;
        let secret = secret_of_host(&secret, host);
        let token = tables.tokens().find(&secret).cloned();
        let token = token.ok_or_else(|| TokenError::OtherHosts {
            host: name_of(tables, host),
        })?;
        one_time::check(&token, Timestamp::now(), key)?;
        Ok(Claim { token, secret })
    })
}

/// A host's name.
pub(crate) fn name_of(tables: &Tables, host: HostId) -> String {
    let row = tables.of::<Host>().get(host.get());
    row.map(|row| row.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_of_every_room_has_a_secret_of_its_own() {
        let host = |number| HostId::new(number).unwrap();
        let one = secret_of_host("room", host(1));
        assert_eq!(one, secret_of_host("room", host(1)));
        assert_ne!(one, secret_of_host("room", host(2)));
        assert_ne!(one, secret_of_host("moor", host(1)));
        assert!(!one.contains("room"));
    }
}
