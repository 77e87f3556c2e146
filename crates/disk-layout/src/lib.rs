//! What is on a disk: its partition table, its partitions, and which bytes of each file system are
//! in use.
//!
//! Everything is read through [`ReadAt`], so a disk, an image file and a few bytes of a fuzzer are
//! the same thing here. Nothing is written: [`render_gpt`] returns the bytes that a restored table
//! has on a disk of another size.
//!
//! The readers know where data is, not what it says: they read bitmaps and allocation tables, never
//! directories (one exception: a hibernation file on NTFS). Only [`owners`] does, for the names of
//! files that are lost. What they do not recognise is
//! [`FileSystemKind::Raw`](foghorn_image::FileSystemKind), in use from the first byte to the last,
//! and so is everything in doubt: damaged metadata, two owners of one partition. It is never a guess,
//! and never a panic; memory is bounded by what the disk really holds.

#![warn(missing_docs)]

mod layout;
mod read_at;
mod render;
mod survey;
mod volume;

pub use layout::{
    DeclaredType, Layout, LayoutNote, MAX_RAW_GAP, Partition, ReadGptCopyError, ReadLayoutError,
    SectorSizeEvidence, read_layout, sector_size_of,
};
pub use read_at::{ReadAt, Window};
pub use render::{RenderGptError, render_gpt};
pub use survey::{
    DiskContents, PartitionSet, SurveyDiskError, SurveyOptions, check_options, survey_disk,
};
pub use volume::{DirtyPolicy, Owners, ReadVolumeError, Volume, VolumeNote, owners, read_volume};
