//! A LAN in memory with a virtual clock, to run multicast sessions by seed.
//!
//! The sender and the receivers of `foghorn-multicast` run as they are: their packets are sealed
//! and opened, their reports encoded and decoded. Simulated are what they stand on: lines,
//! switches, loss, disks, deaths, and the QUIC connection beside the group. The same seed gives the
//! same run.

pub mod campaign;
pub mod check;
pub mod clock;
pub mod disk;
pub mod figures;
pub mod network;
pub mod payload;
pub mod scenario;
pub mod world;
