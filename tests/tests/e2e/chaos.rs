//! A share of `make chaos`, and the old bugs that it has to find (`make chaos-old-bugs`).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::tools::{foghorn, for_people};
use serde_json::Value;

/// How long things break; start and judgement take about as long again.
const SECONDS: &str = "50";

#[test]
fn nothing_is_lost_stuck_or_left_over_while_everything_breaks() -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var_os("CI").is_none(),
        "networks and disks that fail need root, and CI must not leave tests out"
    );
    if !root {
        eprintln!("left out: networks and disks that fail need root");
        return Ok(());
    }
    let place = for_people("chaos")?;
    let json = place.join("chaos.json");
    let output = Command::new(foghorn("chaos")?)
        .args([
            "--seconds",
            SECONDS,
            "--seed",
            "7",
            "--clients",
            "6",
            "--lab",
            "fhy",
        ])
        .arg("--json")
        .arg(&json)
        .arg("--keep")
        .arg(&place)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    let logs = format!("{said}{problem}\nthe logs are in {}", place.display());
    let text = std::fs::read(&json).with_context(|| logs.clone())?;
    let found: Value = serde_json::from_slice(&text)?;
    for bad in ["false_successes", "lost_writes", "stuck_tasks", "leaks"] {
        ensure!(found[bad] == 0, "{bad}: {found:#}\n{logs}");
    }
    let counts = |member: &str| found[member].as_u64().context("a number");
    ensure!(output.status.success(), "{logs}");
    ensure!(
        counts("kills")? > 0 && counts("deploys_completed")? > 0,
        "{logs}"
    );
    ensure!(counts("register_operations")? > 0, "{logs}");
    ensure!(found["troubles"]["power_losses"] == 1, "{logs}");
    ensure!(found["troubles"]["bit_flips"] == 1, "{logs}");
    for member in [
        "minutes",
        "seed",
        "cuts",
        "deploys_failed_cleanly",
        "failover_p50_s",
        "failover_max_s",
    ] {
        ensure!(found[member].is_number(), "{member}: {found:#}");
    }
    Ok(())
}

#[test]
fn the_old_bugs_can_still_be_put_back() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("tests/old-bugs");
    let table = std::fs::read_to_string(folder.join("README.md"))?;
    let mut count = 0;
    for file in std::fs::read_dir(&folder)? {
        let path = file?.path();
        let Some(name) = path.to_str().and_then(|path| path.strip_suffix(".patch")) else {
            continue;
        };
        let name = Path::new(name).file_name().and_then(|name| name.to_str());
        let name = name.context("a name")?;
        ensure!(
            table.contains(&format!("`{name}`")),
            "{name} has no row in the table"
        );
        // Beside a repository it takes files as they are.
        let output = Command::new("git")
            .args(["apply", "--check", "--whitespace=nowarn"])
            .arg(path.canonicalize()?)
            .current_dir(&root)
            .output()?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{name} does not apply any more; make it anew, in the same spirit: {why}"
        );
        count += 1;
    }
    ensure!(count >= 5, "there are {count} old bugs");
    Ok(())
}
