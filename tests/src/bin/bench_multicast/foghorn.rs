//! Foghorn itself: controller, agent and real clients, deploying by a multicast task of FOG's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks;
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options, Stack};
use serde_json::json;

use crate::case::{Case, Trouble};
use crate::room::{LIMIT, same};

/// FOG's task type: multicast.
const MULTICAST: u32 = 8;

/// One deploy to all receivers.
pub(crate) struct Sent {
    /// Until the last receiver that is in no trouble has ended.
    pub(crate) seconds: f64,
    /// That the server has put on the wire.
    pub(crate) wire_bytes: f64,
    /// User and system seconds of the agent.
    pub(crate) sender_cpu: f64,
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
        let options = Options { address: SERVER.to_owned(), folder: Some(folder.to_owned()), ..Options::default() };
        let stack = Stack::start_with(Engine::Embedded, &options)?;
        let (_, image) = stack.capture("golden", "52:54:00:00:0d:00", source)?;
        Ok(Self { stack, image })
    }

    pub(crate) fn deploy(&self, lab: &Lab, case: &Case, source: &Path) -> Result<Sent> {
        let size = source.metadata()?.len();
        let machines = self.machines(case.clients, size)?;
        let group = self.group(case, &machines)?;
        let body = json!({ "taskTypeID": MULTICAST });
        self.stack.rest.post(&format!("/fog/group/{group}/task"), &body)?.ok()?;
        let sent = self.run(lab, case, &machines, size >> 20)?;
        let sound = machines.len() - usize::from(case.trouble == Trouble::Dead);
        for machine in &machines[..sound] {
            ensure!(same(&machine.disk, source)?, "{} is not what was sent", machine.disk.display());
        }
        self.clear(group, &machines)?;
        Ok(sent)
    }

    /// Starts the clients and waits for those that are in no trouble.
    fn run(&self, lab: &Lab, case: &Case, machines: &[Machine], mib: u64) -> Result<Sent> {
        let commands: Result<Vec<_>> = machines
            .iter()
            .map(|machine| self.stack.client_command(machine.host, &machine.mac, &machine.disk))
            .collect();
        let agent = self.stack.agents[0].process.id();
        let (cpu, bytes, begun) = (cpu_of(agent)?, lab.bytes_sent()?, Instant::now());
        let mut clients = Vec::new();
        for (n, command) in commands?.iter().enumerate() {
            let mut command = lab.on_client(n + 1, command);
            clients.push(Process::start(self.stack.folder(), &format!("client-{}", n + 1), &mut command)?);
        }
        let mut troubled = if case.trouble == Trouble::None { None } else { clients.pop() };
        if case.trouble == Trouble::Dead {
            std::thread::sleep(case.third(mib));
            lab.cut(case.clients)?;
        }
        for client in &mut clients {
            let status = client.wait(LIMIT)?;
            ensure!(status.success(), "a client ended with {status}:\n{}", client.log());
        }
        let seconds = begun.elapsed().as_secs_f64();
        let sent = Sent { seconds, wire_bytes: (lab.bytes_sent()? - bytes) as f64, sender_cpu: cpu_of(agent)? - cpu };
        if let Some(client) = &mut troubled {
            if case.trouble == Trouble::Dead {
                client.kill()?;
            } else {
                let status = client.wait(4 * LIMIT)?;
                ensure!(status.success(), "the client in trouble ended with {status}:\n{}", client.log());
            }
        }
        Ok(sent)
    }

    fn machines(&self, count: usize, size: u64) -> Result<Vec<Machine>> {
        (1..=count)
            .map(|n| {
                let (name, mac) = (format!("pc-{n}"), format!("52:54:00:00:0d:{n:02x}"));
                let found = self.stack.rest.get(&format!("/fog/host/search/{mac}"))?.ok()?;
                let host = match found["hosts"][0]["id"].as_str().and_then(|id| id.parse().ok()) {
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
        group["id"].as_str().and_then(|id| id.parse().ok()).context("a group without an id")
    }

    fn clear(&self, group: u32, machines: &[Machine]) -> Result<()> {
        // A machine that was cut off leaves a task behind.
        self.stack.rest.delete(&format!("/fog/group/{group}/cancel"))?;
        self.stack.rest.delete(&format!("/fog/group/{group}/delete"))?.ok()?;
        for machine in machines {
            fs::remove_file(&machine.disk)?;
        }
        let deadline = Instant::now() + LIMIT;
        while self.stack.rest.get("/fog/task/active")?.ok()?["count"] != json!(0) {
            ensure!(Instant::now() < deadline, "tasks of the last run do not end");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// User and system seconds of a process so far (fields 14 and 15 of /proc/PID/stat, proc(5)).
fn cpu_of(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("a stat line")?.split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}
