//! Random disks: made from a seed, used by the kernel, captured and deployed by the real client,
//! and compared with tools that are not ours. `make fuzz-disks` runs it; a share of it is an
//! end-to-end test.
//!
//! What a seed stands for is decided by [`generate`](shape::DiskShape::generate) alone, which is
//! pure. Identifiers and the operations on files follow from the seed too; times and what the
//! kernel allocates do not, so that a seed that failed is repeated on the same shape, not always
//! on the same bytes. `KEEP=1` keeps the bytes.

pub mod compare;
pub mod generate;
pub mod judge;
pub mod make;
pub mod mount;
pub mod report;
pub mod rng;
pub mod run;
pub mod session;
pub mod shape;
pub mod signatures;
pub mod sparse;
pub mod table;
pub mod target;
pub mod tree;
pub mod usage;
pub mod volume;
