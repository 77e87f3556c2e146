#![no_main]

#[allow(dead_code)] // shared by all targets
#[path = "../entry_points.rs"]
mod entry_points;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry_points::gpt_mbr(data));
