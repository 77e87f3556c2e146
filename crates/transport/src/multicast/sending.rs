//! The sender's socket: whole bursts of datagrams per call, by segmentation offload where the
//! system has it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use quinn_udp::{Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use super::interface::{FindInterfaceError, Interface, InterfaceChoice};
use crate::buffers;

/// 4 MiB: some 30 ms at 1 Gbit/s that may wait for the network card.
const SEND_BUFFER: usize = 4 << 20;
/// Nothing comes back to this socket.
const RECEIVE_BUFFER: usize = 64 << 10;
/// Most bytes that one call can hand to the kernel: the largest UDP datagram, of which offload
/// makes segments.
const MOST_PER_CALL: usize = 65_000;
/// How long a full socket buffer is waited for; a network card that takes nothing for so long is
/// not working.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// The socket could not be set up.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum OpenSenderError {
    #[error("{0} is not a multicast address")]
    NotAGroup(IpAddr),
    #[error("could not determine which interface to send to {group} from")]
    Interface {
        group: SocketAddr,
        source: FindInterfaceError,
    },
    #[error("could not open a socket that sends to {group}")]
    Socket {
        group: SocketAddr,
        source: io::Error,
    },
    #[error("could not set {what} of the socket that sends to {group}")]
    Option {
        group: SocketAddr,
        what: &'static str,
        source: io::Error,
    },
    #[error(
        "no route to {group} from the interface {interface}: does the interface have an address?"
    )]
    NoRoute {
        group: SocketAddr,
        interface: InterfaceChoice,
        source: io::Error,
    },
}

/// What became of a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Datagrams that the kernel took.
    pub datagrams: u64,
    /// Datagrams that the kernel had no room for; to receivers they are lost like any other.
    pub dropped: u64,
}

/// Sends to one group from one interface.
#[derive(Debug)]
pub struct GroupSender {
    socket: Socket,
    state: UdpSocketState,
    group: SocketAddr,
    source: IpAddr,
    mtu: usize,
}

impl GroupSender {
    /// `ttl` is the number of networks that packets may cross, 1 for the LAN alone. With
    /// `loopback`, receivers on this very machine hear the group, too.
    ///
    /// # Errors
    /// When the group or the interface cannot be used.
    pub fn open(
        group: SocketAddr,
        interface: &InterfaceChoice,
        ttl: u8,
        loopback: bool,
    ) -> Result<Self, OpenSenderError> {
        if !group.ip().is_multicast() {
            return Err(OpenSenderError::NotAGroup(group.ip()));
        }
        let (source, mtu) = way_to(group, interface)?;
        let (socket, _) = socket_on(group, interface)?;
        let option = |what| {
            move |source| OpenSenderError::Option {
                group,
                what,
                source,
            }
        };
        match group {
            SocketAddr::V4(_) => {
                socket
                    .set_multicast_ttl_v4(ttl.into())
                    .map_err(option("the TTL"))?;
                socket
                    .set_multicast_loop_v4(loopback)
                    .map_err(option("the loopback"))?;
            }
            SocketAddr::V6(_) => {
                socket
                    .set_multicast_hops_v6(ttl.into())
                    .map_err(option("the hop limit"))?;
                socket
                    .set_multicast_loop_v6(loopback)
                    .map_err(option("the loopback"))?;
            }
        }
        // Bound to the address that receivers are told, so that who joins for this source hears it.
        let failed = |source| OpenSenderError::Socket { group, source };
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .map_err(failed)?;
        buffers::grow(&socket, RECEIVE_BUFFER, SEND_BUFFER).map_err(option("the buffers"))?;
        let state = UdpSocketState::new((&socket).into()).map_err(failed)?;
        Ok(Self {
            socket,
            state,
            group,
            source,
            mtu,
        })
    }

    /// The address that packets come from.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// Bytes of the largest IP packet that leaves the interface whole.
    #[must_use]
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Where packets go.
    #[must_use]
    pub fn group(&self) -> SocketAddr {
        self.group
    }

    /// Sends datagrams that lie back to back, each of `size` bytes, the last one possibly shorter.
    /// Blocks while the socket's buffer is full.
    ///
    /// # Errors
    /// When the network cannot be used at all, such as when the interface is down. What the kernel
    /// merely has no room for is counted and not an error.
    pub fn send(&self, datagrams: &[u8], size: usize) -> io::Result<Sent> {
        let mut sent = Sent::default();
        let mut rest = datagrams;
        while !rest.is_empty() {
            let most = self
                .state
                .max_gso_segments()
                .min(MOST_PER_CALL / size.max(1))
                .max(1)
                * size;
            let (now, later) = rest.split_at(most.min(rest.len()));
            let count = now.len().div_ceil(size) as u64;
            let transmit = Transmit {
                destination: self.group,
                ecn: None,
                contents: now,
                segment_size: (count > 1).then_some(size),
                src_ip: None,
            };
            let offloaded = count > 1;
            match self.state.try_send((&self.socket).into(), &transmit) {
                Ok(()) => sent.datagrams += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_room()?;
                    continue;
                }
                // The card does not offload segmentation; the state has taken note, and the next
                // round sends singly.
                Err(_) if offloaded && self.state.max_gso_segments() == 1 => continue,
                Err(error) if is_lack_of_room(&error) => sent.dropped += count,
                Err(error) => return Err(error),
            }
            rest = later;
        }
        Ok(sent)
    }

    fn wait_for_room(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        let patience = Timespec {
            tv_sec: ROOM_WITHIN.as_secs() as _,
            tv_nsec: 0,
        };
        match poll(&mut fds, Some(&patience)) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the network takes no packets",
            )),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_lack_of_room(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    number == Some(rustix::io::Errno::NOBUFS.raw_os_error())
        || number == Some(rustix::io::Errno::NOMEM.raw_os_error())
}

/// A socket whose multicasts leave by the interface.
fn socket_on(
    group: SocketAddr,
    interface: &InterfaceChoice,
) -> Result<(Socket, Interface), OpenSenderError> {
    let domain = Domain::for_address(group);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))
        .map_err(|source| OpenSenderError::Socket { group, source })?;
    let found = interface
        .find(&socket, group.ip())
        .map_err(|source| OpenSenderError::Interface { group, source })?;
    let set = match group.ip() {
        IpAddr::V4(address) => sockopt::set_ip_multicast_if_with_ifindex(
            &socket,
            &address,
            &found.address,
            found.index,
        ),
        IpAddr::V6(_) => sockopt::set_ipv6_multicast_if(&socket, found.index),
    };
    set.map_err(|error| OpenSenderError::Option {
        group,
        what: "the interface",
        source: error.into(),
    })?;
    Ok((socket, found))
}

/// The address with which packets to the group leave the interface, and how large they may be: the
/// kernel knows both of a socket that connects.
fn way_to(
    group: SocketAddr,
    interface: &InterfaceChoice,
) -> Result<(IpAddr, usize), OpenSenderError> {
    let (socket, _) = socket_on(group, interface)?;
    let no_route = |source| OpenSenderError::NoRoute {
        group,
        interface: interface.clone(),
        source,
    };
    let any: IpAddr = if group.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    socket
        .bind(&SocketAddr::new(any, 0).into())
        .map_err(no_route)?;
    socket.connect(&group.into()).map_err(no_route)?;
    let mtu = if group.is_ipv4() {
        sockopt::ip_mtu(&socket)
    } else {
        sockopt::ipv6_mtu(&socket)
    };
    let mtu = mtu.map_err(|error| OpenSenderError::Option {
        group,
        what: "the MTU",
        source: error.into(),
    })?;
    let source = UdpSocket::from(socket).local_addr().map_err(no_route)?.ip();
    Ok((source, usize::try_from(mtu).unwrap_or(usize::MAX)))
}
