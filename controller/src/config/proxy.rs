//! Proxies that are believed when they say who calls.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use foghorn_types::{ParseSubnetError, Subnet};

/// The address of a proxy, or a network whose addresses are all proxies: pods of an Ingress change
/// theirs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrustedProxy(Subnet);

/// Why a text is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseProxyError {
    #[error("{0:?} is neither an IP address nor a network such as 10.244.0.0/16 or fd00:244::/56")]
    Neither(String),
    #[error(transparent)]
    Network(#[from] ParseSubnetError),
    #[error(
        "{0} is every address: whoever calls could say that it is somebody else; give the network of the proxies"
    )]
    Everybody(Subnet),
}

impl TrustedProxy {
    /// Whether the proxy with this address is meant.
    #[must_use]
    pub fn is(self, address: IpAddr) -> bool {
        self.0.contains(address)
    }
}

/// Whether one of them is meant.
#[must_use]
pub(crate) fn is_one_of(proxies: &[TrustedProxy], address: IpAddr) -> bool {
    proxies.iter().any(|proxy| proxy.is(address))
}

impl FromStr for TrustedProxy {
    type Err = ParseProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(Subnet::of(address)));
        }
        if !text.contains('/') {
            return Err(ParseProxyError::Neither(text.to_owned()));
        }
        match text.parse::<Subnet>()? {
            everybody if everybody.prefix() == 0 => Err(ParseProxyError::Everybody(everybody)),
            network => Ok(Self(network)),
        }
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.only() {
            Some(address) => address.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_itself_and_a_network_all_of_its_own() {
        for (text, address, is_meant) in [
            ("10.0.0.2", "10.0.0.2", true),
            ("10.0.0.2", "10.0.0.3", false),
            ("10.0.0.2", "::ffff:10.0.0.2", true),
            ("10.244.0.0/16", "10.244.3.9", true),
            ("10.244.0.0/16", "10.245.3.9", false),
            ("fd00:244::/56", "fd00:244:0:ff::1", true),
            ("fd00:244::/56", "fd00:244:0:100::1", false),
            ("fd00::1", "fd00::1", true),
            ("fd00::1", "10.0.0.2", false),
        ] {
            let proxy: TrustedProxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), text);
            let found = is_one_of(&[proxy], address.parse().unwrap());
            assert_eq!(found, is_meant, "{text} {address}");
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        for text in [
            "proxy",
            "10.0.0",
            "10.244.0.1/16",
            "10.244.0.0/33",
            "10.244.0.0/",
            "fd00::/129",
            "0.0.0.0/0",
            "::/0",
        ] {
            let said = text.parse::<TrustedProxy>().unwrap_err().to_string();
            assert!(said.contains(text), "{said}");
        }
    }
}
