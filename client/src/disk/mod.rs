//! The disk of this machine: which one is meant ([`target`], pure), what there is ([`linux`]), who
//! uses it (`users`), and how it is read and written ([`Disk`]).

mod device;
mod direct;
mod ioctl;
pub mod linux;
mod sectors;
pub mod target;
mod users;

pub use device::{Access, Disk, DiskError, OpenDiskError};
pub use sectors::FileSectors;
