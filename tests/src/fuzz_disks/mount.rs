//! Mounts: by the kernel over a loop device, or by ntfs-3g. The command has a mount namespace of its
//! own, with which all of them end.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::shape::Content;
use crate::tools::{find, run};

/// A mounted file system; unmounted when dropped.
pub struct Mounted {
    pub root: PathBuf,
    server: Option<Child>,
    gone: bool,
}

impl Mounted {
    /// Mounts the file system in the file `image`, on a folder beside it.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn new(content: Content, image: &Path, writable: bool) -> Result<Self> {
        let root = image.with_extension("mounted");
        fs::create_dir_all(&root)?;
        let server = if matches!(content, Content::Ntfs { .. }) {
            Some(serve_ntfs(image, &root, writable)?)
        } else {
            // A small ext3 has no room for a journal, and the kernel wants one for ext3.
            let kind = match content.kind() {
                "ext3" => "ext4",
                kind => kind,
            };
            let access = if writable { "rw" } else { "ro" };
            let more = if kind == "xfs" { ",nouuid" } else { "" };
            // The loop device is writable in any case: a journal is replayed also for reading.
            let device = attach(image)?;
            let mounted = run(
                "mount",
                [
                    "-t",
                    kind,
                    "-o",
                    &format!("{access}{more}"),
                    &device,
                    root.to_str().context("temporary paths are text")?,
                ],
            );
            // From here on the mount alone holds the device.
            run("losetup", ["--detach", &device])?;
            mounted?;
            None
        };
        Ok(Self {
            root,
            server,
            gone: false,
        })
    }

    /// Unmounts, so that everything is in the image.
    ///
    /// # Errors
    /// When it stays busy.
    pub fn end(mut self) -> Result<()> {
        self.unmount()
    }

    fn unmount(&mut self) -> Result<()> {
        self.gone = true;
        let deadline = Instant::now() + Duration::from_secs(10);
        // Another thread's child holds open files of all threads until it has become its program.
        while let Err(error) = run("umount", [&self.root]) {
            ensure!(
                format!("{error:#}").contains("busy") && Instant::now() < deadline,
                error
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(server) = &mut self.server {
            let ended = server.wait()?;
            ensure!(ended.success(), "ntfs-3g ended with {ended}");
        }
        fs::remove_dir(&self.root)?;
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !self.gone
            && let Err(error) = self.unmount()
        {
            eprintln!("could not unmount {}: {error:#}", self.root.display());
        }
    }
}

fn attach(image: &Path) -> Result<String> {
    let image = image.to_str().context("temporary paths are text")?;
    Ok(run("losetup", ["--find", "--show", image])?
        .trim()
        .to_owned())
}

fn serve_ntfs(image: &Path, root: &Path, writable: bool) -> Result<Child> {
    let before = fs::metadata(root)?.dev();
    let log = image.with_extension("ntfs-3g");
    let access = if writable { "rw" } else { "ro" };
    let mut server = Command::new(find("ntfs-3g")?)
        .args(["-o", &format!("no_detach,{access}")])
        .args([image, root])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?)
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while fs::metadata(root)?.dev() == before {
        if server.try_wait()?.is_some() {
            bail!("ntfs-3g: {}", fs::read_to_string(&log)?);
        }
        ensure!(
            Instant::now() < deadline,
            "ntfs-3g did not mount {}",
            image.display()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(server)
}
