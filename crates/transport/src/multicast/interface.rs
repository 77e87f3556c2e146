//! Which network interface a group is sent to or received on: by name, by subnet, or by an address
//! of its own.
//!
//! The kernel's tables are read from `/proc`: the routes of IPv4, the addresses of IPv6.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::str::FromStr;

const ROUTES_V4: &str = "/proc/net/route";
const ADDRESSES_V6: &str = "/proc/net/if_inet6";

/// How an interface is named.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum InterfaceChoice {
    /// As the system calls it: `eth0`.
    Name(String),
    /// The one that has this network: `10.1.0.0/16`, `fd00:1::/64`.
    Subnet { network: IpAddr, prefix: u8 },
    /// The one that has this address.
    Address(IpAddr),
}

/// Text that names no interface.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ParseInterfaceError {
    #[error(
        "{0:?} is not the name of an interface: such a name has 1 to 15 characters without spaces and slashes"
    )]
    Name(String),
    #[error("{0:?} is not a subnet: its prefix length is at most 32 for IPv4 and 128 for IPv6")]
    Subnet(String),
}

/// The interface could not be told.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum FindInterfaceError {
    #[error("there is no interface {name}")]
    NoName { name: String, source: io::Error },
    #[error("no interface that is up has the subnet {network}/{prefix}")]
    NoSubnet { network: IpAddr, prefix: u8 },
    #[error("no interface has the address {0}")]
    NoAddress(IpAddr),
    #[error(
        "the interface is chosen by {chosen}, but the group {group} is of the other address family"
    )]
    Family {
        chosen: InterfaceChoice,
        group: IpAddr,
    },
    #[error("could not read {path}")]
    Read {
        path: &'static str,
        source: io::Error,
    },
}

/// What the options of sockets want to know of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Interface {
    /// Of the kernel; 0 when only the address is known, which is enough for IPv4.
    pub(super) index: u32,
    /// IPv4 only, unspecified when only the index is known.
    pub(super) address: Ipv4Addr,
}

impl FromStr for InterfaceChoice {
    type Err = ParseInterfaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if let Some((network, prefix)) = text.split_once('/') {
            let wrong = || ParseInterfaceError::Subnet(text.to_owned());
            let network: IpAddr = network.parse().map_err(|_| wrong())?;
            let longest = if network.is_ipv4() { 32 } else { 128 };
            let prefix = prefix
                .parse()
                .ok()
                .filter(|prefix| *prefix <= longest)
                .ok_or_else(wrong)?;
            return Ok(Self::Subnet { network, prefix });
        }
        let fits =
            (1..=15).contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || c == '/');
        if fits {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(ParseInterfaceError::Name(text.to_owned()))
        }
    }
}

impl fmt::Display for InterfaceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Subnet { network, prefix } => write!(f, "{network}/{prefix}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl InterfaceChoice {
    /// Finds the interface for a group. `socket` is any socket; the kernel wants one to translate
    /// names.
    pub(super) fn find(
        &self,
        socket: impl AsFd,
        group: IpAddr,
    ) -> Result<Interface, FindInterfaceError> {
        let by_index = |index| Interface {
            index,
            address: Ipv4Addr::UNSPECIFIED,
        };
        let index_of = |name: &str| {
            let found = rustix::net::netdevice::name_to_index(&socket, name);
            found.map_err(|error| FindInterfaceError::NoName {
                name: name.to_owned(),
                source: error.into(),
            })
        };
        match self {
            Self::Name(name) => Ok(by_index(index_of(name)?)),
            Self::Address(IpAddr::V4(address)) if group.is_ipv4() => Ok(Interface {
                index: 0,
                address: *address,
            }),
            Self::Address(IpAddr::V6(address)) if group.is_ipv6() => {
                let found =
                    v6_addresses(&read(ADDRESSES_V6)?).find(|entry| entry.address == *address);
                Ok(by_index(
                    found
                        .ok_or(FindInterfaceError::NoAddress((*address).into()))?
                        .index,
                ))
            }
            // The kernel does not list the routes of the loopback interface here.
            Self::Subnet {
                network: IpAddr::V4(network),
                ..
            } if group.is_ipv4() && network.is_loopback() => Ok(Interface {
                index: 0,
                address: Ipv4Addr::LOCALHOST,
            }),
            Self::Subnet {
                network: IpAddr::V4(network),
                prefix,
            } if group.is_ipv4() => {
                let missing = FindInterfaceError::NoSubnet {
                    network: (*network).into(),
                    prefix: *prefix,
                };
                let name =
                    interface_with_v4(&read(ROUTES_V4)?, *network, *prefix).ok_or(missing)?;
                Ok(by_index(index_of(&name)?))
            }
            Self::Subnet {
                network: IpAddr::V6(network),
                prefix,
            } if group.is_ipv6() => {
                let missing = FindInterfaceError::NoSubnet {
                    network: (*network).into(),
                    prefix: *prefix,
                };
                let wanted = u128::from(*network) & mask_v6(*prefix);
                let table = read(ADDRESSES_V6)?;
                let found = v6_addresses(&table)
                    .find(|entry| u128::from(entry.address) & mask_v6(*prefix) == wanted);
                Ok(by_index(found.ok_or(missing)?.index))
            }
            Self::Address(_) | Self::Subnet { .. } => Err(FindInterfaceError::Family {
                chosen: self.clone(),
                group,
            }),
        }
    }
}

fn read(path: &'static str) -> Result<String, FindInterfaceError> {
    std::fs::read_to_string(path).map_err(|source| FindInterfaceError::Read { path, source })
}

/// The interface with the most specific network of its own that lies in the wanted one, or contains
/// it.
fn interface_with_v4(routes: &str, network: Ipv4Addr, prefix: u8) -> Option<String> {
    let mask_of = |prefix: u8| u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    let wanted = u32::from(network);
    let own = routes.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, destination, gateway, flags, _, _, _, mask, ..] = fields[..] else {
            return None;
        };
        let hex = |text| u32::from_str_radix(text, 16).ok();
        // In the byte order of the machine, which is little-endian wherever this runs.
        let (destination, mask) = (hex(destination)?.swap_bytes(), hex(mask)?.swap_bytes());
        let is_own = hex(gateway)? == 0 && hex(flags)? & 1 == 1 && mask != 0;
        let shared = mask & mask_of(prefix);
        (is_own && destination & shared == wanted & shared)
            .then(|| (mask.count_ones(), name.to_owned()))
    });
    own.max_by_key(|(length, _)| *length).map(|(_, name)| name)
}

struct AddressV6 {
    address: Ipv6Addr,
    index: u32,
}

fn v6_addresses(table: &str) -> impl Iterator<Item = AddressV6> {
    table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let index = u32::from_str_radix(fields.next()?, 16).ok()?;
        Some(AddressV6 {
            address: Ipv6Addr::from(address),
            index,
        })
    })
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
        eth0 00000000 0100A8C0 0003 0 0 100 00000000 0 0 0\n\
        eth1 0000010A 00000000 0001 0 0 0 0000FFFF 0 0 0\n\
        eth2 0001010A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
        eth3 0000020A 0100A8C0 0003 0 0 0 0000FFFF 0 0 0\n";

    #[test]
    fn a_subnet_is_found_by_the_networks_that_interfaces_have() {
        let found =
            |network: &str, prefix| interface_with_v4(ROUTES, network.parse().unwrap(), prefix);
        assert_eq!(
            found("10.1.2.0", 24).as_deref(),
            Some("eth1"),
            "a part of the network"
        );
        assert_eq!(
            found("10.1.1.0", 24).as_deref(),
            Some("eth2"),
            "the most specific one"
        );
        assert_eq!(
            found("10.1.0.0", 12).as_deref(),
            Some("eth2"),
            "wider than the network"
        );
        assert_eq!(found("10.2.0.0", 16), None, "behind a router");
        assert_eq!(found("192.168.0.0", 24), None);
    }

    #[test]
    fn text_names_an_interface_a_subnet_or_an_address() {
        assert_eq!("eth0".parse(), Ok(InterfaceChoice::Name("eth0".to_owned())));
        assert_eq!(
            "10.1.0.1".parse(),
            Ok(InterfaceChoice::Address(Ipv4Addr::new(10, 1, 0, 1).into()))
        );
        for text in ["10.1.0.0/16", "fd00::/64", "eth0.100", "::1"] {
            assert_eq!(text.parse::<InterfaceChoice>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "10.1.0.0/33",
            "fd00::/129",
            "eth0/x",
            "an interface",
            "abcdefghijklmnop",
        ] {
            assert!(text.parse::<InterfaceChoice>().is_err(), "{text} was taken");
        }
    }

    #[test]
    fn the_loopback_interface_is_found_by_each_of_its_names() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let group: IpAddr = "239.1.1.1".parse().unwrap();
        let find = |text: &str| {
            text.parse::<InterfaceChoice>()
                .unwrap()
                .find(&socket, group)
        };
        assert_eq!(find("lo").unwrap().index, 1);
        assert_eq!(find("127.0.0.1").unwrap().address, Ipv4Addr::LOCALHOST);
        assert_eq!(find("127.0.0.0/8").unwrap().address, Ipv4Addr::LOCALHOST);
        assert!(matches!(
            find("nosuch0"),
            Err(FindInterfaceError::NoName { .. })
        ));
        assert!(matches!(
            find("203.0.113.0/24"),
            Err(FindInterfaceError::NoSubnet { .. })
        ));
        assert!(matches!(
            find("::1"),
            Err(FindInterfaceError::Family { .. })
        ));
    }
}
