//! Memory of the processes, and whether it grew.

use std::collections::BTreeMap;

use serde::Serialize;

/// A process may need this share more at the end than at the start …
const SHARE: u64 = 25;
/// … and this much, in KiB: allocators keep pages.
const SLACK: u64 = 32 * 1024;

/// Resident memory of each process, in KiB, at moments of the quiet time.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Memory {
    pub processes: BTreeMap<String, Vec<u64>>,
}

impl Memory {
    pub(crate) fn note(&mut self, name: &str, process: u32) {
        if let Some(now) = resident(process) {
            self.processes.entry(name.to_owned()).or_default().push(now);
        }
    }

    /// Processes of ours that need more at the end than at the start. etcd holds what was written in
    /// the last ten minutes, which the controllers then let it forget.
    #[must_use]
    pub(crate) fn grown(&self) -> Vec<String> {
        let mut grown = Vec::new();
        for (name, sizes) in self.processes.iter().filter(|(name, _)| *name != "etcd") {
            if let (Some(start), Some(end)) = (sizes.first(), sizes.last())
                && *end > start + start * SHARE / 100 + SLACK
            {
                grown.push(format!("{name}: {start} KiB, then {end} KiB"));
            }
        }
        grown
    }

    /// Start, middle and end of each process, in MiB.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        let of = |sizes: &Vec<u64>| {
            let places = [0, sizes.len() / 2, sizes.len().saturating_sub(1)];
            let mib = places.map(|at| sizes.get(at).map_or(0, |kib| kib / 1024).to_string());
            mib.join("/")
        };
        let each = self
            .processes
            .iter()
            .map(|(name, sizes)| format!("{name} {}", of(sizes)));
        each.collect::<Vec<_>>().join(", ")
    }
}

fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
