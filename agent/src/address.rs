//! Which of this machine's addresses clients should use.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

#[derive(Debug, thiserror::Error)]
pub enum FindAddressError {
    #[error("could not resolve the controller's address {controller}")]
    Resolve {
        controller: String,
        source: io::Error,
    },
    #[error("this machine has no route to the controller at {controller}")]
    NoRoute {
        controller: String,
        source: io::Error,
    },
}

/// `listening` itself when it is one address; otherwise the address that the system uses towards
/// the controller, which the clients' network most likely reaches too. Sends nothing. Blocking,
/// because a name may have to be resolved.
pub(crate) fn advertised(
    listening: SocketAddr,
    controller: &str,
) -> Result<SocketAddr, FindAddressError> {
    if !listening.ip().is_unspecified() {
        return Ok(listening);
    }
    let candidates = controller
        .to_socket_addrs()
        .map_err(|source| FindAddressError::Resolve {
            controller: controller.to_owned(),
            source,
        })?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for remote in candidates.filter(|remote| remote.is_ipv4() || listening.is_ipv6()) {
        match towards(remote) {
            Ok(ip) => return Ok(SocketAddr::new(ip, listening.port())),
            Err(problem) => last = problem,
        }
    }
    Err(FindAddressError::NoRoute {
        controller: controller.to_owned(),
        source: last,
    })
}

/// Connecting a UDP socket only looks up the route.
fn towards(remote: SocketAddr) -> io::Result<std::net::IpAddr> {
    let any: SocketAddr = if remote.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_to_the_controller_decides() {
        let any = SocketAddr::from(([0, 0, 0, 0], 7472));
        assert_eq!(
            advertised(any, "127.0.0.1:1").unwrap(),
            SocketAddr::from(([127, 0, 0, 1], 7472))
        );
        let one = SocketAddr::from(([127, 0, 0, 9], 7472));
        assert_eq!(advertised(one, "not looked at").unwrap(), one);
    }
}
