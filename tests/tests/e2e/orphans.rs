//! An older backup of the controller's store is restored: what was captured since is not lost, not
//! replaced, and can be had again.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::run;
use serde_json::{Value, json};

use crate::on_both_engines;

on_both_engines! {
    images_outlive_an_older_backup => images_outlive_an_older_backup;
}

const MAC_A: &str = "52:54:00:00:0e:0a";
const MAC_B: &str = "52:54:00:00:0e:0b";
const MAC_D: &str = "52:54:00:00:0e:0d";
const SIZE: u64 = 64 * MIB;

fn orphans(stack: &Stack) -> Result<Vec<Value>> {
    let list = stack.rest.get("/foghorn/v1/orphans")?.ok()?;
    Ok(list["orphans"].as_array().cloned().unwrap_or_default())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run("cp", [Path::new("-a"), from, to]).map(drop)
}

/// Waits for a job and gives its error, if it had one.
fn end_of_job(stack: &Stack, job: &Value) -> Result<Option<String>> {
    let path = format!("/foghorn/v1/jobs/{job}");
    until("the job to end", PATIENCE, || {
        let status = stack.rest.get(&path)?.ok()?;
        let error = status["error"].as_str().map(str::to_owned);
        Ok((status["done"] == true).then_some(error))
    })
}

fn images_outlive_an_older_backup(engine: Engine) -> Result<()> {
    let mut stack = Stack::start(engine)?;
    let made = |name: &str, seed| {
        let path = stack.folder().join(name);
        disks::make_gpt(&path, SIZE, 512, &[(Kind::Ext4, 48)], seed)
    };
    let (first, second) = (made("one", 41)?, made("two", 42)?);
    stack.capture("first", MAC_A, &first.path)?;
    let backup = stack.folder().join("backup");
    stack.with_store_at_rest(|store| copy(store, &backup))?;
    stack.wait_online("defaultmember")?;
    let (_, image) = stack.capture("second", MAC_B, &second.path)?;

    stack.with_store_at_rest(|store| {
        std::fs::remove_dir_all(store)?;
        copy(&backup, store)
    })?;
    let orphan = until("the unknown image to be listed", PATIENCE, || {
        Ok(orphans(&stack)?.pop())
    })?;
    ensure!(
        orphan["image"] == json!({"id": image, "name": ""}),
        "{orphan}"
    );

    // What is known of it, and its number is not given to another image.
    ensure!(
        orphan["captured_from"]["name"] == "second" && orphan["used_bytes"].as_u64() > Some(0),
        "{orphan}"
    );
    let other = stack.create_image("third-image")?;
    ensure!(
        other != image,
        "the number of what a node holds is given out"
    );

    let cli = Command::new(foghorn_tests::tools::foghorn("foghorn")?)
        .args(["image", "orphans", "-o", "json"])
        .envs(stack.cli_environment()?)
        .output()?;
    let listed: Value = serde_json::from_slice(&cli.stdout).context("what the CLI prints")?;
    ensure!(listed["orphans"] == json!([orphan]), "{listed}");

    let node = orphan["node"]["id"].clone();
    let mut adopt = json!({ "node": node, "image": image, "manifest": orphan["manifest"],
        "name": "first-image" });
    let taken = stack.rest.post("/foghorn/v1/orphans/adopt", &adopt)?;
    ensure!(taken.status == 409, "a name that is in use: {}", taken.body);
    adopt["name"] = json!("second-restored");
    let job = stack.rest.post("/foghorn/v1/orphans/adopt", &adopt)?.ok()?;
    let error = end_of_job(&stack, &job["job"])?;
    ensure!(error.is_none(), "{error:?}");
    until("nothing to be unknown any more", PATIENCE, || {
        Ok(orphans(&stack)?.is_empty().then_some(()))
    })?;

    let images = stack.rest.get("/fog/image")?.ok()?;
    let rows = images["images"].as_array().cloned().unwrap_or_default();
    let row = rows.iter().find(|row| row["name"] == "second-restored");
    let id = row.and_then(|row| row["id"].as_str()).context("its row")?;
    let target = stack.folder().join("target");
    disks::blank(&target, SIZE)?;
    stack.deploy("fourth", MAC_D, id.parse()?, &target)?;
    ensure!(
        disks::hash_files(&target, &second.partitions)?
            == disks::hash_files(&second.path, &second.partitions)?,
        "the adopted image differs"
    );
    Ok(())
}
