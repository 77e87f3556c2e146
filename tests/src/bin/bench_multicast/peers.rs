//! The other systems, as their manuals would have them used on such a LAN.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use foghorn_tests::lab::SERVER;
use foghorn_tests::tools::find;

use crate::case::{Case, Trouble};

/// A peer: its sender on the server, one receiver on each client.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Runs on the server before the receivers and is ended after them: a server, not a sender.
    pub(crate) serves: bool,
    /// Receivers that run on and are ended when the sender is through.
    pub(crate) daemons: bool,
    sender: fn(&Place<'_>) -> Result<Command>,
    receiver: fn(&Place<'_>, &Path) -> Result<Command>,
}

/// Where a run finds its things.
pub(crate) struct Place<'p> {
    pub(crate) case: &'p Case,
    pub(crate) source: &'p Path,
    pub(crate) folder: &'p Path,
}

pub(crate) const ALL: &[Peer] = &[
    Peer {
        name: "udpcast",
        serves: false,
        daemons: false,
        sender: |place| udp_sender(place, &[]),
        receiver: udp_receiver,
    },
    Peer {
        name: "udpcast_fec",
        serves: false,
        daemons: false,
        sender: |place| udp_sender(place, &["--fec", "8x16/128"]),
        receiver: udp_receiver,
    },
    Peer {
        name: "uftp",
        serves: false,
        daemons: true,
        sender: uftp,
        receiver: uftpd,
    },
    Peer {
        name: "http",
        serves: true,
        daemons: false,
        sender: nginx,
        receiver: curl,
    },
];

/// Time that receivers have to be up before a sender is told to go.
pub(crate) const HEAD_START: Duration = Duration::from_millis(500);

impl Peer {
    /// Peers are not asked what they would do with a receiver in trouble: the figures are about the
    /// others' delay, and two of the three end with the trouble.
    #[expect(clippy::unused_self, reason = "may become a matter of the peer")]
    pub(crate) fn takes(&self, case: &Case) -> bool {
        case.trouble == Trouble::None
    }

    pub(crate) fn sender(&self, place: &Place<'_>) -> Result<Command> {
        (self.sender)(place)
    }

    /// Receives into `file`.
    pub(crate) fn receiver(&self, place: &Place<'_>, file: &Path) -> Result<Command> {
        (self.receiver)(place, file)
    }

    /// Where the bytes are in the end.
    pub(crate) fn result(&self, place: &Place<'_>, file: &Path) -> PathBuf {
        let name = place.source.file_name().unwrap_or_default();
        if self.daemons {
            folder_of(file).join(name)
        } else {
            file.to_owned()
        }
    }
}

fn folder_of(file: &Path) -> PathBuf {
    file.with_extension("d")
}

fn udp_sender(place: &Place<'_>, more: &[&str]) -> Result<Command> {
    let mut command = Command::new(find("udp-sender")?);
    command
        .args([
            "--interface",
            "eth0",
            "--nokbd",
            "--no-progress",
            "--ttl",
            "1",
        ])
        .arg("--file")
        .arg(place.source)
        .args(["--min-receivers", &place.case.clients.to_string()])
        .args(["--max-bitrate", &format!("{}m", place.case.rate.mbit())])
        .args(more);
    Ok(command)
}

fn udp_receiver(_place: &Place<'_>, file: &Path) -> Result<Command> {
    let mut command = Command::new(find("udp-receiver")?);
    command
        .args(["--interface", "eth0", "--nokbd", "--no-progress"])
        .arg("--file")
        .arg(file);
    Ok(command)
}

/// At 97 % of the line: its rate leaves headers out.
fn uftp(place: &Place<'_>) -> Result<Command> {
    let mut command = Command::new(find("uftp")?);
    let kbit = place.case.rate.mbit() * 970;
    command
        .args([
            "-q",
            "-R",
            &kbit.to_string(),
            "-I",
            "eth0",
            "-b",
            "1440",
            "-t",
            "1",
        ])
        .arg(place.source);
    Ok(command)
}

fn uftpd(_place: &Place<'_>, file: &Path) -> Result<Command> {
    let folder = folder_of(file);
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(find("uftpd")?);
    // In the foreground, so that its process is the one that was started.
    command.args(["-d", "-q", "-I", "eth0", "-D"]).arg(folder);
    Ok(command)
}

pub(crate) const PORT: u16 = 8099;

fn nginx(place: &Place<'_>) -> Result<Command> {
    let folder = place.folder.join("nginx");
    std::fs::create_dir_all(&folder)?;
    let (at, root) = (
        folder.display(),
        place.source.parent().unwrap_or(Path::new("/")).display(),
    );
    std::fs::write(
        folder.join("nginx.conf"),
        format!(
            "daemon off; user root; worker_processes 2; pid {at}/pid; error_log {at}/error.log;
             events {{ }}
             http {{ access_log off; sendfile on; server {{ listen {SERVER}:{PORT}; root {root}; }} }}"
        ),
    )?;
    let mut command = Command::new(find("nginx")?);
    command
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .arg("-p")
        .arg(&folder);
    Ok(command)
}

fn curl(place: &Place<'_>, file: &Path) -> Result<Command> {
    let name = place
        .source
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let mut command = Command::new(find("curl")?);
    command
        .args(["-sf", "--retry", "0", "-o"])
        .arg(file)
        .arg(format!("http://{SERVER}:{PORT}/{name}"));
    Ok(command)
}
