//! What the end-to-end tests and benchmarks are made of: real disks, real processes, and the tools that judge the result.

pub mod disks;
pub mod lab;
pub mod process;
pub mod rest;
pub mod stack;
pub mod tools;
