//! A Debian of its own, started with systemd in namespaces from the folder that `make test` makes
//! (`.ci/debian`). What is changed in it is in memory and gone with it. Needs root.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{Process, until};
use crate::tools::find;

/// A boot takes a few seconds, on a loaded machine some more.
const BOOT: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(60);
/// With the mark of [`Terminal`](crate::terminal::Terminal).
const BASH_PROMPT: &str = r"PS1=\[\e]0;$?\a\]root@server:\w# ";

/// A running system; stopped when dropped.
pub struct Debian {
    container: Process,
    first: String,
}

/// What a system sees of this machine.
pub struct Sight<'a> {
    /// A folder that it sees as `/shared`, read-only.
    pub shared: &'a Path,
    /// Folders that it may write to, and where it sees them.
    pub folders: &'a [(&'a Path, &'a str)],
    /// A network namespace; without one, it has no network but a loopback interface of its own.
    pub network: Option<&'a Path>,
}

impl Debian {
    /// Boots a system that sees the folder `shared` as `/shared`, and has no network.
    ///
    /// # Errors
    /// Without root or the folder, or when the system does not come up.
    pub fn boot(name: &str, folder: &Path, shared: &Path) -> Result<Self> {
        let sight = Sight {
            shared,
            folders: &[],
            network: None,
        };
        Self::boot_with(name, folder, &sight)
    }

    /// The same with more of this machine in sight.
    ///
    /// # Errors
    /// As [`Debian::boot`].
    pub fn boot_with(name: &str, folder: &Path, sight: &Sight<'_>) -> Result<Self> {
        let shared = sight.shared;
        let mut bind = std::ffi::OsString::from("--bind-ro=");
        bind.push(shared);
        bind.push(":/shared");
        let mut command = Command::new(find("systemd-nspawn")?);
        command
            .arg("--directory")
            .arg(root()?)
            .arg(bind)
            .arg(format!("--machine=foghorn-{name}-{}", std::process::id()))
            .args(["--volatile=overlay", "--console=pipe"])
            .args(["--register=no", "--keep-unit", "--boot"]);
        for (folder, place) in sight.folders {
            command.arg(format!("--bind={}:{place}", folder.display()));
        }
        match sight.network {
            Some(network) => {
                command.arg(format!("--network-namespace-path={}", network.display()));
            }
            None => {
                command.arg("--private-network");
            }
        }
        let container = Process::start(folder, name, &mut command)?;
        let mut debian = Self {
            container,
            first: String::new(),
        };
        debian.first = until("the first process of the system", BOOT, || {
            let id = debian.container.id();
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
            let children = children.unwrap_or_default();
            let first = children.split_whitespace().next();
            Ok(first
                .filter(|first| is_inside(first, shared))
                .map(str::to_owned))
        })?;
        until("the system to be up", BOOT, || {
            let asked = debian.try_run(&["systemctl", "is-system-running"])?;
            let state = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
            ensure!(state != "stopping", "the system is going down");
            Ok(["running", "degraded"].contains(&&*state).then_some(()))
        })?;
        Ok(debian)
    }

    /// Runs a program in the system, whatever its exit status.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn try_run(&self, command: &[&str]) -> Result<Output> {
        self.enter(&["--all"])
            .args(["env", "-i", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(command)
            .stdin(Stdio::null())
            .output()
            .context("could not start nsenter")
    }

    /// Runs a program in the system to its end; gives what it wrote.
    ///
    /// # Errors
    /// When its exit status is not 0.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        let output = self.try_run(command)?;
        if !output.status.success() {
            bail!(
                "{} ended with {}:\n{}{}",
                command.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let (out, err) = (output.stdout, output.stderr);
        Ok(String::from_utf8_lossy(&[out, err].concat()).into_owned())
    }

    /// A shell for a person in the system, in this folder; see
    /// [`Terminal`](crate::terminal::Terminal).
    #[must_use]
    pub fn shell(&self, folder: &str) -> Command {
        let mut command = self.enter(&["--all"]);
        command
            .args(["env", "-i", "-C", folder, "LC_ALL=C.UTF-8", "HOME=/root"])
            .args(["TERM=xterm", "USER=root", BASH_PROMPT])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["bash", "--norc", "--noprofile", "-i"]);
        command
    }

    /// A program of this machine, in the network of the system.
    #[must_use]
    pub fn in_network(&self, program: &Path) -> Command {
        let mut command = self.enter(&["--net"]);
        command.arg(program);
        command
    }

    fn enter(&self, namespaces: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first]).args(namespaces);
        command.arg("--");
        command
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        // An orderly end, which also takes everything that runs in it.
        if let Err(error) = self.container.stop(STOP) {
            eprintln!("{error:#}");
        }
    }
}

/// Whether the process is in a system of its own already, and not on its way there: whatever is run
/// beside it would be run on this machine.
fn is_inside(process: &str, shared: &Path) -> bool {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/pid")).ok();
    let identity = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let seen = identity(Path::new(&format!("/proc/{process}/root/shared")));
    namespace(process).is_some_and(|other| Some(other) != namespace("self"))
        && seen.is_some()
        && seen == identity(shared)
}

fn root() -> Result<PathBuf> {
    let own =
        std::env::current_exe().context("could not determine the path of the test program")?;
    own.ancestors()
        .map(|folder| folder.join("tools/debian"))
        .find(|candidate| candidate.exists())
        .context("there is no Debian to test packages in: `make test` makes one, as root")?
        .canonicalize()
        .context("could not find the Debian to test packages in")
}
