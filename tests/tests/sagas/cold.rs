//! Cold copies: into the bucket, off the disk, deployed from there, back to a node that has lost
//! everything, and deleted.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use foghorn_tests::s3::S3;
use foghorn_tests::stack::{Engine, Options, PATIENCE};
use serde_json::Value;

use crate::imaging::Golden;
use crate::list::Fault;
use crate::rig::{Reached, Rig, Saga};

struct Cold {
    golden: Golden,
    s3: S3,
}

pub(crate) fn group(faults: &[Fault]) -> Result<Reached> {
    let s3 = S3::start()?;
    let options = Options {
        agent: format!("[upkeep]\ngrace_seconds = 1\n{}", s3.section(48, 0)),
        ..Options::default()
    };
    let mut rig = Rig::start(Engine::Embedded, options)?;
    let mut golden = Golden::new(&rig)?;
    // So that every further capture replaces one version and has another one dropped.
    for _ in 0..2 {
        golden.change()?;
        golden.capture(&mut rig)?;
    }
    let mut cold = Cold { golden, s3 };
    let saga = Saga {
        prepare: |_, cold: &mut Cold| cold.golden.change_much(4),
        act: |rig, cold| cold.live(rig),
    };
    rig.with_each(faults, &mut cold, &saga)?;
    Ok(rig.reached())
}

fn manifest(one: &Value) -> String {
    one["manifest"].as_str().unwrap_or_default().to_owned()
}

impl Cold {
    fn live(&self, rig: &mut Rig) -> Result<()> {
        self.golden.capture(rig)?;
        self.is_away(rig)?;
        self.golden.deploy(rig)?;
        self.lose_the_disk(rig)?;
        self.is_away(rig)?;
        self.golden.deploy(rig)
    }

    /// What is a version of the image is in the bucket, nothing else is, and no chunk is on the disk.
    /// Two versions may have the same content: a capture whose end was lost is made again.
    fn is_away(&self, rig: &mut Rig) -> Result<()> {
        let path = format!("/foghorn/v1/images/{}/versions", self.golden.image);
        // Through pauses of its own in each of several steps, with a node that dies twice.
        rig.until_within(2 * PATIENCE, "cold copies that are complete", |rig| {
            let versions = rig.stack.rest.get(&path)?.ok()?;
            let kept = versions["versions"].as_array().context("versions")?;
            let is_lost = |one: &Value| one["state"] == "lost";
            ensure!(!kept.is_empty() && !kept.iter().any(is_lost), "{versions}");
            let expected: BTreeSet<String> = kept.iter().map(manifest).collect();
            let node = rig.stack.rest.get("/foghorn/v1/nodes/1")?.ok()?;
            let images = node["cold"]["images"].as_array().context("cold copies")?;
            let is_away = |image: &Value| image["complete"] == true && image["away"] == true;
            let objects = self.s3.objects("defaultmember/images/")?;
            let here: BTreeSet<String> = images.iter().map(manifest).collect();
            ensure!(
                here == expected && images.iter().all(is_away) && objects.len() == expected.len(),
                "{versions}\n{node}\n{objects:?}"
            );
            Ok(Some(()))
        })
    }

    fn lose_the_disk(&self, rig: &mut Rig) -> Result<()> {
        rig.stack.agents[0].process.kill()?;
        for folder in ["chunks", "cold"] {
            match fs::remove_dir_all(rig.stack.agents[0].state.join(folder)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        rig.until("the node to be back", |rig| {
            Ok(rig.is_online("defaultmember")?.then_some(()))
        })
    }
}
