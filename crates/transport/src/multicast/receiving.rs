//! A receiver's socket: many datagrams per call, in buffers that are used again and again.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::drops::DropCounter;
use super::interface::{FindInterfaceError, InterfaceChoice};
use crate::buffers;

/// 32 MiB as the kernel counts: at 1 Gbit/s a receiver may be away from the CPU for a tenth of a
/// second.
const RECEIVE_BUFFER: usize = 32 << 20;
/// Nothing is sent from this socket.
const SEND_BUFFER: usize = 4096;
/// The kernel may hand over several datagrams of one burst as one; together they are at most this
/// long.
const LARGEST: usize = 64 << 10;

/// The group could not be joined.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum JoinGroupError {
    #[error("{0} is not a multicast address")]
    NotAGroup(IpAddr),
    #[error("could not determine which interface to use for {group}")]
    Interface {
        group: SocketAddr,
        source: FindInterfaceError,
    },
    #[error("could not open a socket for {group}")]
    Socket {
        group: SocketAddr,
        source: io::Error,
    },
    #[error("could not join {group} on {interface}")]
    Join {
        group: SocketAddr,
        interface: InterfaceChoice,
        source: io::Error,
    },
}

/// Hears one group on one interface. The membership ends with it.
#[derive(Debug)]
pub struct GroupReceiver {
    socket: Socket,
    state: UdpSocketState,
    drops: DropCounter,
    /// Only packets from here are taken.
    source: IpAddr,
    memory: Vec<u8>,
}

impl GroupReceiver {
    /// Joins the group on an interface and takes packets of `source` alone. With `source_specific`
    /// the network is asked for this source only (IGMPv3); for IPv6 it is asked for the group
    /// and others are dropped here.
    ///
    /// # Errors
    /// When the group or the interface cannot be used.
    pub fn join(
        group: SocketAddr,
        source: IpAddr,
        source_specific: bool,
        interface: &InterfaceChoice,
    ) -> Result<Self, JoinGroupError> {
        if !group.ip().is_multicast() {
            return Err(JoinGroupError::NotAGroup(group.ip()));
        }
        let failed = |source| JoinGroupError::Socket { group, source };
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))
            .map_err(failed)?;
        // Several receivers may run on one machine.
        socket.set_reuse_address(true).map_err(failed)?;
        join(&socket, group, source, source_specific, interface)?;
        buffers::grow(&socket, RECEIVE_BUFFER, SEND_BUFFER).map_err(failed)?;
        let state = UdpSocketState::new((&socket).into()).map_err(failed)?;
        let drops = DropCounter::of(&socket, group.is_ipv4());
        Ok(Self {
            socket,
            state,
            drops,
            source,
            memory: vec![0; BATCH_SIZE * LARGEST],
        })
    }

    /// Waits for packets, at most for `wait`, and hands over each that has come. Returns how many
    /// there were; those of other senders are counted as well and handed over as `None`.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn receive(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(Option<&mut [u8]>),
    ) -> io::Result<usize> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let messages = match self.fill(&mut metas) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !self.wait(wait)? {
                    return Ok(0);
                }
                match self.fill(&mut metas) {
                    // Woken by a packet that turned out to be damaged.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    filled => filled?,
                }
            }
            filled => filled?,
        };
        let mut count = 0;
        for (meta, buffer) in metas[..messages]
            .iter()
            .zip(self.memory.chunks_exact_mut(LARGEST))
        {
            for datagram in buffer[..meta.len.min(LARGEST)].chunks_mut(meta.stride.max(1)) {
                count += 1;
                each((meta.addr.ip() == self.source).then_some(datagram));
            }
        }
        Ok(count)
    }

    /// Packets that the kernel dropped because they were not taken in time. Reads a table of the
    /// kernel: ask about once a second.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.read()
    }

    fn fill(&mut self, metas: &mut [RecvMeta; BATCH_SIZE]) -> io::Result<usize> {
        let mut buffers = self.memory.chunks_exact_mut(LARGEST).map(IoSliceMut::new);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| buffers.next().expect("the memory holds this many buffers"));
        self.state.recv((&self.socket).into(), &mut buffers, metas)
    }

    fn wait(&self, wait: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let wait = Timespec {
            tv_sec: wait.as_secs() as _,
            tv_nsec: wait.subsec_nanos() as _,
        };
        match poll(&mut fds, Some(&wait)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn join(
    socket: &Socket,
    group: SocketAddr,
    source: IpAddr,
    source_specific: bool,
    interface: &InterfaceChoice,
) -> Result<(), JoinGroupError> {
    let found = interface
        .find(socket, group.ip())
        .map_err(|source| JoinGroupError::Interface { group, source })?;
    let joined = match (group, source) {
        (SocketAddr::V4(group), IpAddr::V4(source)) => {
            // What other programs on this machine have joined is none of our business.
            socket.set_multicast_all_v4(false).and_then(|()| {
                if source_specific && found.index == 0 {
                    socket.join_ssm_v4(&source, group.ip(), &found.address)
                } else if found.index == 0 {
                    socket.join_multicast_v4(group.ip(), &found.address)
                } else {
                    socket.join_multicast_v4_n(
                        group.ip(),
                        &InterfaceIndexOrAddress::Index(found.index),
                    )
                }
            })
        }
        (SocketAddr::V6(group), _) => socket
            .set_multicast_all_v6(false)
            .and_then(|()| socket.join_multicast_v6(group.ip(), found.index)),
        (SocketAddr::V4(_), IpAddr::V6(_)) => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    joined.map_err(|source| JoinGroupError::Join {
        group,
        interface: interface.clone(),
        source,
    })?;
    // Bound to the group and not to any address: nothing else that comes to this port is ours.
    let address = match group {
        SocketAddr::V6(mut group) => {
            group.set_scope_id(found.index);
            SocketAddr::V6(group)
        }
        v4 @ SocketAddr::V4(_) => v4,
    };
    socket
        .bind(&address.into())
        .map_err(|source| JoinGroupError::Socket { group, source })
}
