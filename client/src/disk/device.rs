//! An open disk (block device or regular file): positioned reads and writes, zeroing, knowledge of
//! holes.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use foghorn_disk_layout::ReadAt;
use foghorn_image::ImageDisk;
use foghorn_types::{ByteCount, ByteOffset, SectorSize};
use rustix::fs::{Advice, FallocateFlags, OFlags};

use super::direct::Direct;
use super::target::{DiskKind, SeenDisk};
use super::{FileSectors, ioctl, sectors, users};

/// Zeroes are written from a buffer of this size where the kernel cannot do it for us.
const ZERO_BUFFER: usize = 256 << 10;
static ZEROES: [u8; ZERO_BUFFER] = [0; ZERO_BUFFER];

#[derive(Debug, thiserror::Error)]
pub enum OpenDiskError {
    #[error("{path} is in use: {users}; unmount it (a capture takes it as it is with --accept-dirty)", path = path.display())]
    InUse { path: PathBuf, users: String },
    #[error("could not find out who uses {path}", path = path.display())]
    Users { path: PathBuf, source: io::Error },
    #[error("may not open {path}: run the client as root, or as a user who may {access} it", path = path.display())]
    NotAllowed { path: PathBuf, access: &'static str },
    #[error("could not open {path}", path = path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{path} has a sector size that is not supported", path = path.display())]
    SectorSize { path: PathBuf },
    #[error(
        "{path} is divided by a GPT for sectors of {found} bytes, but --sector-size says {given}: leave the flag out, or give {found}",
        path = path.display()
    )]
    OtherSectors {
        path: PathBuf,
        given: u64,
        found: u64,
    },
    #[error(
        "{path} has {size} bytes, but a disk has whole sectors of {sector}: give the file a size that is a multiple of that (truncate --size=%{sector} adds zeroes)",
        path = path.display(), size = size.bytes()
    )]
    OddSize {
        path: PathBuf,
        size: ByteCount,
        sector: u64,
    },
}

/// A read or write that the disk refused.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} {length} bytes at {offset} of {path}", path = path.display())]
pub struct DiskError {
    pub what: &'static str,
    pub path: PathBuf,
    pub offset: ByteOffset,
    pub length: u64,
    pub source: io::Error,
}

/// What the disk is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    /// To read although it is in use: what is read may not fit together.
    ReadInUse,
    /// Exclusive on block devices, so that nothing can be mounted meanwhile.
    Write,
}

/// An open disk. Cheap operations are positioned and take `&self`; the threads of a transfer share
/// it.
#[derive(Debug)]
pub struct Disk {
    file: File,
    direct: Direct,
    path: PathBuf,
    kind: DiskKind,
    size: ByteCount,
    sector_size: SectorSize,
    sector_size_is_free: bool,
    identity: String,
    name: Box<str>,
}

impl Disk {
    /// Opens a disk that was seen. `file_sectors` holds for regular files.
    ///
    /// # Errors
    /// When the disk is in use (unless [`Access::ReadInUse`]), cannot be opened, or has unusual
    /// sectors.
    pub fn open(
        seen: &SeenDisk,
        access: Access,
        file_sectors: FileSectors,
    ) -> Result<Self, OpenDiskError> {
        let path = seen.path.clone();
        let block_device = seen.kind != DiskKind::File;
        let write = access == Access::Write;
        if access != Access::ReadInUse {
            let users = users::users_of(&path).map_err(|source| OpenDiskError::Users {
                path: path.clone(),
                source,
            })?;
            if !users.is_empty() {
                return Err(OpenDiskError::InUse {
                    path,
                    users: users.join(", "),
                });
            }
        }
        let open = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied => OpenDiskError::NotAllowed {
                path: path.clone(),
                access: if write { "write" } else { "read" },
            },
            _ => OpenDiskError::Open {
                path: path.clone(),
                source,
            },
        };
        let flags = if write && block_device {
            OFlags::EXCL
        } else {
            OFlags::empty()
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(write)
            .custom_flags((flags | OFlags::CLOEXEC).bits().cast_signed())
            .open(&path)
            .map_err(open)?;
        // Also right for block devices, whose metadata gives no length.
        let size = ByteCount::from_bytes(file.seek(SeekFrom::End(0)).map_err(open)?);
        let sector_size = if block_device {
            let bytes = rustix::fs::ioctl_blksszget(&file).map_err(|errno| open(errno.into()))?;
            SectorSize::try_from(u64::from(bytes))
                .map_err(|_| OpenDiskError::SectorSize { path: path.clone() })?
        } else {
            sectors::of_file(&file, &path, write, file_sectors)?
        };
        if !size.bytes().is_multiple_of(sector_size.bytes()) {
            return Err(OpenDiskError::OddSize {
                path,
                size,
                sector: sector_size.bytes(),
            });
        }
        let sector_size_is_free = !block_device && file_sectors == FileSectors::Unknown;
        let identity = format!(
            "{}|{}|{}|{}",
            seen.path.display(),
            seen.serial.as_deref().unwrap_or("-"),
            seen.wwn.as_deref().unwrap_or("-"),
            size.bytes()
        );
        Ok(Self {
            file,
            direct: Direct::default(),
            path,
            kind: seen.kind,
            size,
            sector_size,
            sector_size_is_free,
            identity,
            name: ImageDisk::fit_name(&seen.name()),
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn disk_size(&self) -> ByteCount {
        self.size
    }

    #[must_use]
    pub fn sector_size(&self) -> SectorSize {
        self.sector_size
    }

    /// Takes the image's sector size for a regular file for which none was given; changes nothing
    /// else.
    pub fn adopt_sector_size(&mut self, of_image: SectorSize) {
        if self.sector_size_is_free {
            self.sector_size = of_image;
        }
    }

    #[must_use]
    pub fn is_block_device(&self) -> bool {
        self.kind != DiskKind::File
    }

    /// Text that tells this disk from others, for the resume bitmap: path, serial, WWN and size.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Which disk this is, for people: path, model and serial number.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn failed(
        &self,
        what: &'static str,
        offset: u64,
        length: u64,
    ) -> impl FnOnce(io::Error) -> DiskError + use<> {
        let path = self.path.clone();
        move |source| DiskError {
            what,
            path,
            offset: ByteOffset::from_bytes(offset),
            length,
            source,
        }
    }

    /// # Errors
    /// The disk's, naming the place.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        FileExt::read_exact_at(&self.file, buffer, offset).map_err(self.failed(
            "read",
            offset,
            buffer.len() as u64,
        ))
    }

    /// The same where reading failed before: nothing around these bytes is read, only the sectors that
    /// they are in.
    ///
    /// # Errors
    /// The disk's, naming the place.
    pub fn reread_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let length = buffer.len() as u64;
        self.direct
            .read_exact_at(&self.file, self.sector_size.bytes(), offset, buffer)
            .map_err(self.failed("read", offset, length))
    }

    /// # Errors
    /// The disk's, naming the place. Refuses to write beyond the end, which would make a regular
    /// file grow.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let failed = self.failed("write", offset, bytes.len() as u64);
        if offset
            .checked_add(bytes.len() as u64)
            .is_none_or(|end| end > self.size.bytes())
        {
            return Err(failed(io::Error::new(
                io::ErrorKind::InvalidInput,
                "beyond the end of the disk",
            )));
        }
        self.file.write_all_at(bytes, offset).map_err(failed)
    }

    /// Makes `length` bytes at `offset` read as zero, by the cheapest means that the disk has.
    ///
    /// # Errors
    /// The disk's, naming the place.
    pub fn zero(&self, offset: u64, length: u64) -> Result<(), DiskError> {
        if self.is_hole(offset, length) {
            return Ok(());
        }
        let cheap = if self.is_block_device() {
            FallocateFlags::ZERO_RANGE
        } else {
            FallocateFlags::PUNCH_HOLE
        };
        if rustix::fs::fallocate(
            &self.file,
            cheap | FallocateFlags::KEEP_SIZE,
            offset,
            length,
        )
        .is_ok()
        {
            return Ok(());
        }
        // Not every file system punches, and devices want whole sectors: plain writes always work.
        let mut done = 0;
        while done < length {
            let step = (length - done).min(ZERO_BUFFER as u64);
            self.write_at(offset + done, &ZEROES[..step as usize])?;
            done += step;
        }
        Ok(())
    }

    /// Whether the range is known to hold no data, that is, reads as zero without being read. Block
    /// devices never know.
    #[must_use]
    pub fn is_hole(&self, offset: u64, length: u64) -> bool {
        self.next_data(offset)
            .is_some_and(|data| data >= offset.saturating_add(length))
    }

    /// The first bytes at or after `offset` that may be other than zero, up to the next hole. Of block
    /// devices no holes are known. Empty when there are none.
    #[must_use]
    pub fn data_from(&self, offset: u64) -> std::ops::Range<u64> {
        let Some(start) = self.next_data(offset) else {
            return offset..u64::MAX;
        };
        let end = match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Hole(start)) {
            Ok(end) if end > start => end,
            _ => u64::MAX,
        };
        start..end
    }

    /// First byte at or after `offset` that may hold data, `u64::MAX` when there is none, `None`
    /// when holes are not known.
    fn next_data(&self, offset: u64) -> Option<u64> {
        if self.is_block_device() {
            return None;
        }
        match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(offset)) {
            Ok(data) => Some(data),
            Err(rustix::io::Errno::NXIO) => Some(u64::MAX),
            Err(_) => None,
        }
    }

    /// Tells the kernel that this range is read soon. Only a hint, so failure does not matter.
    pub fn will_need(&self, offset: u64, length: u64) {
        let _ = rustix::fs::fadvise(
            &self.file,
            offset,
            std::num::NonZeroU64::new(length),
            Advice::WillNeed,
        );
    }

    /// Durably writes what was written so far.
    ///
    /// # Errors
    /// The disk's. After a failed flush nothing is known about what was written before.
    pub fn flush(&self) -> Result<(), DiskError> {
        self.file
            .sync_data()
            .map_err(self.failed("flush", 0, self.size.bytes()))
    }

    /// Lets go of what the kernel remembers of these bytes, so that the next read comes from the
    /// disk itself. Only a hint.
    pub fn forget(&self, offset: u64, length: usize) {
        let length = std::num::NonZeroU64::new(length as u64);
        let _ = rustix::fs::fadvise(&self.file, offset, length, rustix::fs::Advice::DontNeed);
    }

    /// Makes the kernel read the partition table again; does nothing for regular files.
    ///
    /// # Errors
    /// The kernel's, `EBUSY` mostly.
    pub fn reread_partition_table(&self) -> io::Result<()> {
        if self.is_block_device() {
            ioctl::reread_partition_table(&self.file)
        } else {
            Ok(())
        }
    }
}

impl ReadAt for Disk {
    /// A sector that nobody asks for does not matter, although the kernel reads more than one.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match FileExt::read_exact_at(&self.file, buffer, offset) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                let sector = self.sector_size.bytes();
                self.direct
                    .read_exact_at(&self.file, sector, offset, buffer)
                    .map_err(|_| error)
            }
            read => read,
        }
    }

    fn size(&self) -> u64 {
        self.size.bytes()
    }

    fn next_data(&self, offset: u64) -> u64 {
        Self::next_data(self, offset).unwrap_or(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_disk(file: &tempfile::NamedTempFile) -> Disk {
        let seen = SeenDisk {
            path: file.path().to_owned(),
            kind: DiskKind::File,
            size: ByteCount::from_bytes(file.as_file().metadata().unwrap().len()),
            sector_size: None,
            model: None,
            serial: None,
            wwn: None,
        };
        Disk::open(&seen, Access::Write, FileSectors::Unknown).unwrap()
    }

    #[test]
    fn zeroing_makes_zeroes_and_holes_are_known() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        let disk = file_disk(&file);
        disk.write_at(1 << 20, &[7; 8192]).unwrap();
        assert!(disk.is_hole(2 << 20, 1 << 20));
        let data = disk.data_from(0);
        assert!(
            data.start > 0 && data.contains(&(1 << 20)) && data.end < 2 << 20,
            "{data:?}"
        );
        assert!(disk.data_from(2 << 20).is_empty());
        assert!(!disk.is_hole(1 << 20, 4096));
        disk.zero((1 << 20) + 512, 4096).unwrap();
        let mut found = vec![0; 8192];
        disk.read_at(1 << 20, &mut found).unwrap();
        assert!(
            found[..512].iter().all(|&b| b == 7)
                && found[512..4608].iter().all(|&b| b == 0)
                && found[4608..].iter().all(|&b| b == 7)
        );
    }

    /// Needs root, to be somebody else for one thread.
    #[test]
    fn who_may_not_open_a_disk_is_told_to_run_as_root() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4096).unwrap();
        let seen = SeenDisk {
            path: file.path().to_owned(),
            kind: DiskKind::File,
            size: ByteCount::from_bytes(4096),
            sector_size: None,
            model: None,
            serial: None,
            wwn: None,
        };
        let opened = std::thread::spawn(move || {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            Disk::open(&seen, Access::Write, FileSectors::Unknown)
        });
        let error = opened.join().unwrap().unwrap_err();
        assert!(
            matches!(error, OpenDiskError::NotAllowed { .. })
                && error.to_string().contains("run the client as root"),
            "{error}"
        );
    }

    #[test]
    fn nothing_is_written_beyond_the_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4096).unwrap();
        let error = file_disk(&file).write_at(4000, &[1; 200]).unwrap_err();
        assert_eq!(error.offset.bytes(), 4000);
        assert_eq!(file.as_file().metadata().unwrap().len(), 4096);
    }
}
