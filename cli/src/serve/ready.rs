//! Tells systemd that the site can be used, so that `systemctl start` ends then and not before.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::warn;

/// Says so if somebody wants to know; else systemd would wait for it.
pub(super) fn tell() {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = tell_at(&socket)
    {
        warn!(%error, "could not tell systemd that the site is ready");
    }
}

fn tell_at(socket: &OsStr) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let message = b"READY=1";
    UnixDatagram::unbound()?
        .send_to_addr(message, &address)
        .map(|_sent| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_by_a_path_and_by_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("foghorn-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_name).unwrap();
        for (socket, given) in [
            (by_path, path.into_os_string()),
            (by_name, format!("@{name}").into()),
        ] {
            tell_at(&given).unwrap();
            let mut told = [0; 16];
            let length = socket.recv(&mut told).unwrap();
            assert_eq!(&told[..length], b"READY=1");
        }
        assert!(tell_at(OsStr::new("/nowhere/notify")).is_err());
    }
}
