//! Ports for the programs that tests start, and a name server that they wait for in vain.

pub mod dns;

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that Linux gives to outgoing connections (32768 and up by default): a port that
/// the kernel chose may go to a connection of another test before its program listens.
const FIRST: u16 = 12_000;
const COUNT: u32 = 20_000;

/// How many ports of this process were tried.
static TRIED: AtomicU32 = AtomicU32::new(0);

/// A loopback TCP port that nobody uses and that this process gives out once.
pub fn free_port() -> io::Result<u16> {
    free(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}

/// A loopback UDP port that nobody uses and that this process gives out once.
pub fn free_udp_port() -> io::Result<u16> {
    free(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}

fn free(is_free: impl Fn(u16) -> bool) -> io::Result<u16> {
    // Test programs that run beside this one start elsewhere.
    let start = std::process::id() % COUNT * 997;
    (0..COUNT)
        .map(|_| FIRST + ((start + TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT) as u16)
        .find(|port| is_free(*port))
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port on loopback"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_out_once_and_is_no_port_of_outgoing_connections() -> io::Result<()> {
        let ports = (0..200)
            .map(|_| free_port())
            .collect::<io::Result<std::collections::BTreeSet<_>>>()?;
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|port| (FIRST..32_768).contains(port)));
        Ok(())
    }
}
