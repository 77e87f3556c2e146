//! A controller hangs and comes back; controllers whose clocks differ by minutes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::process::until;
use foghorn_tests::rest::Rest;
use foghorn_tests::stack::{PATIENCE, id};
use foghorn_tests::three::{Three, node};
use foghorn_tests::wrong_clock;
use rustix::process::Signal;
use serde_json::{Value, json};

fn state(rest: &Rest, task: u32) -> Result<Value> {
    Ok(rest.get(&format!("/foghorn/v1/tasks/{task}"))?.ok()?["state"].clone())
}

fn ordered(three: &Three, name: &str, image: u32) -> Result<(u32, u32)> {
    let mac = format!("52:54:00:00:10:{:02x}", name.len());
    let host = three.stack.create_host(name, &mac)?;
    three.stack.assign(host, image)?;
    Ok((host, three.stack.order(host, 2)?))
}

/// What it has read before it hung is old when it goes on. It must neither write that nor order it.
#[test]
fn a_controller_that_hung_undoes_nothing_when_it_goes_on() -> Result<()> {
    let mut three = Three::start()?;
    let image = three.stack.create_image("golden")?;
    let (host, cancelled) = ordered(&three, "a", image)?;
    let (_, goes_on) = ordered(&three, "bb", image)?;
    until("both orders at the node", PATIENCE, || {
        let states = [
            state(&three.stack.rest, cancelled)?,
            state(&three.stack.rest, goes_on)?,
        ];
        Ok(states.iter().all(|state| state == "assigned").then_some(()))
    })?;
    let hung = three.linked().context("no controller has the link")?;
    three.process(hung).signal(Signal::STOP)?;
    let since = Instant::now();
    // It gets this while it hangs, and does it when it goes on.
    let late = {
        let known = three.rest(hung);
        let tokens = (known.api_token.as_str(), known.user_token.as_str());
        let rest = Rest::with_timeout(&known.url, &known.ca_pem, tokens, PATIENCE)?;
        std::thread::spawn(move || {
            let change = json!({ "description": "late" });
            rest.put(&format!("/fog/host/{host}/edit"), &change)?.ok()
        })
    };
    let other = (hung + 1) % Three::COUNT;
    until("the link at another controller", PATIENCE, || {
        Ok([1, 2]
            .iter()
            .any(|step| {
                let log = three.process((hung + step) % Three::COUNT).log();
                log.contains("agent connected")
            })
            .then_some(()))
    })?;
    eprintln!("the link was elsewhere after {:?}", since.elapsed());
    let rest = three.rest(other);
    rest.delete(&format!("/fog/task/{cancelled}/cancel"))?
        .ok()?;
    rest.put(
        &format!("/fog/host/{host}/edit"),
        &json!({ "name": "renamed" }),
    )?
    .ok()?;
    let new = {
        let host = rest
            .post(
                "/fog/host/create",
                &json!({ "name": "ccc", "macs": ["52:54:00:00:10:33"] }),
            )?
            .ok()?;
        let host = id(&host)?;
        order_capture(rest, host, image)?;
        let task = until("the new task", PATIENCE, || {
            let tasks = rest.get(&format!("/foghorn/v1/tasks?host={host}"))?.ok()?;
            let id = tasks.pointer("/tasks/0/id").and_then(Value::as_u64);
            Ok(id)
        })?;
        u32::try_from(task)?
    };
    until("the new task to be assigned", PATIENCE, || {
        Ok((state(rest, new)? == "assigned").then_some(()))
    })?;
    three.process(hung).signal(Signal::CONT)?;
    let done = late
        .join()
        .map_err(|_| anyhow::anyhow!("the late change panicked"))?;
    ensure!(done.is_ok(), "the late change: {done:?}");
    three.wait_whole()?;
    for number in 0..Three::COUNT {
        let rest = three.rest(number);
        let row = rest.get(&format!("/fog/host/{host}"))?.ok()?;
        ensure!(
            row["name"] == "renamed" && row["description"] == "late",
            "{row}"
        );
        let states = [cancelled, goes_on, new].map(|task| state(rest, task).unwrap_or_default());
        ensure!(
            states == ["cancelled", "assigned", "assigned"],
            "{number}: {states:?}"
        );
    }
    // The node does what is right: the order of the cancelled task did not come back.
    let opened = "session opened";
    let log = three.stack.agents[0].process.log();
    let last = |task: u32| {
        let task = format!("task={task}");
        log.lines()
            .rfind(|line| line.contains(&task))
            .unwrap_or_default()
            .to_owned()
    };
    ensure!(!last(cancelled).contains(opened), "{log}");
    ensure!(last(new).contains(opened), "{log}");
    Ok(())
}

fn order_capture(rest: &Rest, host: u32, image: u32) -> Result<()> {
    rest.put(
        &format!("/fog/host/{host}/edit"),
        &json!({ "imageID": image }),
    )?
    .ok()?;
    let path = format!("/fog/host/{host}/task");
    rest.post(&path, &json!({ "taskTypeID": 2 }))?.ok()?;
    Ok(())
}

/// Two controllers are eight minutes ahead and six behind the first.
#[test]
fn clocks_that_differ_by_minutes_harm_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let library = wrong_clock::build(folder.path())?;
    let mut three = Three::start_with(|stack, name| {
        let seconds = if name == "b" { 480 } else { -360 };
        let file = folder.path().join(name);
        wrong_clock::move_by(&file, seconds)?;
        let variables = wrong_clock::environment(&library, &file, "foghorn-control");
        let variables = variables.into_iter();
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        stack.beside_with(name, &variables.collect::<Vec<_>>())
    })?;
    let image = three.stack.create_image("golden")?;
    // For longer than a dead controller is waited for: nobody is taken for dead, nothing is lost.
    let until_then = Instant::now() + Duration::from_secs(8);
    let mut tasks = Vec::new();
    for number in 0_usize.. {
        if Instant::now() > until_then {
            break;
        }
        let name = format!("pc{number}");
        let rest = three.rest(number % Three::COUNT);
        let mac = format!("52:54:00:01:{:02x}:{:02x}", number / 256, number % 256);
        let host = rest
            .post("/fog/host/create", &json!({ "name": name, "macs": [mac] }))?
            .ok()?;
        let host = id(&host)?;
        let rest = three.rest((number + 1) % Three::COUNT);
        order_capture(rest, host, image)?;
        let rest = three.rest((number + 2) % Three::COUNT);
        let list = rest.get(&format!("/foghorn/v1/tasks?host={host}"))?.ok()?;
        let task = list.pointer("/tasks/0/id").and_then(Value::as_u64);
        tasks.push(task.with_context(|| list.to_string())?);
        ensure!(node(rest)?["online"] == true, "the node is shown as gone");
        std::thread::sleep(Duration::from_millis(300));
    }
    three.wait_whole()?;
    for number in 0..Three::COUNT {
        for task in &tasks {
            let status = three
                .rest(number)
                .get(&format!("/foghorn/v1/tasks/{task}"))?
                .ok()?;
            let state = status["state"].as_str().unwrap_or_default();
            ensure!(
                ["queued", "assigned"].contains(&state),
                "{number}: {status}"
            );
        }
        let log = three.process(number).log();
        for bad in [
            "does not answer and does not write",
            "a controller has left",
            "is not heard",
        ] {
            // Until all three were there, some were not.
            let after = log
                .rsplit_once("another controller is heard")
                .map_or("", |(_, last)| last);
            ensure!(!after.contains(bad), "{bad:?}:\n{log}");
        }
    }
    // And one that leaves is missed by nobody.
    let status = three.process(1).stop(PATIENCE)?;
    ensure!(status.success(), "{status}");
    until("two controllers", PATIENCE, || {
        let list = three.stack.rest.get("/foghorn/v1/controllers")?.ok()?;
        let count = list["controllers"].as_array().map_or(0, Vec::len);
        Ok((count == 2).then_some(()))
    })?;
    ensure!(
        node(&three.stack.rest)?["online"] == true,
        "the node is shown as gone"
    );
    Ok(())
}
