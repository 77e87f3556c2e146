//! The one request to the kernel that no safe interface covers.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use rustix::ioctl;

/// `BLKRRPART` of `linux/fs.h`: `_IO(0x12, 95)`.
const BLKRRPART: ioctl::Opcode = ioctl::opcode::none(0x12, 95);

/// Asks the kernel to read the partition table of a block device again.
///
/// # Errors
/// The kernel's: `EBUSY` when a partition of the old table is in use.
pub(super) fn reread_partition_table(disk: &File) -> io::Result<()> {
    // SAFETY: BLKRRPART takes no argument and touches no memory of ours; on anything but a block
    // device it fails with ENOTTY.
    let request = unsafe { ioctl::NoArg::<BLKRRPART>::new() };
    // SAFETY: the opcode matches the request's type, as above, and the descriptor is borrowed from
    // an open file.
    unsafe { ioctl::ioctl(disk, request) }.map_err(io::Error::from)
}
