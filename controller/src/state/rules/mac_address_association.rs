//! Network addresses of hosts.

use foghorn_types::MacAddress;

use super::{Rules, Write};
use crate::state::class::Body;
use crate::state::classes::{MacAddressAssociation, mac_key};
use crate::state::draft::Draft;
use crate::state::refusal::Refusal;

impl Rules for MacAddressAssociation {
    fn on_write(
        draft: &mut Draft<'_>,
        object: &mut Self,
        write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        let mac: MacAddress =
            object
                .mac
                .parse()
                .map_err(|error: foghorn_types::ParseMacError| Refusal::Invalid {
                    field: "mac",
                    why: error.to_string(),
                })?;
        let table = draft.tables().of::<Self>();
        let owner = table
            .by(Self::BY_MAC, mac_key(mac))
            .find(|row| row.host != object.host);
        match (owner, write) {
            (None, _) => Ok(()),
            // The row itself may be given to another host on purpose, by editing it.
            (Some(row), Write::Edit(old)) if row.id == old.id => Ok(()),
            (Some(row), _) => Err(Refusal::Taken {
                class: "host",
                field: "mac",
                value: mac.to_string(),
                owner: row.host,
            }),
        }
    }
}
