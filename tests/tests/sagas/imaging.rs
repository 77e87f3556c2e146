//! Captures and deploys, by real clients on disks in files, compared byte by byte.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options};
use serde_json::{Value, json};

use crate::list::Fault;
use crate::rig::{Reached, Rig, Saga};

/// Attempts of one order, each of which may end with a client that has died.
const CLIENTS: usize = 8;
/// Orders of one job: one that failed cleanly is given again.
const ORDERS: usize = 4;
pub(crate) const SIZE: u64 = 8 * MIB;
const CAPTURE: u32 = 2;
const DEPLOY: u32 = 1;

/// A machine with a disk.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) host: u32,
    pub(crate) mac: String,
    pub(crate) disk: PathBuf,
    pub(crate) state: PathBuf,
}

/// What is captured: a machine with a table and a partition whose content changes each time.
pub(crate) struct Golden {
    pub(crate) machine: Machine,
    pub(crate) image: u32,
    pub(crate) target: Machine,
    seed: u64,
}

impl Machine {
    pub(crate) fn new(rig: &Rig, name: &str, number: u8) -> Result<Self> {
        let mac = format!("52:54:00:00:1f:{number:02x}");
        Ok(Self {
            host: rig.stack.create_host(name, &mac)?,
            mac,
            disk: rig.folder().join(format!("disk-{name}")),
            state: rig.folder().join(format!("client-{name}")),
        })
    }
}

impl Golden {
    pub(crate) fn new(rig: &Rig) -> Result<Self> {
        let machine = Machine::new(rig, "golden", 1)?;
        disks::make_gpt(&machine.disk, SIZE, 512, &[(Kind::Raw, 6)], 3)?;
        let golden = Self {
            image: rig.stack.create_image("image")?,
            target: Machine::new(rig, "target", 2)?,
            machine,
            seed: 0,
        };
        for machine in [&golden.machine, &golden.target] {
            rig.stack.assign(machine.host, golden.image)?;
        }
        Ok(golden)
    }

    /// The disk has other content than ever before.
    pub(crate) fn change(&mut self) -> Result<()> {
        self.change_much(1)
    }

    pub(crate) fn change_much(&mut self, mib: usize) -> Result<()> {
        self.seed += 1;
        let mut content = vec![0; mib << 20];
        disks::fill_random(&mut content, 7_000 + self.seed);
        let disk = File::options().write(true).open(&self.machine.disk)?;
        Ok(disk.write_all_at(&content, 2 * MIB)?)
    }

    pub(crate) fn capture(&self, rig: &mut Rig) -> Result<()> {
        does(rig, &self.machine, CAPTURE)
    }

    /// Onto a disk that is blank, which is then equal.
    pub(crate) fn deploy(&self, rig: &mut Rig) -> Result<()> {
        let _ = fs::remove_file(&self.target.disk);
        disks::blank(&self.target.disk, SIZE)?;
        does(rig, &self.target, DEPLOY)?;
        self.is_on(&self.target.disk)
    }

    pub(crate) fn is_on(&self, disk: &Path) -> Result<()> {
        let (ours, theirs) = (fs::read(&self.machine.disk)?, fs::read(disk)?);
        let differs = ours.iter().zip(&theirs).position(|(a, b)| a != b);
        ensure!(
            differs.is_none() && ours.len() == theirs.len(),
            "success was said, but the disk differs at {differs:?}"
        );
        Ok(())
    }
}

/// A capture with each fault; what it has stored is then deployed and compared.
pub(crate) fn captures(faults: &[Fault]) -> Result<Reached> {
    captures_on(Engine::Embedded, faults)
}

pub(crate) fn captures_on(engine: Engine, faults: &[Fault]) -> Result<Reached> {
    let mut rig = Rig::start(engine, Options::default())?;
    let mut golden = Golden::new(&rig)?;
    let of_engine = |fault: &&Fault| {
        engine == Engine::Embedded || !fault.point.starts_with("controller.embedded.")
    };
    let faults: Vec<Fault> = faults.iter().filter(of_engine).cloned().collect();
    let saga = Saga {
        prepare: |_, golden: &mut Golden| golden.change(),
        act: |rig, golden| {
            golden.capture(rig)?;
            rig.disarm()?;
            golden.deploy(rig)
        },
    };
    rig.with_each(&faults, &mut golden, &saga)?;
    Ok(rig.reached())
}

/// A deploy with each fault.
pub(crate) fn deploys(faults: &[Fault]) -> Result<Reached> {
    let mut rig = Rig::start(Engine::Embedded, Options::default())?;
    let mut golden = Golden::new(&rig)?;
    golden.change()?;
    golden.capture(&mut rig)?;
    let saga = Saga {
        prepare: |_, _: &mut Golden| Ok(()),
        act: |rig, golden| {
            golden.deploy(rig)?;
            let left: Vec<_> = match fs::read_dir(&golden.target.state) {
                Ok(entries) => entries.collect(),
                Err(_) => Vec::new(),
            };
            ensure!(left.is_empty(), "the client has left {left:?}");
            Ok(())
        },
    };
    rig.with_each(faults, &mut golden, &saga)?;
    Ok(rig.reached())
}

/// Orders a job of a machine and has it done, whatever happens: again, if it failed cleanly.
pub(crate) fn does(rig: &mut Rig, machine: &Machine, kind: u32) -> Result<()> {
    let mut reasons = Vec::new();
    for _ in 0..ORDERS {
        let task = order(rig, machine.host, kind)?;
        let ended = carry_out(rig, machine, task, kind)?;
        match ended["state"].as_str() {
            Some("complete") => return Ok(()),
            Some("failed") => reasons.push(ended["reason"].to_string()),
            _ => bail!("the task ended as {ended}"),
        }
    }
    bail!("it failed {ORDERS} times: {}", reasons.join("; "))
}

/// The number of the host's active task, ordered now if there is none.
pub(crate) fn order(rig: &mut Rig, host: u32, kind: u32) -> Result<u32> {
    let path = format!("/fog/host/{host}/task");
    rig.until("the order to be taken", |rig| {
        let body = json!({ "taskTypeID": kind });
        let answer = rig.stack.rest.post(&path, &body)?;
        // An order whose answer was lost; FOG's words and status.
        let is_busy = answer.body.contains("already a member of an active task");
        ensure!(
            answer.status < 300 || is_busy,
            "{}: {}",
            answer.status,
            answer.body
        );
        active_task(rig, host)
    })
}

fn active_task(rig: &Rig, host: u32) -> Result<Option<u32>> {
    let active = rig.stack.rest.get("/fog/task/active")?.ok()?;
    let rows = active["tasks"].as_array().context("a list")?;
    let host = json!(host.to_string());
    let row = rows.iter().find(|row| row["hostID"] == host);
    Ok(row.and_then(|row| row["id"].as_str()?.parse().ok()))
}

/// Starts clients until the task has ended. Returns how it ended.
pub(crate) fn carry_out(rig: &mut Rig, machine: &Machine, task: u32, kind: u32) -> Result<Value> {
    let mut said = String::new();
    for _ in 0..CLIENTS {
        let status = rig.get(&format!("/foghorn/v1/tasks/{task}"))?;
        if is_over(&status) {
            return Ok(status);
        }
        let token = rig.ask(
            "POST",
            &format!("/foghorn/v1/hosts/{}/boot-token", machine.host),
            Some(&json!({})),
        )?;
        if token.status == 404 || token.status == 409 {
            continue; // It has ended just now.
        }
        let token = token.ok()?["token"].as_str().unwrap_or_default().to_owned();
        let stack = &rig.stack;
        let mut command = stack.client_command_with(&token, &machine.mac, &machine.disk)?;
        if kind == DEPLOY {
            command.arg("--state-dir").arg(&machine.state);
        }
        let name = format!("client-{}", machine.host);
        let mut client = Process::start(stack.folder(), &name, &mut command)?;
        let ended = rig.wait(&mut client)?;
        said = client.log();
        if ended.success() {
            let status = rig.get(&format!("/foghorn/v1/tasks/{task}"))?;
            ensure!(
                status["state"] == "complete",
                "the client says done, the controller {status}"
            );
            return Ok(status);
        }
    }
    let status = rig.get(&format!("/foghorn/v1/tasks/{task}"))?;
    ensure!(is_over(&status), "the task is stuck: {status}\n{said}");
    Ok(status)
}

fn is_over(task: &Value) -> bool {
    ["complete", "failed", "cancelled"].contains(&task["state"].as_str().unwrap_or_default())
}
