//! Network addresses of hosts.

use foghorn_types::MacAddress;

use crate::state::class::{Clash, Class, Unique, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::field::{Field, field};
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
    mac.octets()
        .iter()
        .fold(0, |key, octet| key << 8 | u64::from(*octet))
}

impl Class for MacAddressAssociation {
    const NAME: &'static str = "macaddressassociation";
    const ABOUT: &'static str = "An Ethernet address of a host.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the address."),
        field!(reference, "hostID", host)
            .required()
            .about("The host."),
        field!(text, "mac", 59, mac)
            .required()
            .about("The address, lower case with colons."),
        field!(long_text, "description", description).about("Free text."),
        field!(flag, "pending", pending)
            .about("Whether it was reported by the host and waits for approval."),
        field!(flag, "primary", primary).about("Whether it is the host's primary address."),
        field!(flag, "clientIgnore", client_ignore)
            .about("Whether the client on the host passes it over."),
        field!(flag, "imageIgnore", image_ignore).about("Whether imaging passes it over."),
    ];
    const INDEXES: usize = 2;

    id_in_field!();
    points_at_host!();

    fn uniques(&self) -> Vec<Unique> {
        self.address()
            .map(|mac| Unique {
                field: "mac",
                value: mac.to_string(),
                clash: Clash::Merge,
            })
            .into_iter()
            .collect()
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        if number == Self::BY_HOST {
            Some(self.host.into())
        } else {
            self.address().map(mac_key)
        }
    }

    /// The digits: in a search the separators count for nothing.
    fn search_key(&self) -> Option<String> {
        Some(
            self.mac
                .chars()
                .filter(char::is_ascii_hexdigit)
                .map(|digit| digit.to_ascii_uppercase())
                .collect(),
        )
    }
}
