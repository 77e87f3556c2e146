#![no_main]

#[path = "../multicast_entry.rs"]
mod multicast_entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| multicast_entry::multicast(data));
