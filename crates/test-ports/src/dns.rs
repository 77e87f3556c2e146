//! A name server that never answers, for programs that a test starts.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What a program may take from SIGTERM to its end: five seconds, and what a busy machine adds.
pub const ENDS_WITHIN: Duration = Duration::from_millis(6500);

/// Takes questions and keeps them to itself, as long as it lives.
pub struct SilentDns {
    socket: UdpSocket,
    resolv_conf: PathBuf,
}

impl SilentDns {
    /// `None` for users who may not have a port as low as this, except in CI. `folder` must outlive
    /// the programs.
    ///
    /// # Errors
    /// When the port cannot be had for another reason.
    pub fn start(folder: &Path) -> io::Result<Option<Self>> {
        let id = std::process::id();
        for try_next in 0..200_u8 {
            let [_, _, high, low] = id.to_be_bytes();
            let address = Ipv4Addr::new(127, 100 + try_next % 100, high, low.max(2));
            match UdpSocket::bind((address, 53)) {
                Ok(socket) => {
                    let resolv_conf = folder.join("resolv.conf");
                    std::fs::write(&resolv_conf, format!("nameserver {address}\n"))?;
                    return Ok(Some(Self {
                        socket,
                        resolv_conf,
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && std::env::var_os("CI").is_none() =>
                {
                    eprintln!("left out: a name server needs root");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// `program`, which asks this name server and no other. What others have asked before is
    /// forgotten.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        if self.socket.set_nonblocking(true).is_ok() {
            while self.socket.recv_from(&mut [0; 512]).is_ok() {}
        }
        let mut command = Command::new("unshare");
        let script = r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#;
        command.args(["--mount", "sh", "-c", script]);
        command.arg(&self.resolv_conf).arg(program);
        command
    }

    /// Waits until somebody has asked, so that the program is known to wait for an answer.
    ///
    /// # Errors
    /// When nobody asks within half a minute.
    pub fn was_asked(&self) -> io::Result<()> {
        self.socket.set_nonblocking(false)?;
        self.socket
            .set_read_timeout(Some(Duration::from_secs(30)))?;
        self.socket.recv_from(&mut [0; 512]).map(drop)
    }
}

/// Sends SIGTERM and gives the time until the process ends, with its exit code.
///
/// # Errors
/// When the signal cannot be sent, or the process does not end within a minute.
pub fn terminate(process: &mut std::process::Child) -> io::Result<(Duration, Option<i32>)> {
    let sent = Command::new("kill")
        .args(["-TERM", &process.id().to_string()])
        .status()?;
    if !sent.success() {
        return Err(io::Error::other("the process could not be told to stop"));
    }
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        if let Some(status) = process.try_wait()? {
            return Ok((start.elapsed(), status.code()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other("the process did not end"))
}
