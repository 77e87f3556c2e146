//! Cold copies: into the bucket, off the disk, deployed from there, back to a node that has lost
//! everything, and deleted.

use std::fs;

use anyhow::{Context, Result, ensure};
use foghorn_tests::s3::S3;
use foghorn_tests::stack::{Engine, Options};
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

impl Cold {
    fn live(&self, rig: &mut Rig) -> Result<()> {
        self.golden.capture(rig)?;
        self.is_away(rig)?;
        self.golden.deploy(rig)?;
        self.lose_the_disk(rig)?;
        self.is_away(rig)?;
        self.golden.deploy(rig)
    }

    /// Both versions are in the bucket and nothing else is, and no chunk is on the disk.
    fn is_away(&self, rig: &mut Rig) -> Result<()> {
        rig.until("two cold copies that are complete", |rig| {
            let node = rig.stack.rest.get("/foghorn/v1/nodes/1")?.ok()?;
            let images = node["cold"]["images"].as_array().context("cold copies")?;
            let is_away = |image: &Value| image["complete"] == true && image["away"] == true;
            let objects = self.s3.objects("defaultmember/images/")?;
            ensure!(
                images.len() == 2 && images.iter().all(is_away) && objects.len() == 2,
                "{node}\n{objects:?}"
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
