//! One stream for two machines, and a task whose node is lost: another node takes it.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks;
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options};
use serde_json::{Value, json};

use crate::copies::is_everywhere;
use crate::imaging::{Golden, Machine, SIZE, carry_out, does, order};
use crate::list::Fault;
use crate::rig::{Reached, Rig, Saga};

struct Room {
    golden: Golden,
    second: Machine,
    number: u32,
}

pub(crate) fn group(faults: &[Fault]) -> Result<Reached> {
    let options = Options {
        controller: "limits = { node_grace_seconds = 2 }".to_owned(),
        ..Options::default()
    };
    let mut rig = Rig::start(Engine::Embedded, options)?;
    rig.stack.add_agent("south", "")?;
    let mut golden = Golden::new(&rig)?;
    golden.change()?;
    golden.capture(&mut rig)?;
    let image = golden.image;
    rig.until("two whole copies", |rig| is_everywhere(rig, image))?;
    let second = Machine::new(&rig, "second", 3)?;
    rig.stack.assign(second.host, image)?;
    let mut room = Room {
        golden,
        second,
        number: 0,
    };
    let (lost, multicast): (Vec<Fault>, Vec<Fault>) = faults
        .iter()
        .cloned()
        .partition(|fault| fault.point.starts_with("controller.node-failure."));
    let saga = Saga {
        prepare: |_, _: &mut Room| Ok(()),
        act: |rig, room| room.taken_over(rig),
    };
    rig.with_each(&lost, &mut room, &saga)?;
    let saga = Saga {
        prepare: |_, room: &mut Room| {
            room.number += 1;
            Ok(())
        },
        act: |rig, room| room.by_multicast(rig),
    };
    rig.with_each(&multicast, &mut room, &saga)?;
    Ok(rig.reached())
}

impl Room {
    /// The node that was given the task is lost before its machine comes.
    fn taken_over(&self, rig: &mut Rig) -> Result<()> {
        let target = &self.golden.target;
        disks::blank(&target.disk, SIZE)?;
        let task = order(rig, target.host, 1)?;
        let path = format!("/foghorn/v1/tasks/{task}");
        let node = rig.until("a node for the task", |rig| {
            let task = rig.stack.rest.get(&path)?.ok()?;
            Ok(task["node"].as_str().map(str::to_owned))
        })?;
        let is_it = |agent: &foghorn_tests::stack::Agent| agent.name.eq_ignore_ascii_case(&node);
        let lost = rig
            .stack
            .agents
            .iter()
            .position(is_it)
            .context("an agent")?;
        rig.down = Some(lost);
        rig.stack.agents[lost].process.kill()?;
        let moved = rig.until("another node for the task", |rig| {
            let task = rig.stack.rest.get(&path)?.ok()?;
            let other = task["node"].as_str().filter(|other| **other != node);
            Ok(other.map(str::to_owned))
        });
        let ended = moved.and_then(|_| carry_out(rig, target, task, 1));
        rig.down = None;
        complete_or_again(rig, target, &ended?)?;
        let failures = rig.get("/fog/nodefailure")?.to_string();
        ensure!(
            failures.contains(&format!("\"taskID\":\"{task}\"")),
            "the loss is not recorded: {failures}"
        );
        self.golden.is_on(&target.disk)
    }

    /// Both machines take the stream; a client that fails is started again, and goes on as it can.
    fn by_multicast(&self, rig: &mut Rig) -> Result<()> {
        let machines = [&self.golden.target, &self.second];
        for machine in machines {
            disks::blank(&machine.disk, SIZE)?;
        }
        let hosts = machines.map(|machine| machine.host);
        let body = json!({ "name": format!("run {}", self.number), "hosts": hosts });
        rig.until("the session to be ordered", |rig| {
            let made = rig
                .stack
                .rest
                .post("/foghorn/v1/multicast-sessions", &body)?;
            ensure!(made.status < 300 || made.status == 409, "{}", made.body);
            Ok(Some(()))
        })?;
        let tasks = [order(rig, hosts[0], 8)?, order(rig, hosts[1], 8)?];
        let mut clients = Vec::new();
        for machine in machines {
            clients.push(client(rig, machine)?);
        }
        for ((machine, task), mut client) in machines.into_iter().zip(tasks).zip(clients) {
            let _ = rig.wait(&mut client)?;
            let ended = carry_out(rig, machine, task, 1)?;
            complete_or_again(rig, machine, &ended).with_context(|| client.log())?;
            self.golden.is_on(&machine.disk)?;
        }
        rig.until("the end of the session", |rig| {
            let sessions = rig.stack.rest.get("/foghorn/v1/multicast-sessions")?.ok()?;
            let mut all = sessions["sessions"].as_array().into_iter().flatten();
            let is_over =
                |session: &Value| session["phase"] == "complete" || session["phase"] == "cancelled";
            Ok(all.all(is_over).then_some(()))
        })
    }
}

/// A task that failed cleanly is ordered again.
fn complete_or_again(rig: &mut Rig, machine: &Machine, ended: &Value) -> Result<()> {
    if ended["state"] == "failed" {
        return does(rig, machine, 1);
    }
    ensure!(ended["state"] == "complete", "{ended}");
    Ok(())
}

fn client(rig: &mut Rig, machine: &Machine) -> Result<Process> {
    let path = format!("/foghorn/v1/hosts/{}/boot-token", machine.host);
    let token = rig.ask("POST", &path, Some(&json!({})))?.ok()?;
    let token = token["token"].as_str().unwrap_or_default();
    let mut command: Command = rig
        .stack
        .client_command_with(token, &machine.mac, &machine.disk)?;
    let name = format!("client-{}", machine.host);
    Process::start(rig.stack.folder(), &name, &mut command)
}
