//! What etcd says of itself.

use anyhow::{Context, Result};

/// Writes that the cluster has agreed on: one for each transaction, also for one whose compares did
/// not hold.
const WRITES: &str = "etcd_server_proposals_committed_total";

/// How many writes there were since etcd was started.
pub(crate) fn writes(url: &str) -> Result<f64> {
    let text = ureq::get(format!("{url}/metrics"))
        .call()?
        .body_mut()
        .read_to_string()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(WRITES)?.trim().parse().ok());
    value.with_context(|| format!("etcd does not tell {WRITES}"))
}
