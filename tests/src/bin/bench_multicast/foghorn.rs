//! Foghorn itself: controller, agent and real clients, deploying by a multicast session.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, same};
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options, Stack};
use serde_json::json;

use crate::case::{Case, Trouble};
use crate::room::LIMIT;

/// Seconds of the agent's threads.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    /// In its own code.
    pub(crate) user: f64,
    /// In the kernel; here that carries packets through the whole lab, up to every receiver's
    /// socket, in the time of whoever sends.
    pub(crate) system: f64,
}

/// One deploy to all receivers.
pub(crate) struct Sent {
    /// Until the last receiver without a fault has ended.
    pub(crate) seconds: f64,
    /// That the server has put on the wire.
    pub(crate) wire_bytes: f64,
    pub(crate) sender_cpu: Cpu,
}

/// Controller and agent on the lab's server, with the file captured as an image.
pub(crate) struct Installation {
    stack: Stack,
    image: u32,
}

/// A machine of the room.
struct Machine {
    host: u32,
    mac: String,
    disk: PathBuf,
}

impl Installation {
    pub(crate) fn start(folder: &Path, source: &Path) -> Result<Self> {
        let options = Options {
            address: SERVER.to_owned(),
            folder: Some(folder.to_owned()),
            ..Options::default()
        };
        let stack = Stack::start_with(Engine::Embedded, &options)?;
        let (_, image) = stack.capture("golden", "52:54:00:00:0d:00", source)?;
        Ok(Self { stack, image })
    }

    pub(crate) fn deploy(&self, lab: &Lab, case: &Case, source: &Path) -> Result<Sent> {
        let size = source.metadata()?.len();
        let machines = self.machines(case.clients, size)?;
        let group = self.group(case, &machines)?;
        // The session does not wait for late receivers, and does not start before all others have
        // checked in.
        let there = case.clients - usize::from(case.trouble == Trouble::Late);
        let bytes_per_second = case.rate.mbit() * 1_000_000 / 8;
        let body = json!({ "group": group, "start_receivers": there,
            "max_rate_bytes_per_second": bytes_per_second });
        self.stack
            .rest
            .post("/foghorn/v1/multicast-sessions", &body)?
            .ok()?;
        let sent = self.run(lab, case, &machines, size >> 20)?;
        let sound = machines.len() - usize::from(case.trouble == Trouble::Dead);
        for machine in &machines[..sound] {
            ensure!(
                same(&machine.disk, source)?,
                "{} differs from the source",
                machine.disk.display()
            );
        }
        self.clear(group, &machines)?;
        Ok(sent)
    }

    /// Starts the clients and waits for those that are in no trouble.
    fn run(&self, lab: &Lab, case: &Case, machines: &[Machine], mib: u64) -> Result<Sent> {
        let commands = machines
            .iter()
            .map(|machine| {
                self.stack
                    .client_command(machine.host, &machine.mac, &machine.disk)
            })
            .collect::<Result<Vec<_>>>()?;
        let at_once = commands.len() - usize::from(case.trouble == Trouble::Late);
        let agent = self.stack.agents[0].process.id();
        let (cpu, bytes, begun) = (cpu_of(agent)?, lab.bytes_sent()?, Instant::now());
        let mut clients = Vec::new();
        for (n, command) in commands[..at_once].iter().enumerate() {
            let mut command = lab.on_client(n + 1, command);
            clients.push(Process::start(
                self.stack.folder(),
                &format!("client-{}", n + 1),
                &mut command,
            )?);
        }
        let mut troubled = matches!(case.trouble, Trouble::Dead | Trouble::Slow)
            .then(|| clients.pop())
            .flatten();
        match case.trouble {
            Trouble::None | Trouble::Slow => {}
            Trouble::Dead => {
                std::thread::sleep(case.third(mib));
                lab.cut(case.clients)?;
            }
            Trouble::Late => {
                std::thread::sleep(case.third(mib));
                let late = &mut lab.on_client(case.clients, &commands[case.clients - 1]);
                troubled = Some(Process::start(self.stack.folder(), "client-late", late)?);
            }
        }
        for client in &mut clients {
            let status = client.wait(LIMIT)?;
            ensure!(
                status.success(),
                "a client ended with {status}:\n{}",
                client.log()
            );
        }
        let seconds = begun.elapsed().as_secs_f64();
        let (wire_bytes, spent) = ((lab.bytes_sent()? - bytes) as f64, cpu_of(agent)?);
        let sender_cpu = Cpu {
            user: spent.user - cpu.user,
            system: spent.system - cpu.system,
        };
        let sent = Sent {
            seconds,
            wire_bytes,
            sender_cpu,
        };
        if let Some(client) = &mut troubled {
            if case.trouble == Trouble::Dead {
                client.kill()?;
            } else {
                let status = client.wait(4 * LIMIT)?;
                ensure!(
                    status.success(),
                    "the faulty client ended with {status}:\n{}",
                    client.log()
                );
            }
        }
        Ok(sent)
    }

    fn machines(&self, count: usize, size: u64) -> Result<Vec<Machine>> {
        (1..=count)
            .map(|n| {
                let (name, mac) = (format!("pc-{n}"), format!("52:54:00:00:0d:{n:02x}"));
                let found = self
                    .stack
                    .rest
                    .get(&format!("/fog/host/search/{mac}"))?
                    .ok()?;
                let host = match found["hosts"][0]["id"]
                    .as_str()
                    .and_then(|id| id.parse().ok())
                {
                    Some(host) => host,
                    None => self.stack.create_host(&name, &mac)?,
                };
                self.stack.assign(host, self.image)?;
                let disk = self.stack.folder().join(format!("disk-{n}"));
                disks::blank(&disk, size)?;
                Ok(Machine { host, mac, disk })
            })
            .collect()
    }

    fn group(&self, case: &Case, machines: &[Machine]) -> Result<u32> {
        let hosts: Vec<u32> = machines.iter().map(|machine| machine.host).collect();
        let body = json!({ "name": format!("room {}", case.name()), "hosts": hosts });
        let group = self.stack.rest.post("/fog/group/create", &body)?.ok()?;
        group["id"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .context("a group without an id")
    }

    fn clear(&self, group: u32, machines: &[Machine]) -> Result<()> {
        // A machine that was cut off leaves a task behind.
        self.stack
            .rest
            .delete(&format!("/fog/group/{group}/cancel"))?;
        self.stack
            .rest
            .delete(&format!("/fog/group/{group}/delete"))?
            .ok()?;
        for machine in machines {
            fs::remove_file(&machine.disk)?;
        }
        let deadline = Instant::now() + LIMIT;
        while self.stack.rest.get("/fog/task/active")?.ok()?["count"] != json!(0) {
            ensure!(
                Instant::now() < deadline,
                "tasks of the last run did not end in time"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// What a process has spent so far (fields 14 and 15 of /proc/PID/stat, proc(5)).
fn cpu_of(process: u32) -> Result<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .context("a stat line")?
        .split_whitespace()
        .collect();
    let seconds = |field: &str| -> Result<f64> {
        Ok(field.parse::<f64>()? / rustix::param::clock_ticks_per_second() as f64)
    };
    Ok(Cpu {
        user: seconds(fields[11])?,
        system: seconds(fields[12])?,
    })
}
