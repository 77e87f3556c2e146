//! The harness of the end-to-end tests and benchmarks: real disks, real processes, and the tools
//! that verify the result.

pub mod debian;
pub mod disks;
pub mod fuzz_disks;
pub mod lab;
pub mod net;
pub mod old_content;
pub mod page;
pub mod process;
pub mod rest;
pub mod screen;
pub mod stack;
pub mod takes;
pub mod terminal;
pub mod tools;
pub mod unclear;
