//! Readers of tables and file systems, held against the tools that make them. One program, so that
//! it is linked once.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // pure is what is tested, not who tests it

mod bad_sectors;
mod contents;
mod ext;
mod fat;
mod fuzz_corpus;
mod ntfs;
mod ntfs_unclean;
mod partition_tables;
mod probe;
mod support;
mod survey;
mod whole_disk;
