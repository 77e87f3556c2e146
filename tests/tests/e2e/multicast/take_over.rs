//! The storage node of a multicast session dies in the middle: another one that holds the image
//! sends to the same receivers, and each keeps what it has.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::copied_chunks::copy_chunks;
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use serde_json::json;

use super::room::{Machine, Room};
use crate::node_loss::wait_written;

const GRACE: u64 = 3;
const SIZE: u64 = 100;
/// Of the image, when the node dies.
const BEFORE: u64 = 20 * MIB;
/// Received when the node died, and not on a disk yet; and what is sent twice to join a stream.
const LOST: u64 = 32 * MIB;

#[test]
fn another_node_takes_a_session_up_with_the_same_receivers() {
    taken_up().unwrap();
}

fn taken_up() -> Result<()> {
    let options = Options {
        controller: format!("limits = {{ node_grace_seconds = {GRACE} }}"),
        ..Options::default()
    };
    let stack = Stack::start_with(Engine::Embedded, &options)?;
    let mut room = Room::new(stack, SIZE)?;
    room.stack.add_agent("second", "")?;
    copy_chunks(&mut room.stack)?;
    let mut machines = room.machines(3)?;
    let session = room.session(
        &machines,
        json!({ "max_rate_bytes_per_second": 20_000_000 }),
    )?;
    for machine in &mut machines {
        room.start(machine, None)?;
    }
    for machine in &machines {
        wait_written(machine.disk(), BEFORE)?;
    }
    let serving = sender(&room, session)?;
    let at = Instant::now();
    kill(&mut room, &serving)?;
    until("another node to send", PATIENCE, || {
        let node = sender(&room, session)?;
        Ok((node != serving).then_some(()))
    })?;
    let before: Vec<u64> = machines.iter().map(written).collect::<Result<_>>()?;
    until("data for all", PATIENCE, || {
        let now: Vec<u64> = machines.iter().map(written).collect::<Result<_>>()?;
        let goes_on = now.iter().zip(&before).all(|(now, before)| now > before);
        Ok(goes_on.then_some(()))
    })?;
    let again = at.elapsed();
    ensure!(
        again < Duration::from_secs(GRACE + 5),
        "data came again after {again:?}"
    );
    for machine in &mut machines {
        let report = room.finish(machine, PATIENCE)?;
        let wire = report.number("bytes_wire");
        let by_group = report.number("bytes_multicast");
        ensure!(wire <= SIZE * MIB + LOST, "it began anew: {report:?}");
        ensure!(
            by_group * 10 >= wire * 8,
            "{by_group} of {wire} bytes came by multicast: {report:?}"
        );
    }
    let ended = room.ended(session)?;
    ensure!(ended["summary"]["phase"] == "complete", "{ended}");
    eprintln!("data came again {again:?} after the node died");
    Ok(())
}

fn written(machine: &Machine) -> Result<u64> {
    disks::allocated(machine.disk())
}

/// The node that has the tasks of the session, when it is one for all of them.
fn sender(room: &Room, session: u64) -> Result<String> {
    let status = room.status(session)?;
    let rows = status["receivers"].as_array().context("receivers")?;
    let nodes = rows.iter().map(|row| row["node"].as_str());
    let mut nodes: Vec<&str> = nodes.flatten().collect();
    nodes.dedup();
    Ok(nodes.join(" and "))
}

fn kill(room: &mut Room, name: &str) -> Result<()> {
    let agents = room.stack.agents.iter_mut();
    let agent = agents
        .into_iter()
        .find(|agent| agent.name.eq_ignore_ascii_case(name))
        .with_context(|| format!("no agent is called {name:?}"))?;
    agent.process.kill()
}
