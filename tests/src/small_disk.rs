//! A file system of its own in a file, that can be filled, and lose its power, without harm to
//! anybody else. Needs root.

use std::fs::{self, File};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::FallocateFlags;

use crate::tools;

pub struct SmallDisk {
    pub folder: PathBuf,
    image: PathBuf,
}

impl SmallDisk {
    /// # Errors
    /// Without root.
    pub fn make(place: &Path, mib: u64) -> Result<Self> {
        Self::named(place, "small", mib)
    }

    /// As [`SmallDisk::make`], with a name, for several in one folder.
    ///
    /// # Errors
    /// Without root.
    pub fn named(place: &Path, name: &str, mib: u64) -> Result<Self> {
        let (image, folder) = (place.join(format!("{name}.img")), place.join(name));
        File::create(&image)?.set_len(mib << 20)?;
        fs::create_dir_all(&folder)?;
        tools::run(
            "mke2fs",
            ["-q", "-t", "ext4", "-m", "0", &image.display().to_string()],
        )?;
        let disk = Self { folder, image };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<()> {
        let (from, to) = (&self.image, &self.folder);
        let (from, to) = (from.display().to_string(), to.display().to_string());
        tools::run("mount", ["-o", "loop", &from, &to]).map(drop)
    }

    /// Takes all the room that is left.
    ///
    /// # Errors
    /// When something else than the room stops it.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        let room = rustix::fs::statvfs(&self.folder)?;
        let most = (room.f_bavail * room.f_frsize).saturating_sub(4 << 20);
        // Most of it at once; the writes below take the rest, and all of it where that is refused.
        if rustix::fs::fallocate(&ballast, FallocateFlags::empty(), 0, most).is_ok() {
            ballast.seek(SeekFrom::End(0))?;
        }
        for size in [1 << 20, 4096, 1] {
            let piece = vec![0x5a; size];
            while ballast.write_all(&piece).is_ok() {}
        }
        // What is written last is not on the disk yet, and may not fit.
        let _ = ballast.sync_all();
        Ok(())
    }

    /// # Errors
    /// When it is not full.
    pub fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    /// What nobody has synced is lost, as when the power goes; nobody may have it open any more.
    ///
    /// # Errors
    /// When it cannot be mounted again.
    pub fn lose_power(&self) -> Result<()> {
        let folder = self.folder.display().to_string();
        // Without a flush of the journal; what was not written before never is.
        tools::run("xfs_io", ["-x", "-c", "shutdown", &folder])?;
        tools::run("umount", [&folder])?;
        self.mount()?;
        // That it was removed may be forgotten, too.
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                // The old one, if somebody still has it, answers nothing.
                Err(error).with_context(|| format!("{folder} did not lose its power"))
            }
            _ => Ok(()),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let folder = self.folder.display().to_string();
        // The loop device goes with the mount.
        if let Err(error) = tools::run("umount", ["-l", &folder]) {
            eprintln!("could not unmount {folder}: {error:#}");
        }
        let _ = fs::remove_file(&self.image);
    }
}
