//! The disk of this machine: which one is meant ([`target`], pure), what there is ([`linux`]), and
//! how it is read and written ([`Disk`]).

mod device;
mod ioctl;
pub mod linux;
pub mod target;

pub use device::{Access, Disk, DiskError, FileSectors, OpenDiskError};
