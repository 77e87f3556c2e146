//! What else `install.md` says, on the server that the newcomer has: the first credentials, and how
//! a machine gets the client.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::page::Page;
use foghorn_tests::terminal::Terminal;
use foghorn_tests::tools::{run, static_client};

/// Runs the page. `before` is what the newcomer has typed first.
pub(super) fn check(
    server: &mut Terminal,
    lab: &Lab,
    folder: &Path,
    before: &[String],
) -> Result<()> {
    let mut page = Page::read("docs/operations/install.md")?;
    // It compiles for minutes; the packages were made by the same program.
    page.leave_out(&["make deb"])?;
    for typed in before {
        page.take(typed)?;
    }
    let mut printed = String::new();
    for command in page.take_until("install -d")? {
        printed.push_str(&server.run(&command)?);
    }
    let fingerprint = printed
        .rsplit_once("--ca-fingerprint ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .with_context(|| format!("no fingerprint: {printed}"))?
        .to_owned();
    ensure!(printed.contains("\"user_token\": "), "{printed}");
    // Another disk for the images: an editor is opened.
    page.leave_out(&["install -d", "systemctl edit"])?;
    // `make install` is run by the test of packages, in a folder, and `make images` by that of images.
    page.leave_out(&[
        "make build",
        "make install",
        "systemd-sysusers",
        "systemctl enable",
        "make images",
    ])?;

    let sum = run("sha256sum", [static_client()?])?;
    let sum = sum.split_whitespace().next().context("no sum")?.to_owned();
    let on_machine = |command: &str| {
        let command = command.replace("SERVER", SERVER).replace("SHA256", &sum);
        let mut shell = Command::new("bash");
        shell.args(["-c", "set -euo pipefail; cd \"$0\"; eval \"$1\""]);
        shell.arg(folder).arg(command);
        let output = lab.on_client(1, &shell).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{said}{trouble}");
        Ok(said)
    };
    let mut said = String::new();
    for command in page.take_rest() {
        said.push_str(&on_machine(&command)?);
    }
    for part in [
        fingerprint.as_str(),
        "Verified OK",
        "foghorn-client-x86_64: OK\n",
    ] {
        ensure!(said.contains(part), "{part}: {said}");
    }
    let version = run(
        &folder.join("foghorn-client-x86_64").display().to_string(),
        ["--version"],
    )?;
    ensure!(version.starts_with("foghorn-client "), "{version}");
    Ok(())
}
