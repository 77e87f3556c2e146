//! External programs. A missing one is an error that names its package, never a skipped test.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Debian packages by program, for the message when one is missing.
const PACKAGES: &[(&str, &str)] = &[
    ("sgdisk", "gdisk"),
    ("fdisk", "fdisk"),
    ("sfdisk", "fdisk"),
    ("mke2fs", "e2fsprogs"),
    ("dumpe2fs", "e2fsprogs"),
    ("cc", "gcc"),
    ("e2fsck", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("mkfs.fat", "dosfstools"),
    ("fsck.fat", "dosfstools"),
    ("mcopy", "mtools"),
    ("mkfs.ntfs", "ntfs-3g"),
    ("ntfscp", "ntfs-3g"),
    ("ntfscat", "ntfs-3g"),
    ("ntfsfix", "ntfs-3g"),
    ("mkfs.exfat", "exfatprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mkswap", "util-linux"),
    ("blkid", "util-linux"),
    ("wipefs", "util-linux"),
    ("mdadm", "mdadm"),
    ("cryptsetup", "cryptsetup-bin"),
    ("sfdisk", "fdisk"),
    ("ntfs-3g", "ntfs-3g"),
    ("ntfs-3g.probe", "ntfs-3g"),
    ("mdeltree", "mtools"),
    ("fsck.exfat", "exfatprogs"),
    ("xfs_repair", "xfsprogs"),
    ("xfs_io", "xfsprogs"),
    ("btrfs", "btrfs-progs"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("losetup", "mount"),
    ("etcd", "etcd-server"),
    ("wrk", "wrk"),
    ("partclone.ext4", "partclone"),
    ("nginx", "nginx"),
    ("curl", "curl"),
    ("zstd", "zstd"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("udp-sender", "udpcast"),
    ("udp-receiver", "udpcast"),
    ("uftp", "uftp"),
    ("uftpd", "uftp"),
    ("systemd-nspawn", "systemd-container"),
    ("busybox", "busybox-static"),
    ("openssl", "openssl"),
];

/// The path of the program: from `PATH`, then from system folders that may be missing in the `PATH`
/// of an ordinary user.
pub fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            let package = PACKAGES
                .iter()
                .find(|(name, _)| *name == program)
                .map_or("?", |(_, package)| package);
            format!(
                "{program} is not installed: `make setup` installs it (Debian package {package})"
            )
        })
}

/// Runs a tool to its end; an exit status other than 0 is an error with the output.
pub fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String> {
    let output = run_any(program, arguments)?;
    if !output.status.success() {
        bail!(
            "{program} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a tool to its end, whatever its exit status.
pub fn run_any<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<Output> {
    Command::new(find(program)?)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start {program}"))
}

/// The path of a program of this workspace, in the folder of the test program.
pub fn foghorn(program: &str) -> Result<PathBuf> {
    let own =
        std::env::current_exe().context("could not determine the path of the test program")?;
    own.ancestors().map(|folder| folder.join(program)).find(|candidate| candidate.is_file()).with_context(|| {
        format!(
            "{program} is not built: `cargo build --workspace --bins` with the same profile builds it"
        )
    })
}

/// The controller that further controllers are started from: where versions are tested beside each
/// other (`make test-versions`), that of the other version.
pub fn controller_beside() -> Result<PathBuf> {
    foghorn("beside/foghorn-controller").or_else(|_| foghorn("foghorn-controller"))
}

/// The client that is linked statically.
pub fn static_client() -> Result<PathBuf> {
    let own =
        std::env::current_exe().context("could not determine the path of the test program")?;
    own.ancestors()
        .map(|folder| folder.join("client-static/foghorn-client"))
        .find(|candidate| candidate.is_file())
        .context("the static client is not built: `make client-static` builds it")
}

/// An empty folder in `target` for what people may want to read.
pub fn for_people(name: &str) -> Result<PathBuf> {
    let own =
        std::env::current_exe().context("could not determine the path of the test program")?;
    let target = own
        .ancestors()
        .nth(3)
        .context("it is in no target folder")?;
    let place = target.join(name);
    match std::fs::remove_dir_all(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    std::fs::create_dir_all(&place)?;
    Ok(place)
}

/// A Python program that `make test` installs beside the build's own files.
pub fn python(program: &str) -> Result<PathBuf> {
    let own =
        std::env::current_exe().context("could not determine the path of the test program")?;
    own.ancestors()
        .map(|folder| folder.join("tools/venv/bin").join(program))
        .find(|candidate| candidate.exists())
        .with_context(|| {
            format!(
                "{program} is not installed: `make test` installs it, from tests/python/requirements.txt"
            )
        })
}
