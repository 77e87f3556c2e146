//! Which network interface reaches the controller, for its MAC address. IPv4 only: with IPv6, give
//! `--mac`.

use std::net::Ipv4Addr;
use std::path::Path;

use foghorn_types::MacAddress;

#[derive(Debug, thiserror::Error)]
pub(crate) enum FindMacError {
    #[error("no route to {0}")]
    NoRoute(Ipv4Addr),
    #[error("several interfaces lead to {address}: {}", interfaces.join(", "))]
    Ambiguous {
        address: Ipv4Addr,
        interfaces: Vec<String>,
    },
    #[error("could not read the routes of this machine")]
    Routes(#[source] std::io::Error),
    #[error("interface {0} has no MAC address of its own")]
    NoMac(String),
}

/// MAC address of the one interface whose route leads to `address`.
pub(crate) fn mac_towards(address: Ipv4Addr) -> Result<MacAddress, FindMacError> {
    let routes = std::fs::read_to_string("/proc/net/route").map_err(FindMacError::Routes)?;
    let interfaces = best_interfaces(&routes, address);
    match interfaces.as_slice() {
        [] => Err(FindMacError::NoRoute(address)),
        [one] => std::fs::read_to_string(Path::new("/sys/class/net").join(one).join("address"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| FindMacError::NoMac(one.clone())),
        _ => Err(FindMacError::Ambiguous {
            address,
            interfaces,
        }),
    }
}

/// Interfaces of the most specific routes with the lowest metric. Addresses in `/proc/net/route`
/// are hexadecimal in the byte order of the machine, which is little-endian wherever this runs.
fn best_interfaces(routes: &str, address: Ipv4Addr) -> Vec<String> {
    let address = u32::from_le_bytes(address.octets());
    let mut best: Option<(u32, std::cmp::Reverse<u32>)> = None;
    let mut interfaces: Vec<String> = Vec::new();
    for line in routes.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, _, flags, _, _, metric, mask, ..] = fields[..] else {
            continue;
        };
        let hex = |text| u32::from_str_radix(text, 16).ok();
        let (Some(destination), Some(flags), Some(mask), Ok(metric)) = (
            hex(destination),
            hex(flags),
            hex(mask),
            metric.parse::<u32>(),
        ) else {
            continue;
        };
        let up = flags & 1 == 1;
        if !up || address & mask != destination {
            continue;
        }
        let rank = (mask.count_ones(), std::cmp::Reverse(metric));
        if best.is_none_or(|best| rank > best) {
            interfaces.clear();
            best = Some(rank);
        }
        if best == Some(rank) && !interfaces.iter().any(|known| known == interface) {
            interfaces.push(interface.to_owned());
        }
    }
    interfaces
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
        eth0 00000000 0100A8C0 0003 0 0 100 00000000 0 0 0\n\
        eth1 00000000 0100000A 0003 0 0 200 00000000 0 0 0\n\
        eth0 0000A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0\n\
        eth2 0000000A 00000000 0001 0 0 0 000000FF 0 0 0\n\
        eth3 0000000A 00000000 0001 0 0 0 000000FF 0 0 0\n";

    #[test]
    fn the_most_specific_route_wins_and_a_tie_is_ambiguous() {
        assert_eq!(
            best_interfaces(ROUTES, Ipv4Addr::new(192, 168, 0, 7)),
            ["eth0"]
        );
        assert_eq!(best_interfaces(ROUTES, Ipv4Addr::new(8, 8, 8, 8)), ["eth0"]);
        assert_eq!(
            best_interfaces(ROUTES, Ipv4Addr::new(10, 1, 2, 3)),
            ["eth2", "eth3"]
        );
        assert!(best_interfaces("header\n", Ipv4Addr::LOCALHOST).is_empty());
    }
}
