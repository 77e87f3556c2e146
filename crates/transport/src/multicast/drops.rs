//! Packets that the kernel dropped because a socket's buffer was full, from the last column of
//! `/proc/net/udp`. The number that comes with packets (`SO_RXQ_OVFL`) is the same one, but cannot
//! be read without unsafe code.

use std::os::fd::AsFd;

/// Finds one socket in the kernel's table.
#[derive(Debug)]
pub(super) struct DropCounter {
    path: &'static str,
    inode: Option<u64>,
}

impl DropCounter {
    pub(super) fn of(socket: &impl AsFd, ipv4: bool) -> Self {
        let inode = rustix::fs::fstat(socket).ok().map(|stat| stat.st_ino);
        Self {
            path: if ipv4 {
                "/proc/net/udp"
            } else {
                "/proc/net/udp6"
            },
            inode,
        }
    }

    /// Packets dropped since the socket was opened; 0 where the kernel does not tell. Costs a read
    /// of the table.
    pub(super) fn read(&self) -> u64 {
        let found = || drops_of(&std::fs::read_to_string(self.path).ok()?, self.inode?);
        found().unwrap_or(0)
    }
}

fn drops_of(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let found = fields.get(9)?.parse::<u64>().ok()?;
        if found == inode {
            fields.last()?.parse().ok()
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn packets_that_found_no_room_are_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
        let counter = DropCounter::of(&socket, true);
        assert_eq!(counter.read(), 0);
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..64 {
            from.send_to(&[0; 1400], socket.local_addr().unwrap())
                .unwrap();
        }
        let dropped = counter.read();
        assert!((1..64).contains(&dropped), "{dropped} of 64");
    }
}
