//! `POST /foghorn/v1/tasks` against a real controller with a real image: its ids are those that
//! clients then serve, and a busy host is left out, or nothing changes because of it.

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use serde_json::{Value, json};

use crate::on_both_engines;

const PATH: &str = "/foghorn/v1/tasks";

fn mac(number: u32) -> String {
    format!("52:54:00:00:0f:{number:02x}")
}

fn refused(stack: &Stack, body: &Value, status: u16, field: &str) -> Result<String> {
    let answer = stack.rest.post(PATH, body)?;
    let said: Value = serde_json::from_str(&answer.body).context(answer.body.clone())?;
    ensure!(
        (answer.status, said["field"].as_str()) == (status, Some(field)),
        "{body}: {} {said}",
        answer.status
    );
    Ok(said["error"].as_str().context("an error")?.to_owned())
}

/// Images of the hosts, and the active tasks.
fn everything(stack: &Stack) -> Result<(Vec<Value>, Value)> {
    let hosts = stack.rest.get("/fog/host")?.ok()?;
    let images = hosts["hosts"]
        .as_array()
        .context("hosts")?
        .iter()
        .map(|host| host["imageID"].clone())
        .collect();
    Ok((
        images,
        stack.rest.get("/fog/task/active")?.ok()?["count"].clone(),
    ))
}

fn scenario(engine: Engine) -> Result<()> {
    let stack = Stack::start(engine)?;
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        32 * MIB,
        512,
        &[(Kind::Raw, 8)],
        61,
    )?;
    let origin = stack.create_host("golden", &mac(0))?;
    let image = stack.create_image("lab")?;
    let made = stack.rest.post(
        PATH,
        &json!({"kind": "capture", "host": origin, "image": image}),
    )?;
    ensure!(made.status == 201, "{}", made.body);
    let task = id_of(&made.ok()?, 0)?;
    let mut client = stack.start_client("capture", origin, &mac(0), &golden.path)?;
    ensure!(client.wait(PATIENCE)?.success(), "{}", client.log());
    ensure!(
        stack.wait_task(task)?["state"] == "complete",
        "the id is that of the capture"
    );

    let mut hosts = Vec::new();
    for number in 1..=13 {
        hosts.push(stack.create_host(&format!("pc{number}"), &mac(number))?);
    }
    let group = stack
        .rest
        .post(
            "/fog/group/create",
            &json!({"name": "room", "hosts": hosts}),
        )?
        .ok()?;
    let group: u32 = group["id"].as_str().context("an id")?.parse()?;

    // The twelfth host of thirteen has work.
    let busy = id_of(
        &stack
            .rest
            .post(
                PATH,
                &json!({"kind": "deploy", "host": hosts[11], "image": image}),
            )?
            .ok()?,
        0,
    )?;
    let before = everything(&stack)?;
    for multicast in [false, true] {
        for (field, whom) in [("hosts", json!(hosts)), ("group", json!(group))] {
            let body = json!({"kind": "deploy", "image": image, "multicast": multicast, field: whom,
                    "all_or_nothing": true});
            let why = refused(&stack, &body, 409, field)?;
            ensure!(why.contains(&format!("host {} (pc12)", hosts[11])), "{why}");
            ensure!(
                everything(&stack)? == before,
                "{field} multicast {multicast}: something has changed"
            );
        }
    }
    refused(
        &stack,
        &json!({"kind": "deploy", "hosts": hosts, "image": 4711}),
        404,
        "image",
    )?;
    refused(
        &stack,
        &json!({"kind": "burn", "hosts": hosts, "image": image}),
        400,
        "kind",
    )?;
    refused(
        &stack,
        &json!({"kind": "deploy", "image": image}),
        400,
        "host",
    )?;
    ensure!(
        everything(&stack)? == before,
        "bad bodies have changed something"
    );

    // A multicast does what can be done, and says what could not.
    let order = json!({"kind": "deploy", "image": image, "multicast": true, "hosts": hosts});
    let planned = stack
        .rest
        .post(&format!("{PATH}?dry_run=true"), &order)?
        .ok()?;
    ensure!(
        planned["planned"].as_array().map(Vec::len) == Some(12) && everything(&stack)? == before,
        "{planned}"
    );
    let made = stack.rest.post(PATH, &order)?.ok()?;
    ensure!(
        made["left_out"].as_array().map(Vec::len) == Some(1)
            && made["left_out"][0]["host"] == hosts[11]
            && made["sessions"].as_array().map(Vec::len) == Some(1),
        "{made}"
    );
    for place in 0..12 {
        let task = id_of(&made, place)?;
        stack
            .rest
            .delete(&format!("/fog/task/{task}/cancel"))?
            .ok()?;
    }

    // The same order, once the host is free: one task each, and a client does the one whose id was
    // given.
    stack
        .rest
        .delete(&format!("/fog/task/{busy}/cancel"))?
        .ok()?;
    let made = stack
        .rest
        .post(
            PATH,
            &json!({"kind": "deploy", "group": group, "image": image}),
        )?
        .ok()?;
    ensure!(made["tasks"].as_array().map(Vec::len) == Some(13), "{made}");
    ensure!(made["tasks"][12]["host"] == hosts[12], "{made}");
    let task = id_of(&made, 12)?;
    let target = stack.folder().join("target");
    disks::blank(&target, 40 * MIB)?;
    let mut client = stack.start_client("deploy", hosts[12], &mac(13), &target)?;
    ensure!(client.wait(PATIENCE)?.success(), "{}", client.log());
    let ended = stack.wait_task(task)?;
    ensure!(
        ended["state"] == "complete" && ended["host"]["id"] == hosts[12],
        "{ended}"
    );
    Ok(())
}

fn id_of(made: &Value, place: usize) -> Result<u32> {
    let id = made["tasks"][place]["task"]
        .as_u64()
        .with_context(|| format!("no task {place} in {made}"))?;
    Ok(u32::try_from(id)?)
}

on_both_engines! {
    tasks_are_ordered_for_all_hosts_or_none => scenario;
}
