//! Deletion of images and of their earlier versions: what is deleted goes from the node, and the room
//! that it took is free again.

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks;
use foghorn_tests::stack::{Engine, Options};
use serde_json::json;

use crate::copies::job;
use crate::imaging::Golden;
use crate::list::Fault;
use crate::rig::{Reached, Rig, Saga};

/// An image that is to be deleted, beside one that stays.
struct Doomed {
    golden: Golden,
    image: u32,
    number: u32,
    /// Bytes in packs with it.
    packed: u64,
}

pub(crate) fn group(faults: &[Fault]) -> Result<Reached> {
    let mut rig = Rig::start(Engine::Embedded, Options::default())?;
    let mut golden = Golden::new(&rig)?;
    golden.change()?;
    golden.capture(&mut rig)?;
    let mut doomed = Doomed {
        golden,
        image: 0,
        number: 0,
        packed: 0,
    };
    let saga = Saga {
        prepare: |rig, doomed: &mut Doomed| doomed.make(rig),
        act: |rig, doomed| doomed.delete(rig),
    };
    rig.with_each(faults, &mut doomed, &saga)?;
    let mut golden = doomed.golden;
    rig.stack.assign(golden.machine.host, golden.image)?;
    golden.change()?;
    golden.capture(&mut rig)?;
    golden.deploy(&mut rig)?;
    Ok(rig.reached())
}

impl Doomed {
    /// With two versions.
    fn make(&mut self, rig: &mut Rig) -> Result<()> {
        self.number += 1;
        let name = format!("doomed-{}", self.number);
        self.image = rig.stack.create_image(&name)?;
        rig.stack.assign(self.golden.machine.host, self.image)?;
        for _ in 0..2 {
            // So much that the packs are worth cleaning afterwards.
            self.golden.change_much(4)?;
            self.golden.capture(rig)?;
        }
        self.packed = packed(rig)?;
        rig.until("the node to report it", |rig| reports(rig, 2))?;
        ensure!(
            manifests(rig)? == 3,
            "an image with one version, one with two"
        );
        Ok(())
    }

    fn delete(&self, rig: &mut Rig) -> Result<()> {
        let image = self.image;
        gone(rig, &format!("/foghorn/v1/images/{image}/versions/1"))?;
        gone(rig, &format!("/fog/image/{image}/delete"))?;
        let before = self.packed;
        // The node is told to drop it by a controller that may have just started.
        rig.until("its room to be free", |rig| {
            job(rig, 1, "sweep", &json!({ "now": true }))?;
            let after = packed(rig)?;
            ensure!(manifests(rig)? == 1, "the node has not dropped it");
            ensure!(
                after < before,
                "{before} bytes are packed before the deletion, {after} after it"
            );
            Ok(Some(()))
        })
    }
}

/// Deletes until it is said that there is no such thing.
fn gone(rig: &mut Rig, path: &str) -> Result<()> {
    rig.until(&format!("{path} to be deleted"), |rig| {
        let answer = rig.stack.rest.delete(path)?;
        ensure!(answer.status < 500, "{}: {}", answer.status, answer.body);
        Ok((answer.status == 404 || answer.status < 300).then_some(()))
    })
}

/// Whether the node has said that it holds so many images.
fn reports(rig: &Rig, images: u32) -> Result<Option<()>> {
    let nodes = rig.stack.rest.get("/foghorn/v1/nodes")?.ok()?;
    Ok((nodes["nodes"][0]["image_count"] == images).then_some(()))
}

/// Manifests on the node's disk.
fn manifests(rig: &Rig) -> Result<usize> {
    let files = disks::files(&rig.stack.agents[0].state).context("the node's files")?;
    let is_one = |file: &&std::path::PathBuf| file.extension().is_some_and(|end| end == "manifest");
    Ok(files.iter().filter(is_one).count())
}

/// Bytes of the packs on the node.
fn packed(rig: &Rig) -> Result<u64> {
    let files = disks::files(&rig.stack.agents[0].state).context("the node's files")?;
    let packs = files
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "pack"));
    Ok(packs
        .map(|file| std::fs::metadata(file).map_or(0, |data| data.len()))
        .sum())
}
