//! By which address other machines reach this one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses that documentation reserves: the route to them is the route to everywhere, and nothing
/// is ever sent.
const FAR_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const FAR_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// The address that is listened on, or, when that is every address, the one towards the default
/// route. A machine without a route is reached by nobody, and then it is loopback.
pub(super) fn public_host(listen: IpAddr) -> IpAddr {
    if !listen.is_unspecified() {
        return listen;
    }
    let (any, far) = match listen {
        IpAddr::V4(_) => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), FAR_V4),
        IpAddr::V6(_) => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), FAR_V6),
    };
    let towards = UdpSocket::bind(SocketAddr::new(any, 0)).and_then(|socket| {
        socket.connect(SocketAddr::new(far, 9))?;
        socket.local_addr()
    });
    towards.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_itself_and_every_address_becomes_one() {
        let one: IpAddr = "10.0.0.2".parse().unwrap();
        assert_eq!(public_host(one), one);
        assert!(!public_host(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).is_unspecified());
    }
}
