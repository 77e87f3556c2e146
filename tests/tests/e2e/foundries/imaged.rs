//! A machine that was imaged with an identity: its disk in a file. The root file system is mounted while the host
//! service runs, where only that sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::Made;
use foghorn_tests::process::Process;
use foghorn_tests::stack::PATIENCE;

use super::places::Places;
use crate::block_devices::Loop;

/// Where its root file system is.
const MOUNTED: &str = "mounted";
/// Settings that say where the files of the identity are as long as that is so.
const SETTINGS: &str = "z-mounted.toml";
/// What the kernel and the firmware of the machine say, below a folder of this name. Those of the machine that
/// runs the tests stay as they are.
const SAID: &str = "root";
const KERNEL_NAME: &str = "proc/sys/kernel/hostname";
pub(super) const MAKER: &str = "Example Works";
/// A service that is killed ends with all that it has started, and with its view of the file systems.
const ALONE: [&str; 4] = ["--mount", "--pid", "--fork", "--kill-child"];
/// Device, place, and a command that is run between.
const MOUNT: &str = "place=$1; shift; mount -t ext4 \"$0\" \"$place\" || exit 98\n\
    \"$@\"; code=$?; umount \"$place\" || exit 99\nexit $code";

pub(super) struct Imaged {
    pub(super) places: Places,
    disk: PathBuf,
    /// Where the root file system begins on the disk, and how large it is.
    start: u64,
    size: u64,
}

impl Imaged {
    pub(super) fn new(folder: PathBuf, disk: &Path, root: &Made) -> Result<Self> {
        let places = Places::make(folder)?;
        fs::create_dir(places.path(MOUNTED))?;
        places.notes("power", "power $1")?;
        places.notes("actions/greet", "greeted")?;
        let machine = Self {
            places,
            disk: disk.to_owned(),
            start: root.start,
            size: root.size,
        };
        let sota = machine.sota();
        let [authority, certificate, key] =
            ["root.crt", "client.pem", "pkey.pem"].map(|name| sota.join(name));
        let text = format!(
            "[import]\ntls_cacert_path = {authority:?}\ntls_clientcert_path = {certificate:?}\n\
            tls_pkey_path = {key:?}\n[storage]\npath = {sota:?}\n"
        );
        fs::write(machine.places.path(SETTINGS), text)?;
        machine.starts()?;
        Ok(machine)
    }

    fn sota(&self) -> PathBuf {
        self.places.path(MOUNTED).join("var/sota")
    }

    /// What is in memory is as after a start.
    pub(super) fn starts(&self) -> Result<()> {
        let secrets = self.places.path("secrets");
        if secrets.exists() {
            fs::remove_dir_all(secrets)?;
        }
        let vendor = format!("{MAKER}\n");
        for (name, text) in [
            (KERNEL_NAME, "localhost\n"),
            (
                "proc/sys/kernel/random/boot_id",
                "5a1c0d2e-7b1f-4c6e-9a53-0f6f7d3b0104\n",
            ),
            ("etc/hostname", "localhost\n"),
            ("sys/class/dmi/id/sys_vendor", vendor.as_str()),
        ] {
            let path = self.places.path(SAID).join(name);
            fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
            fs::write(path, text)?;
        }
        Ok(())
    }

    /// What the kernel is told that the machine is called.
    pub(super) fn name(&self) -> Result<String> {
        let text = fs::read_to_string(self.places.path(SAID).join(KERNEL_NAME))?;
        Ok(text.trim().to_owned())
    }

    /// Checks in with the identity on the disk, and does the work of the host; what the service has said. `name` is
    /// that of its log.
    pub(super) fn check_in(&self, name: &str) -> Result<String> {
        // Before the process, as it has to be detached after it.
        let device = Loop::over_part(&self.disk, self.start, self.size)?;
        let mut service = self.places.check_in()?;
        service
            .arg("--config")
            .arg(self.sota().join("sota.toml"))
            .arg("--config")
            .arg(self.places.path(SETTINGS))
            .arg("--root")
            .arg(self.places.path(SAID))
            .arg("--power-command")
            .arg(self.places.path("power"));
        let mut command = Command::new("unshare");
        command
            .args(ALONE)
            .args(["sh", "-c", MOUNT])
            .arg(device.path())
            .arg(self.places.path(MOUNTED))
            .arg(service.get_program())
            .args(service.get_args());
        let mut process = Process::start(self.places.folder(), name, &mut command)?;
        let ended = process.wait(PATIENCE)?;
        let log = process.log();
        ensure!(ended.success(), "{name} ended with {ended}:\n{log}");
        Ok(log)
    }
}
