//! Recordings of a FOG server, replayed by the program that people use for it, on both engines.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_tests::process::Process;
use foghorn_tests::tools::foghorn;

/// Two thousand requests to a debug build, and a fresh server for every file.
const WITHIN: Duration = Duration::from_secs(600);
/// Recordings that may differ on purpose, of a hundred.
const MOST_DEVIATIONS: u32 = 7;

#[test]
fn a_fog_server_would_have_answered_the_same() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fog-recordings");
    if !folder.is_dir() {
        ensure!(
            std::env::var_os("CI").is_none(),
            "the recordings are missing: {}",
            folder.display()
        );
        eprintln!("skipped: no recordings beside the project");
        return Ok(());
    }
    let logs = tempfile::tempdir()?;
    let start = |engine| {
        let mut command = Command::new(foghorn("fog-replay")?);
        command.args(["--engine", engine]).arg(&folder);
        let replay = Process::start(logs.path(), engine, &mut command)?;
        Ok::<_, anyhow::Error>((engine, replay))
    };
    for (engine, mut replay) in [start("embedded")?, start("etcd")?] {
        let status = replay.wait(WITHIN)?;
        ensure!(status.success(), "{engine}: {status}\n{}", replay.log());
        let said = replay.log();
        let idle: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("no deviation: "))
            .collect();
        ensure!(idle.is_empty(), "{engine}: rules without a use: {idle:?}");
        let summary = said
            .lines()
            .find(|line| line.starts_with("records "))
            .context("no summary")?;
        let numbers: Vec<u32> = summary
            .split([' ', ','])
            .filter_map(|word| word.parse().ok())
            .collect();
        let [records, _same, deviations, different] = numbers[..] else {
            anyhow::bail!("{summary}")
        };
        ensure!(records > 2000 && different == 0, "{engine}: {summary}");
        ensure!(
            deviations * 100 <= records * MOST_DEVIATIONS,
            "{engine}: too many deviations: {summary}"
        );
    }
    Ok(())
}
