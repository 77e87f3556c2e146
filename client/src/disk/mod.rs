//! The disks of this machine: which ones are meant ([`target`], pure; [`select`]), what there is
//! ([`linux`]), who uses them (`users`), how one is read and written ([`Disk`]), or several as
//! one ([`DiskSet`]), and which partitions one has now (`partitions`).

mod device;
mod direct;
mod ioctl;
pub mod linux;
mod mounts;
mod partitions;
mod sectors;
pub mod select;
mod set;
pub mod target;
mod users;

pub use device::{Access, Disk, DiskError, OpenDiskError};
pub(crate) use mounts::be_alone;
pub(crate) use partitions::{Volume, reread};
pub use sectors::FileSectors;
pub use set::DiskSet;
