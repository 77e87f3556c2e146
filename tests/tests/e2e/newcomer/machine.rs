//! A machine of the room, started from the stick: its own network and disk, busybox, and the client
//! that was put there as `fh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::lab::Lab;
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::terminal::Terminal;
use foghorn_tests::tools::find;

use crate::block_devices::Loop;

/// As a live system starts: `$0` is the stick, `$1` the loop device, which the machine has as its
/// only drive. The mounts are seen by this machine only.
const START: &str = r#"
set -e
mount -t proc proc $0/proc
mount -t sysfs sysfs $0/sys
numbers=$(cat $0/sys/block/$1/dev)
mount -t tmpfs tmpfs $0/sys/block
ln -s ../devices/virtual/block/$1 $0/sys/block/sda
mount -t tmpfs tmpfs $0/dev
mknod $0/dev/sda b ${numbers%:*} ${numbers#*:}
mknod $0/dev/null c 1 3
mknod $0/dev/zero c 1 5
mknod $0/dev/urandom c 1 9
mknod $0/dev/tty c 5 0
exec chroot $0 /bin/busybox env -i TERM=xterm HOME=/ PS1="$2" \
    PATH=/usr/local/bin:/bin /bin/busybox sh -i
"#;

/// A live system on a stick, without the client.
pub(super) fn make_stick(folder: &Path) -> Result<()> {
    for place in ["proc", "sys", "dev", "bin", "usr/local/bin"] {
        fs::create_dir_all(folder.join(place))?;
    }
    fs::copy(find("busybox")?, folder.join("bin/busybox"))?;
    Ok(())
}

pub(super) struct Machine {
    pub(super) name: String,
    pub(super) disk: PathBuf,
    terminal: Terminal,
    typed: usize,
    // Detached when the programs on the terminal have ended.
    _device: Loop,
}

impl Machine {
    /// Starts client `place` of the lab from the stick.
    pub(super) fn start(
        lab: &Lab,
        place: usize,
        (name, mac): (&str, &str),
        (stick, disk): (&Path, &Path),
    ) -> Result<Self> {
        lab.set_mac(place, mac)?;
        let device = Loop::with_partitions(disk)?;
        let short = device.name().context("a loop device has a name")?;
        let mut start = Command::new("sh");
        let prompt = format!("\\[\u{1b}]0;$?\u{7}\\]root@{name}:~# ");
        start.args(["-c", START]).arg(stick).args([&short, &prompt]);
        let folder = disk.parent().context("a disk is in a folder")?;
        let terminal = Terminal::open(folder, name, &lab.on_client(place, &start), PATIENCE)?;
        Ok(Self {
            name: name.to_owned(),
            disk: disk.to_owned(),
            terminal,
            typed: 0,
            _device: device,
        })
    }

    /// Types a line and Enter.
    pub(super) fn enter(&mut self, line: &str) -> Result<()> {
        self.typed += line.chars().count() + 1;
        self.terminal.enter(line)
    }

    pub(super) fn ended_well(&mut self) -> Result<()> {
        self.terminal
            .ended()
            .with_context(|| format!("on {}", self.name))
    }

    /// Characters, with Enter.
    pub(super) fn typed(&self) -> usize {
        self.typed
    }

    pub(super) fn screen(&self) -> String {
        self.terminal.screen()
    }

    /// Whether the disk is the other one, byte by byte.
    pub(super) fn check_same(&self, other: &Path) -> Result<()> {
        ensure!(
            foghorn_tests::disks::same(&self.disk, other)?,
            "the disk of {} is not that of the machine that was captured",
            self.name
        );
        Ok(())
    }
}
