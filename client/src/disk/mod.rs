//! The disks of this machine: which ones are meant ([`target`], pure; [`select`]), what there is
//! ([`linux`]), who uses them (`users`), and how one is read and written ([`Disk`]), or several as
//! one ([`DiskSet`]).

mod device;
mod direct;
mod ioctl;
pub mod linux;
mod sectors;
pub mod select;
mod set;
pub mod target;
mod users;

pub use device::{Access, Disk, DiskError, OpenDiskError};
pub use sectors::FileSectors;
pub use set::DiskSet;
