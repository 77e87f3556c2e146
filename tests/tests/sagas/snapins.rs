//! Upload of a snapin's file: it is there whole and can be had again, or it is as before.

use anyhow::{Result, ensure};
use foghorn_tests::disks;
use foghorn_tests::stack::{Engine, Options};
use serde_json::{Value, json};

use crate::list::Fault;
use crate::rig::{Reached, Rig, Saga};

pub(crate) fn group(faults: &[Fault]) -> Result<Reached> {
    let mut rig = Rig::start(Engine::Embedded, Options::default())?;
    let body = json!({ "name": "tool", "file": "old" });
    let made = rig.stack.rest.post("/fog/snapin/create", &body)?.ok()?;
    ensure!(made["id"] == "1", "{made}");
    let saga = Saga {
        prepare: |_, seed: &mut u64| {
            *seed += 1;
            Ok(())
        },
        act: |rig, seed| upload(rig, *seed),
    };
    rig.with_each(faults, &mut 0, &saga)?;
    Ok(rig.reached())
}

const PATH: &str = "/foghorn/v1/snapins/1/file";

fn upload(rig: &mut Rig, seed: u64) -> Result<()> {
    let mut content = vec![0; 2_500_000];
    disks::fill_random(&mut content, 11 + seed);
    let name = format!("tool-{seed}.msi");
    rig.until("the upload to be taken", |rig| {
        let path = format!("{PATH}?name={name}");
        let kind = [("content-type", "application/octet-stream")];
        let body = Some(content.clone());
        let answer = rig.stack.rest.send_with("PUT", &path, body, &kind)?;
        ensure!(answer.status < 300, "{}: {}", answer.status, answer.body);
        Ok(Some(()))
    })?;
    rig.disarm()?;
    let row: Value = rig.get("/fog/snapin/1")?;
    ensure!(row["file"] == name.as_str(), "{row}");
    let there = rig.until("the file", |rig| rig.stack.rest.bytes(PATH).map(Some))?;
    ensure!(there == content, "the file differs from what was uploaded");
    Ok(())
}
