//! The addresses by which other machines reach this one.
//!
//! Read from `/proc`, which knows the addresses of the interfaces that are up, for the network
//! namespace that we are in. Nothing is sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses that documentation reserves: the route to them is the route to everywhere.
const FAR_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const FAR_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const DISCARD: u16 = 9;

/// All of them, each once: that towards the default route first, then IPv4, then IPv6. Without
/// loopback, link-local and temporary addresses; empty when there are no others.
#[must_use]
pub fn own_addresses() -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut found = v4(&read("/proc/net/fib_trie"));
    found.extend(v6(&read("/proc/net/if_inet6")));
    let first = [FAR_V4, FAR_V6].into_iter().filter_map(towards);
    in_order(first.collect(), found)
}

/// Those of [`own_addresses`] at which a socket bound to `listen` is reached: `listen` itself if it
/// is one address. A socket for every IPv6 address takes IPv4 as well.
#[must_use]
pub fn reached_at(listen: IpAddr) -> Vec<IpAddr> {
    match listen {
        IpAddr::V4(ip) if ip.is_unspecified() => own_addresses()
            .into_iter()
            .filter(IpAddr::is_ipv4)
            .collect(),
        IpAddr::V6(ip) if ip.is_unspecified() => own_addresses(),
        one => vec![one],
    }
}

/// The address that the system uses towards `remote`. Connecting a UDP socket only looks up the
/// route.
fn towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(remote, DISCARD)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

fn in_order(first: Vec<IpAddr>, found: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::with_capacity(found.len());
    let first = first.into_iter().filter(|ip| found.contains(ip));
    for ip in first.chain(found.iter().copied()) {
        if !all.contains(&ip) {
            all.push(ip);
        }
    }
    all
}

/// Local addresses in the kernel's routing trie: a line with the address, and under it one that
/// says that it is this machine's.
fn v4(trie: &str) -> Vec<IpAddr> {
    let (mut found, mut last) = (Vec::new(), None);
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(ip) = last
            && !ip.is_loopback()
            && !ip.is_link_local()
        {
            found.push(ip);
        }
    }
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(IpAddr::V4).collect()
}

/// Addresses that come and go for privacy's sake, that are in use twice, or not yet tested.
const TEMPORARY: u8 = 0x01;
const DUPLICATE: u8 = 0x08;
const DEPRECATED: u8 = 0x20;
const SCOPE_GLOBAL: &str = "00";

/// Lines of address, number of the interface, length of the prefix, scope, flags, interface; all
/// numbers hexadecimal.
fn v6(table: &str) -> Vec<IpAddr> {
    let mut found: Vec<Ipv6Addr> = table.lines().filter_map(v6_line).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(IpAddr::V6).collect()
}

fn v6_line(line: &str) -> Option<Ipv6Addr> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [address, _, _, scope, flags, _] = fields[..] else {
        return None;
    };
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let is_lasting = flags & (TEMPORARY | DUPLICATE | DEPRECATED) == 0;
    let ip = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
    (scope == SCOPE_GLOBAL && is_lasting && !ip.is_loopback()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.23.0.0/24 2 0 2
        |-- 10.23.0.0
           /24 link UNICAST
        |-- 10.23.0.1
           /32 host LOCAL
     |-- 169.254.3.4
        /32 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
Local:
        |-- 10.23.0.1
           /32 host LOCAL
        |-- 192.168.7.9
           /32 host LOCAL
        |-- 192.168.7.255
           /32 link BROADCAST
";

    const TABLE: &str = "\
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
fd000000000000000000000000000002 04 40 00 82     eth0
fd000000000000000000000000000003 04 40 00 01     eth0
fd000000000000000000000000000004 04 40 00 20     eth0
00000000000000000000000000000001 01 80 10 80       lo
";

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_of_others_of_the_link_and_of_loopback_are_left_out() {
        assert_eq!(v4(TRIE), ips(&["10.23.0.1", "192.168.7.9"]));
        assert_eq!(v6(TABLE), ips(&["fd00::2"]));
        assert!(v4("").is_empty() && v6("").is_empty());
    }

    #[test]
    fn the_way_to_everywhere_is_first() {
        let found = ips(&["10.23.0.1", "192.168.7.9", "fd00::2"]);
        let order = in_order(ips(&["192.168.7.9", "127.0.0.1"]), found.clone());
        assert_eq!(order, ips(&["192.168.7.9", "10.23.0.1", "fd00::2"]));
        assert_eq!(in_order(vec![], found.clone()), found);
    }

    #[test]
    fn one_address_that_is_listened_on_is_the_only_one() {
        assert_eq!(reached_at(ips(&["10.0.0.2"])[0]), ips(&["10.0.0.2"]));
        let v4 = reached_at(Ipv4Addr::UNSPECIFIED.into());
        assert!(v4.iter().all(|ip| ip.is_ipv4() && !ip.is_loopback()));
    }
}
