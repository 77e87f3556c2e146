//! Reads that go past the kernel's cache. The cache reads whole pages and reads ahead, so that one
//! bad sector takes its neighbours with it; here only what is asked for can fail.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::sync::OnceLock;

use rustix::fs::OFlags;

/// What memory must be aligned to, for every device that there is.
const ALIGNMENT: usize = 4096;

/// A second descriptor of a disk, made when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Direct(OnceLock<Option<File>>);

impl Direct {
    /// Fills `buffer` from `offset` on, reading whole sectors and no others. Where the disk cannot be
    /// read in this way (not every file system allows it), as `disk` is read otherwise.
    pub(super) fn read_exact_at(
        &self,
        disk: &File,
        sector: u64,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let Some(direct) = self.0.get_or_init(|| open(disk).ok()) else {
            return disk.read_exact_at(buffer, offset);
        };
        let start = offset / sector * sector;
        let end = (offset + buffer.len() as u64).next_multiple_of(sector);
        let length = (end - start) as usize;
        let mut room = vec![0; length + ALIGNMENT];
        let aligned = room.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let read = direct.read_exact_at(&mut room[aligned..aligned + length], start);
        match read {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                disk.read_exact_at(buffer, offset)
            }
            Err(error) => Err(error),
            Ok(()) => {
                let from = aligned + (offset - start) as usize;
                buffer.copy_from_slice(&room[from..from + buffer.len()]);
                Ok(())
            }
        }
    }
}

/// By descriptor, so that it is the same disk whatever its path means by now.
fn open(disk: &File) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::DIRECT | OFlags::CLOEXEC).bits().cast_signed())
        .open(format!("/proc/self/fd/{}", disk.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_places_are_read_as_well() {
        // In the folder of the build, which is on a disk.
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let bytes: Vec<u8> = (0..64 << 10).map(|at| (at / 7) as u8).collect();
        file.as_file().write_all_at(&bytes, 0).unwrap();
        let direct = Direct::default();
        for (sector, offset, length) in [(512, 0, 65536), (512, 1000, 30), (4096, 4095, 2)] {
            let mut found = vec![0; length];
            direct
                .read_exact_at(file.as_file(), sector, offset, &mut found)
                .unwrap();
            assert_eq!(found, bytes[offset as usize..offset as usize + length]);
        }
        let beyond = direct.read_exact_at(file.as_file(), 512, 65536, &mut [0; 512]);
        assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
