//! What programs have told, and machines that do what they are told.

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::tools::foghorn;
use serde_json::Value;

use super::site::{ADDRESS, Site};

/// The last word of what was printed that begins like this, without what stands before it.
pub(super) fn word<'a>(printed: &'a str, start: &str) -> Result<&'a str> {
    let found = printed.rsplit_once(start).map(|(_, rest)| rest);
    found
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("{start}… was not printed:\n{printed}"))
}

/// What `-o json` shows.
pub(super) fn shown(site: &mut Site, command: &str) -> Result<Value> {
    let printed = site.run(&format!("{command} -o json"))?;
    let start = printed.find(['{', '[']).context("no JSON")?;
    let mut found = serde_json::Deserializer::from_str(&printed[start..]).into_iter();
    found.next().context("no JSON")?.context("no JSON")
}

/// A machine with this disk does what the room was told.
pub(super) fn machine(site: &Site, name: &str, mac: &str, code: &str) -> Result<Process> {
    let disk = site.folder().join(name);
    if !disk.exists() {
        disks::blank(&disk, 24 * MIB)?;
    }
    let disk = disk.display().to_string();
    let client = foghorn("foghorn-client")?;
    let words = ["boot", code, "-c", ADDRESS, "--mac", mac, "--disk", &disk];
    site.start(name, &client, &words)
}

pub(super) fn ended_well(mut client: Process) -> Result<()> {
    let status = client.wait(PATIENCE)?;
    ensure!(status.success(), "{status}:\n{}", client.log());
    Ok(())
}
