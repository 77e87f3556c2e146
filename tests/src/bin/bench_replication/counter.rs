//! Bytes that this thread's network namespace has put on the wire.

use anyhow::{Context, Result};

/// Of the lab's card, with Ethernet headers (fields of `/proc/net/dev`, proc(5)).
pub(crate) fn sent() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("eth0:"))
        .context("this thread is not on the lab's server")?;
    let sent = line
        .split_whitespace()
        .nth(8)
        .context("a line of figures")?;
    Ok(sent.parse()?)
}
