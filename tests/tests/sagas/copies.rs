//! Copies of images from node to node.

use anyhow::{Context, Result, ensure};
use foghorn_tests::stack::{Engine, Options};
use serde_json::{Value, json};

use crate::imaging::Golden;
use crate::list::Fault;
use crate::rig::{Reached, Rig, Saga};

/// Each capture is copied to the second node, complete and equal.
pub(crate) fn group(faults: &[Fault]) -> Result<Reached> {
    let mut rig = Rig::start(Engine::Embedded, Options::default())?;
    rig.stack.add_agent("south", "")?;
    let mut golden = Golden::new(&rig)?;
    let saga = Saga {
        prepare: |_, golden: &mut Golden| golden.change(),
        act: |rig, golden| {
            golden.capture(rig)?;
            let image = golden.image;
            rig.until("two whole copies", |rig| is_everywhere(rig, image))?;
            rig.disarm()?;
            for node in [1, 2] {
                let found = job(rig, node, "scrub", &json!({}))?;
                ensure!(found["damaged"] == json!([]), "node {node}: {found}");
            }
            Ok(())
        },
    };
    rig.with_each(faults, &mut golden, &saga)?;
    // The copy alone is worth as much as the first one.
    let mut first = rig.stack.agents.remove(0);
    first.process.kill()?;
    golden.deploy(&mut rig)?;
    Ok(rig.reached())
}

pub(crate) fn is_everywhere(rig: &Rig, image: u32) -> Result<Option<()>> {
    let path = format!("/foghorn/v1/replication?image={image}");
    let list = rig.stack.rest.get(&path)?.ok()?;
    let replicas = list["replicas"].as_array().context("a list")?;
    let ready = |replica: &Value| replica["state"] == "ready";
    let content = rig
        .stack
        .rest
        .get(&format!("/foghorn/v1/images/{image}"))?
        .ok()?;
    let nodes = content["content"]["nodes"].as_array().map_or(0, Vec::len);
    Ok((replicas.len() == 2 && replicas.iter().all(ready) && nodes == 2).then_some(()))
}

/// Has a node do a job, again if the node has died over it.
pub(crate) fn job(rig: &mut Rig, node: u32, work: &str, body: &Value) -> Result<Value> {
    let path = format!("/foghorn/v1/nodes/{node}/{work}");
    for _ in 0..8 {
        let ordered = rig.until("the job to be ordered", |rig| {
            let answer = rig.stack.rest.post(&path, body)?;
            Ok((answer.status < 300).then_some(answer))
        });
        let number = ordered?.ok()?["job"].clone();
        let (controller, began) = (rig.deaths(), std::time::Instant::now());
        let ended = rig.until("the end of the job", |rig| {
            let status = rig.stack.rest.get(&format!("/foghorn/v1/jobs/{number}"))?;
            if status.status == 404 {
                return Ok(Some(Value::Null)); // Of a controller that has died since.
            }
            let status = status.ok()?;
            // A node that has died has forgotten it, and one whose link broke at that moment may not have heard of it.
            let waited = began.elapsed().as_secs();
            let is_lost = (rig.deaths() > controller && waited >= 2) || waited >= 30;
            Ok((status["done"] == true || is_lost).then_some(status))
        })?;
        if ended["done"] == true && ended["error"].is_null() {
            return Ok(ended);
        }
    }
    anyhow::bail!("{work} of node {node} does not come to an end")
}
