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
fn advertised(listening: SocketAddr, controller: &str) -> Result<SocketAddr, FindAddressError> {
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

/// Where clients reach this node.
#[derive(Clone, Debug)]
pub(crate) struct Advertised {
    first: String,
    /// The socket that is reached at every address of this machine, unless one was set.
    everywhere: Option<SocketAddr>,
}

impl Advertised {
    /// The address that was set, and no other.
    pub(crate) fn set(address: String) -> Self {
        Self {
            first: address,
            everywhere: None,
        }
    }

    /// The addresses of this machine, that towards the controller first. Blocking.
    ///
    /// # Errors
    /// When there is none at which the node could be reached.
    pub(crate) fn find(listening: SocketAddr, controller: &str) -> Result<Self, FindAddressError> {
        let everywhere = listening.ip().is_unspecified().then_some(listening);
        let towards = advertised(listening, controller);
        let own = everywhere.map(own).unwrap_or_default();
        let first = match (towards, own.first()) {
            (Ok(found), Some(own)) if found.ip().is_loopback() => *own,
            (Ok(found), _) => found,
            (Err(_), Some(own)) => *own,
            (Err(problem), None) => return Err(problem),
        };
        Ok(Self {
            first: first.to_string(),
            everywhere,
        })
    }

    pub(crate) fn first(&self) -> &str {
        &self.first
    }

    /// What clients may try at this moment, best first; never empty.
    pub(crate) fn now(&self) -> Vec<String> {
        let own = self.everywhere.map(own).unwrap_or_default();
        in_order(&self.first, own.iter().map(ToString::to_string).collect())
    }
}

/// The first one stays the first as long as it is there.
fn in_order(first: &str, own: Vec<String>) -> Vec<String> {
    if own.is_empty() {
        return vec![first.to_owned()];
    }
    let (mut all, others): (Vec<_>, Vec<_>) = own.into_iter().partition(|one| one == first);
    all.extend(others);
    all
}

fn own(listening: SocketAddr) -> Vec<SocketAddr> {
    let own = foghorn_reach::reached_at(listening.ip());
    let at = |ip| SocketAddr::new(ip, listening.port());
    own.into_iter().map(at).collect()
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

    #[test]
    fn an_address_that_is_gone_is_not_told_any_more() {
        let own = || vec!["10.0.0.1:7472".to_owned(), "10.23.0.1:7472".to_owned()];
        assert_eq!(
            in_order("10.23.0.1:7472", own()),
            ["10.23.0.1:7472", "10.0.0.1:7472"]
        );
        assert_eq!(in_order("10.9.9.9:7472", own()), own());
        assert_eq!(in_order("127.0.0.1:7472", vec![]), ["127.0.0.1:7472"]);
        let set = Advertised::set("fog.example:7472".to_owned());
        assert_eq!(set.now(), ["fog.example:7472"]);
    }
}
