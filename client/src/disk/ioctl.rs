//! The requests to the kernel that no safe interface covers.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_longlong, c_void};
use std::fs::File;
use std::io;

use foghorn_disk_layout::Partition;
use rustix::ioctl;

/// `BLKRRPART` of `linux/fs.h`: `_IO(0x12, 95)`.
const BLKRRPART: ioctl::Opcode = ioctl::opcode::none(0x12, 95);
/// `BLKPG` of `linux/blkpg.h`: `_IO(0x12, 105)`.
const BLKPG: ioctl::Opcode = ioctl::opcode::none(0x12, 105);
const BLKPG_ADD_PARTITION: c_int = 1;

/// `struct blkpg_ioctl_arg` of `linux/blkpg.h`.
#[repr(C)]
struct Request {
    op: c_int,
    flags: c_int,
    datalen: c_int,
    data: *mut c_void,
}

/// `struct blkpg_partition` of `linux/blkpg.h`.
#[repr(C)]
struct Described {
    start: c_longlong,
    length: c_longlong,
    pno: c_int,
    // The kernel reads neither.
    devname: [c_char; 64],
    volname: [c_char; 64],
}

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

/// Tells the kernel of a partition of a block device. The table is not touched.
///
/// # Errors
/// The kernel's: `EBUSY` when it overlaps one that the kernel knows, `EINVAL` when the device takes none.
pub(super) fn add_partition(disk: &File, partition: &Partition) -> io::Result<()> {
    let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut described = Described {
        start: partition.start.bytes().try_into().map_err(too_large)?,
        length: partition.size.bytes().try_into().map_err(too_large)?,
        pno: partition.number.try_into().map_err(too_large)?,
        devname: [0; 64],
        volname: [0; 64],
    };
    let mut request = Request {
        op: BLKPG_ADD_PARTITION,
        flags: 0,
        datalen: size_of::<Described>()
            .try_into()
            .map_err(|_| io::ErrorKind::InvalidInput)?,
        data: (&raw mut described).cast(),
    };
    // SAFETY: BLKPG takes a pointer to a `Request`, whose data is a `Described`; both outlive the call, and
    // the kernel keeps neither.
    let request = unsafe { ioctl::Updater::<BLKPG, Request>::new(&mut request) };
    // SAFETY: the opcode matches the request's type, as above, and the descriptor is borrowed from
    // an open file.
    unsafe { ioctl::ioctl(disk, request) }.map_err(io::Error::from)
}
