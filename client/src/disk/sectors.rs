//! The sectors of a disk in a regular file, which has none of its own.

use std::fs::File;
use std::path::Path;

use foghorn_disk_layout::sector_size_of;
use foghorn_types::SectorSize;

use super::OpenDiskError;

/// Sectors of a regular file, which has none of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileSectors {
    /// What the operator says.
    Given(SectorSize),
    /// For a capture what the contents show, else 512 bytes; for a deploy 512 bytes, until
    /// [`super::Disk::adopt_sector_size`] says what the image has.
    Unknown,
}

/// The sector size of a regular file: when it is read, what its contents show; when it is written,
/// its contents do not matter.
pub(super) fn of_file(
    file: &File,
    path: &Path,
    write: bool,
    sectors: FileSectors,
) -> Result<SectorSize, OpenDiskError> {
    match sectors {
        FileSectors::Given(size) if write => Ok(size),
        FileSectors::Unknown if write => Ok(SectorSize::B512),
        FileSectors::Unknown => Ok(sector_size_of(file).size().unwrap_or(SectorSize::B512)),
        FileSectors::Given(given) => {
            let evidence = sector_size_of(file);
            match evidence.size() {
                Some(found) if evidence.contradicts(given) => Err(OpenDiskError::OtherSectors {
                    path: path.to_owned(),
                    given: given.bytes(),
                    found: found.bytes(),
                }),
                _ => Ok(given),
            }
        }
    }
}
