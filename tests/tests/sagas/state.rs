//! The whole state as a file, and backups: whole or not at all.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options};
use foghorn_tests::tools::foghorn;
use serde_json::{Value, json};

use crate::list::Fault;
use crate::rig::{Reached, Rig, Saga, environment};

/// Bytes of the last line: `blake3:`, 64 digits, its end.
const LAST: usize = 72;
/// Attempts at one import or export.
const ATTEMPTS: usize = 5;

struct Files {
    passphrase: PathBuf,
    /// Of the state as it is.
    state: PathBuf,
    number: u32,
}

pub(crate) fn group(faults: &[Fault]) -> Result<Reached> {
    let mut rig = Rig::start(Engine::Embedded, Options::default())?;
    rig.stack.create_host("a-host", "52:54:00:00:1f:0a")?;
    let mut files = Files {
        passphrase: rig.folder().join("passphrase"),
        state: rig.folder().join("state-0"),
        number: 0,
    };
    std::fs::write(&files.passphrase, "correct horse battery\n")?;
    export(&mut rig, &files.state)?;
    let of = |part: &str| -> Vec<Fault> {
        let ours = faults.iter().filter(|fault| fault.point.contains(part));
        ours.cloned().collect()
    };
    let next = |_: &mut Rig, files: &mut Files| {
        files.number += 1;
        Ok(())
    };
    let saga = Saga {
        prepare: next,
        act: |rig, files: &mut Files| {
            let to = rig.folder().join(format!("state-{}", files.number));
            export(rig, &to)
        },
    };
    rig.with_each(&of(".export."), &mut files, &saga)?;
    let saga = Saga {
        prepare: next,
        act: |rig, files: &mut Files| imported(rig, files),
    };
    rig.with_each(&of(".import."), &mut files, &saga)?;
    let saga = Saga {
        prepare: next,
        act: |rig, _: &mut Files| backed_up(rig),
    };
    rig.with_each(&of(".backup."), &mut files, &saga)?;
    Ok(rig.reached())
}

/// Exports while the controller runs; a file that was cut off is no file.
fn export(rig: &mut Rig, to: &Path) -> Result<()> {
    let body = json!({ "passphrase": "correct horse battery" }).to_string();
    rig.until("a whole export", |rig| {
        let bytes = rig
            .stack
            .rest
            .post_for_bytes("/foghorn/v1/state/export", &body)?;
        let is_whole = bytes.len() > LAST && bytes[bytes.len() - LAST..].starts_with(b"blake3:");
        ensure!(is_whole, "the file was cut off");
        std::fs::write(to, bytes)?;
        Ok(Some(()))
    })
}

/// Into an empty folder, without a controller, again and again until it says that it is done. What is
/// there then is what was exported.
fn imported(rig: &mut Rig, files: &Files) -> Result<()> {
    let data = rig.folder().join(format!("imported-{}", files.number));
    std::fs::create_dir(&data)?;
    let mut replace = false;
    for _ in 0..ATTEMPTS {
        let (ended, said) = import(rig, files, &data, replace)?;
        if ended {
            rig.disarm()?;
            let (ended, said) = import(rig, files, &data, false)?;
            ensure!(
                !ended && said.contains("not empty"),
                "the store has nothing of the file:\n{said}"
            );
            return Ok(());
        }
        // A store that is half written says so, and wants to be replaced.
        if said.contains("broken off") || said.contains("not empty") {
            replace = true;
        }
    }
    bail!("the import does not come to an end")
}

/// `foghorn-controller state import`; whether it succeeded, and what it said.
fn import(rig: &mut Rig, files: &Files, data: &Path, replace: bool) -> Result<(bool, String)> {
    let folder = rig.folder();
    let mut command = Command::new(foghorn("foghorn-controller")?);
    command
        .envs(environment(&folder))
        .args(["state", "import"])
        .arg(&files.state)
        .arg("--passphrase-file")
        .arg(&files.passphrase)
        .arg("--data-dir")
        .arg(data);
    if replace {
        command.arg("--replace");
    }
    let log = folder.join("import.log");
    let before = std::fs::metadata(&log).map_or(0, |data| data.len() as usize);
    let mut process = Process::start(&folder, "import", &mut command)?;
    let status = rig.wait(&mut process)?;
    let said = process.log().split_off(before);
    Ok((status.success(), said))
}

/// A backup is made, and only whole ones are listed.
fn backed_up(rig: &mut Rig) -> Result<()> {
    let before = rig.get("/foghorn/v1/backups")?;
    let made: Value = rig.until("a backup", |rig| {
        let answer = rig.stack.rest.post("/foghorn/v1/backups", &json!({}))?;
        answer.ok().map(Some)
    })?;
    let after = rig.get("/foghorn/v1/backups")?;
    let count = |list: &Value| list["backups"].as_array().map_or(0, Vec::len);
    ensure!(
        count(&after) > count(&before),
        "{made} is not listed: {after}"
    );
    Ok(())
}
