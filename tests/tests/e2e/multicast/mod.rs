//! Deploys by multicast: real clients that write real disk files, compared byte by byte. On
//! loopback, and on a LAN of network namespaces where receivers lose packets, are cut off, crawl,
//! die and come late.

mod lan;
mod room;
mod take_over;
mod traced;

use anyhow::{Result, ensure};
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use serde_json::json;

use self::room::Room;
use crate::on_both_engines;

on_both_engines! {
    two_machines_take_one_stream => two_machines_take_one_stream;
}

#[test]
fn a_machine_with_an_earlier_image_takes_only_what_differs() {
    differences_only().unwrap();
}

#[test]
fn a_chunk_that_is_damaged_on_the_node_is_named_and_never_taken_for_good() {
    damaged_on_the_node().unwrap();
}

/// The sender leaves it to the receivers to verify: both reject the chunk, and when it is read
/// again its damage is found.
fn damaged_on_the_node() -> Result<()> {
    let mut room = Room::new(
        Stack::start_with(Engine::Embedded, &Options::default())?,
        24,
    )?;
    let mut machines = [room.machine(1)?, room.machine(2)?];
    room.stack.damage_a_pack()?;
    room.session(&machines, json!({}))?;
    for machine in &mut machines {
        room.start(machine, None)?;
    }
    for machine in &mut machines {
        let log = room.fail(machine)?;
        ensure!(
            log.contains("damaged"),
            "the log does not contain the reason:\n{log}"
        );
    }
    Ok(())
}

#[test]
fn a_chunk_that_is_damaged_on_the_node_comes_from_another_one() {
    mended_from_another_node().unwrap();
}

/// As above, and another node has the image.
fn mended_from_another_node() -> Result<()> {
    let mut room = Room::new(
        Stack::start_with(Engine::Embedded, &Options::default())?,
        24,
    )?;
    let mut machines = [room.machine(1)?, room.machine(2)?];
    room.stack.add_agent("south", "")?;
    room.wait_ready("south")?;
    // It serves nobody.
    let cordon = json!({ "reason": "test" });
    room.stack
        .rest
        .post("/foghorn/v1/nodes/2/cordon", &cordon)?
        .ok()?;
    room.stack.damage_a_pack()?;
    room.session(&machines, json!({}))?;
    for machine in &mut machines {
        room.start(machine, None)?;
    }
    for machine in &mut machines {
        room.finish(machine, PATIENCE)?;
    }
    let said = room.stack.agents[0].process.log();
    ensure!(said.contains("a stored chunk is damaged"), "{said}");
    ensure!(
        said.contains("every chunk of the image was verified here"),
        "{said}"
    );
    Ok(())
}

fn two_machines_take_one_stream(engine: Engine) -> Result<()> {
    let stack = Stack::start_with(engine, &Options::default())?;
    let mut room = Room::new(stack, 24)?;
    let mut machines = [room.machine(1)?, room.machine(2)?];
    let session = room.session(&machines, json!({}))?;
    for machine in &mut machines {
        room.start(machine, None)?;
    }
    for machine in &mut machines {
        let report = room.finish(machine, PATIENCE)?;
        let (all, by_group) = (
            report.number("bytes_wire"),
            report.number("bytes_multicast"),
        );
        ensure!(
            by_group * 10 >= all * 9,
            "{by_group} of {all} bytes came by multicast: {report:?}"
        );
        ensure!(
            report.number("peak_memory_bytes") < 256 << 20,
            "too much memory: {report:?}"
        );
    }
    let ended = room.ended(session)?;
    ensure!(ended["summary"]["phase"] == "complete", "{ended}");
    Ok(())
}

fn differences_only() -> Result<()> {
    let stack = Stack::start_with(Engine::Embedded, &Options::default())?;
    let mut room = Room::new(stack, 48)?;
    let mut machines = [room.machine(1)?, room.machine(2)?];
    room.write_earlier_image(&machines[1], 3)?;
    room.session(&machines, json!({}))?;
    for machine in &mut machines {
        room.start(machine, None)?;
    }
    room.finish(&mut machines[0], PATIENCE)?;
    let report = room.finish(&mut machines[1], PATIENCE)?;
    let (reused, wire) = (report.number("bytes_reused"), report.number("bytes_wire"));
    // Three places differ, and the first chunk is wiped before anything else.
    ensure!(reused >= 44 << 20 && wire <= 5 << 20, "{report:?}");
    Ok(())
}
