//! A place that only this thread sees, where the volumes of disks are looked at and mounted.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat, syncfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::kind::{HEAD, Kind};
use crate::disk::{Volume, be_alone};

/// What is in a file system on a disk that was deployed is nobody's program here.
const CAREFUL: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
/// How long a volume may be in use: whoever sees a new disk looks at it for a moment.
const BUSY_FOR: Duration = Duration::from_secs(20);

/// See the module.
pub(super) struct Room {
    folder: PathBuf,
}

impl Room {
    /// Makes the room over an empty folder. The thread has to be one of its own.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        be_alone()?;
        mount(
            "tmpfs",
            folder,
            "tmpfs",
            MountFlags::NOSUID,
            Some(c"mode=0700"),
        )?;
        let folder = fs::canonicalize(folder)?;
        fs::create_dir(folder.join("root"))?;
        Ok(Self { folder })
    }

    /// Where the volume is mounted.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// A name of the volume. That in `/dev` comes when somebody makes it, if at all.
    pub(super) fn device(&self, volume: Volume) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("volume-{}", volume.device));
        let mode = Mode::RUSR | Mode::WUSR;
        match mknodat(CWD, &path, FileType::BlockDevice, mode, volume.device) {
            Ok(()) | Err(Errno::EXIST) => Ok(path),
            Err(error) => Err(error.into()),
        }
    }

    /// Mounts a volume to look at it.
    pub(super) fn look(&self, device: &Path, kind: Kind) -> io::Result<Mounted> {
        let flags = CAREFUL | MountFlags::RDONLY;
        self.mount(device, kind, flags, kind.untouched())
    }

    /// Mounts a volume to write to it.
    pub(super) fn enter(&self, device: &Path, kind: Kind) -> io::Result<Mounted> {
        self.mount(device, kind, CAREFUL, None)
    }

    fn mount(
        &self,
        device: &Path,
        kind: Kind,
        flags: MountFlags,
        options: Option<&std::ffi::CStr>,
    ) -> io::Result<Mounted> {
        let root = self.root();
        while_busy(|| Ok(mount(device, &root, kind.name(), flags, options)?))?;
        Ok(Mounted(root))
    }
}

/// The file system of a volume, if it is one that can be a root.
pub(super) fn kind_of(device: &Path) -> io::Result<Option<Kind>> {
    let mut head = Vec::new();
    File::open(device)?
        .take(HEAD as u64)
        .read_to_end(&mut head)?;
    Ok(Kind::of(&head))
}

/// Does it again for a while, as long as the kernel says that somebody uses what it is about.
pub(super) fn while_busy<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match act() {
            Err(error)
                if error.raw_os_error() == Some(Errno::BUSY.raw_os_error())
                    && begun.elapsed() < BUSY_FOR =>
            {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => return other,
        }
    }
}

/// A file system, as long as it is mounted.
pub(super) struct Mounted(PathBuf);

impl Mounted {
    /// Lets go of a file system that was only looked at.
    pub(super) fn leave(self) -> io::Result<()> {
        let path = self.into_path();
        while_busy(|| Ok(unmount(&path, UnmountFlags::empty())?))
    }

    /// Writes back what was written, durably, and lets go of the file system.
    pub(super) fn finish(self) -> io::Result<()> {
        syncfs(File::open(&self.0)?)?;
        self.leave()
    }

    fn into_path(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Mounted {
    /// After something else has failed, which is what is told.
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty()
            && let Err(error) = unmount(&self.0, UnmountFlags::DETACH)
        {
            tracing::warn!(path = %self.0.display(), %error, "could not unmount");
        }
    }
}
