//! The harness of the end-to-end tests and benchmarks: real disks, real processes, and the tools
//! that verify the result.

pub mod balancer;
pub mod collector;
pub mod copied_chunks;
pub mod debian;
pub mod disks;
pub mod factory;
pub mod fuzz_disks;
pub mod lab;
pub mod ledger;
pub mod net;
pub mod old_content;
pub mod page;
pub mod persistent;
pub mod process;
pub mod promql;
pub mod rest;
pub mod s3;
pub mod screen;
pub mod small_disk;
pub mod stack;
pub mod takes;
pub mod terminal;
pub mod three;
pub mod tools;
pub mod unclear;
pub mod writers;
pub mod wrong_clock;
