//! The points of `docs/fault-points.md`, and what can happen at each.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// A row of the page.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) name: String,
    takes: Vec<String>,
}

/// One thing that goes wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) point: String,
    /// As in `FOGHORN_FAULTS`.
    pub(crate) action: String,
}

/// Points that have no saga here, because they are in no part of an installation that images: the host service's are gone
/// through one by one, from the same page, in `client/tests/all/host/crashes.rs`.
const ELSEWHERE: &str = "host.";

pub(crate) fn read() -> Result<Vec<Listed>> {
    let page = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/fault-points.md"
    ));
    let page = std::fs::read_to_string(page).context("docs/fault-points.md")?;
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.strip_suffix('`')?.to_owned();
        let takes = cells.next()?.split(", ").map(str::to_owned).collect();
        Some(Listed { name, takes })
    });
    let listed: Vec<Listed> = rows
        .filter(|listed| !listed.name.starts_with(ELSEWHERE))
        .collect();
    ensure!(listed.len() >= 40, "only {} points", listed.len());
    Ok(listed)
}

/// All faults of the points whose names begin so: each with everything that can happen to it, and at
/// the end all of them slow at once.
pub(crate) fn faults_of(listed: &[Listed], starts: &[&str]) -> Vec<Fault> {
    let ours = || {
        listed
            .iter()
            .filter(|point| starts.iter().any(|start| point.name.starts_with(start)))
    };
    let mut faults = Vec::new();
    for point in ours() {
        let actions = point.takes.iter().filter(|action| *action != "delay");
        faults.extend(actions.map(|action| Fault {
            point: point.name.clone(),
            action: action.clone(),
        }));
    }
    faults.extend(ours().map(|point| Fault {
        point: point.name.clone(),
        action: "delay:60ms".to_owned(),
    }));
    faults
}

impl Fault {
    pub(crate) fn is_delay(&self) -> bool {
        self.action.starts_with("delay")
    }

    /// What the record of the points calls it.
    pub(crate) fn word(&self) -> &str {
        self.action.split(':').next().unwrap_or_default()
    }
}

/// The faults that are tried one by one, and the order for all delays together.
pub(crate) fn apart(faults: &[Fault]) -> (Vec<Fault>, Vec<Fault>) {
    faults.iter().cloned().partition(|fault| !fault.is_delay())
}
