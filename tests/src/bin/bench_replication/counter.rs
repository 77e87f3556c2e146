//! Bytes of this thread's network namespace on the wire, both ways: either node may be the one that has
//! captured an image.

use anyhow::{Context, Result};

/// Of the lab's card, with Ethernet headers (fields of `/proc/net/dev`, proc(5)).
pub(crate) fn moved() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("eth0:"))
        .context("this thread is not on the lab's server")?;
    let figures: Vec<&str> = line.split_whitespace().collect();
    let [received, sent] = [0, 8].map(|at| figures.get(at).copied().unwrap_or_default());
    Ok(received.parse::<u64>()? + sent.parse::<u64>()?)
}
