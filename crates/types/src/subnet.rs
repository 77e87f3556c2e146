//! Subnets as people write them: `10.1.0.0/16`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range of addresses with a common prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Subnet {
    network: IpAddr,
    prefix: u8,
}

/// Text that is no subnet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a subnet such as 10.1.0.0/16: {1}")]
pub struct ParseSubnetError(String, &'static str);

fn bits(address: IpAddr) -> (u128, u8) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl Subnet {
    /// The one with this address and no other.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self {
            network: address.to_canonical(),
            prefix: bits(address).1,
        }
    }

    /// Its address, if it has only one.
    #[must_use]
    pub fn only(self) -> Option<IpAddr> {
        (bits(self.network).1 == self.prefix).then_some(self.network)
    }

    /// Length of the common prefix: of two subnets with an address, the longer one says more.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let ((own, length), (other, other_length)) = (bits(self.network), bits(address));
        length == other_length && own & mask(self.prefix) == other & mask(self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = ParseSubnetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why| ParseSubnetError(text.to_owned(), why);
        let (address, prefix) = text
            .split_once('/')
            .ok_or_else(|| wrong("its prefix length is missing"))?;
        let network: IpAddr = address
            .parse()
            .map_err(|_| wrong("it does not begin with an IP address"))?;
        let prefix: u8 = prefix
            .parse()
            .map_err(|_| wrong("its prefix length is not a number"))?;
        let (all, length) = bits(network);
        if prefix > length {
            return Err(wrong(
                "its prefix length is at most 32 for IPv4 and 128 for IPv6",
            ));
        }
        if all & !mask(prefix) != 0 {
            return Err(wrong("the address has bits beyond the prefix"));
        }
        Ok(Self {
            network: network.to_canonical(),
            prefix,
        })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl TryFrom<String> for Subnet {
    type Error = ParseSubnetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_contains_the_addresses_with_its_prefix() {
        for (subnet, address, is_in) in [
            ("10.1.0.0/16", "10.1.255.3", true),
            ("10.1.0.0/16", "10.2.0.3", false),
            ("10.1.0.0/16", "::ffff:10.1.0.9", true),
            ("0.0.0.0/0", "9.9.9.9", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("fd00:1::/32", "fd00:1:9::1", true),
            ("fd00:1::/32", "fd00:2::1", false),
            ("::/0", "fd00:2::1", true),
        ] {
            let parsed: Subnet = subnet.parse().unwrap();
            assert_eq!(
                parsed.contains(address.parse().unwrap()),
                is_in,
                "{subnet} {address}"
            );
            assert_eq!(parsed.to_string(), subnet);
        }
    }

    #[test]
    fn one_address_is_a_subnet_too() {
        for (address, subnet) in [
            ("10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("fd00::1", "fd00::1/128"),
        ] {
            let one = Subnet::of(address.parse().unwrap());
            assert_eq!(one.to_string(), subnet);
            assert!(one.only().is_some() && one.contains(address.parse().unwrap()));
        }
        let many: Subnet = "10.1.2.2/31".parse().unwrap();
        assert_eq!(many.only(), None);
    }

    #[test]
    fn what_is_no_subnet_is_refused() {
        for text in [
            "10.1.0.0",
            "10.1.0.0/33",
            "10.1.0.1/16",
            "x/8",
            "10.1.0.0/x",
            "fd00::/129",
        ] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
