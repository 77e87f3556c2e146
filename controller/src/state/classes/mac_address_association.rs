//! Network addresses of hosts.

use foghorn_types::MacAddress;

use crate::state::Refusal;
use crate::state::class::Class;
use crate::state::class::{Body, Clash, Unique, Write};
use crate::state::draft::Draft;
use crate::state::field::Field;
use crate::state::value::Flag;

/// Network addresses of hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MacAddressAssociation {
    pub id: u32,
    pub host: u32,
    /// As it was sent; [`MacAddressAssociation::address`] is what it means.
    pub mac: String,
    pub description: String,
    pub pending: Flag,
    pub primary: Flag,
    pub client_ignore: Flag,
    pub image_ignore: Flag,
}

impl MacAddressAssociation {
    /// Index by host.
    pub const BY_HOST: usize = 0;
    /// Index by [`mac_key`].
    pub const BY_MAC: usize = 1;

    #[must_use]
    pub fn address(&self) -> Option<MacAddress> {
        self.mac.parse().ok()
    }
}

/// Index key of an address.
#[must_use]
pub fn mac_key(mac: MacAddress) -> u64 {
    mac.octets().iter().fold(0, |key, octet| key << 8 | u64::from(*octet))
}

impl Class for MacAddressAssociation {
    const NAME: &'static str = "macaddressassociation";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c| c.id),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id).required(),
        Field::text("mac", 59, |c: &Self| &c.mac, |c| &mut c.mac).required(),
        Field::long_text("description", |c| &c.description, |c| &mut c.description),
        Field::flag("pending", |c| &c.pending, |c| &mut c.pending),
        Field::flag("primary", |c| &c.primary, |c| &mut c.primary),
        Field::flag("clientIgnore", |c| &c.client_ignore, |c| &mut c.client_ignore),
        Field::flag("imageIgnore", |c| &c.image_ignore, |c| &mut c.image_ignore),
    ];
    const INDEXES: usize = 2;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        self.address()
            .map(|mac| Unique { field: "mac", value: mac.to_string(), clash: Clash::Merge })
            .into_iter()
            .collect()
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        if number == Self::BY_HOST { Some(self.host.into()) } else { self.address().map(mac_key) }
    }

    fn on_write(draft: &mut Draft<'_>, object: &mut Self, write: Write<'_, Self>, _body: &Body) -> Result<(), Refusal> {
        let mac: MacAddress = object
            .mac
            .parse()
            .map_err(|error: foghorn_types::ParseMacError| Refusal::Invalid { field: "mac", why: error.to_string() })?;
        let table = draft.tables().of::<Self>();
        let owner = table.by(Self::BY_MAC, mac_key(mac)).find(|row| row.host != object.host);
        match (owner, write) {
            (None, _) => Ok(()),
            // The row itself may be given to another host on purpose, by editing it.
            (Some(row), Write::Edit(old)) if row.id == old.id => Ok(()),
            (Some(row), _) => {
                Err(Refusal::Taken { class: "host", field: "mac", value: mac.to_string(), owner: row.host })
            }
        }
    }
}
