//! An installation with an image, machines to deploy it to, and multicast sessions over REST.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::lab::Lab;
use foghorn_tests::process::{Process, until};
use foghorn_tests::stack::{PATIENCE, Stack};
use serde_json::{Value, json};

pub(crate) struct Room {
    pub(crate) stack: Stack,
    source: PathBuf,
    image: u32,
    runs: u32,
}

/// A machine with a blank disk.
pub(crate) struct Machine {
    number: usize,
    host: u32,
    mac: String,
    disk: PathBuf,
    client: Option<Process>,
    report: PathBuf,
}

/// What a client wrote about its run.
#[derive(Debug)]
pub(crate) struct Report(Value);

impl Report {
    /// 0 when it is absent.
    pub(crate) fn number(&self, field: &str) -> u64 {
        self.0[field].as_u64().unwrap_or(0)
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }
}

impl Room {
    /// Captures an image of `mib` MiB that nothing compresses.
    pub(crate) fn new(stack: Stack, mib: u64) -> Result<Self> {
        let source = stack.folder().join("golden");
        let mut bytes = vec![0; usize::try_from(mib * MIB)?];
        disks::fill_random(&mut bytes, 7);
        fs::write(&source, bytes)?;
        let (_, image) = stack.capture("golden", "52:54:00:00:0e:ff", &source)?;
        Ok(Self {
            stack,
            source,
            image,
            runs: 0,
        })
    }

    /// Waits until the node has a whole copy of the image.
    pub(crate) fn wait_ready(&self, node: &str) -> Result<()> {
        let path = format!("/foghorn/v1/replication?image={}", self.image);
        until(&format!("a copy on {node}"), PATIENCE, || {
            let list = self.stack.rest.get(&path)?.ok()?;
            let mut replicas = list["replicas"].as_array().into_iter().flatten();
            let is_so = |one: &Value| one["node"]["name"] == node && one["state"] == "ready";
            Ok(replicas.any(is_so).then_some(()))
        })
    }

    pub(crate) fn machine(&self, number: usize) -> Result<Machine> {
        let (name, mac) = (
            format!("pc-{number}"),
            format!("52:54:00:00:0e:{number:02x}"),
        );
        let host = self.stack.create_host(&name, &mac)?;
        self.stack.assign(host, self.image)?;
        let disk = self.stack.folder().join(format!("disk-{number}"));
        disks::blank(&disk, self.source.metadata()?.len())?;
        let report = self.stack.folder().join(format!("report-{number}.json"));
        Ok(Machine {
            number,
            host,
            mac,
            disk,
            client: None,
            report,
        })
    }

    /// Puts on the machine's disk what an earlier version of the image would have: it differs in so
    /// many places.
    pub(crate) fn write_earlier_image(&self, machine: &Machine, places: u64) -> Result<()> {
        fs::copy(&self.source, &machine.disk)?;
        let disk = File::options().write(true).open(&machine.disk)?;
        let step = disk.metadata()?.len() / MIB / (places + 1);
        (1..=places).try_for_each(|place| {
            Ok(disk.write_all_at(b"an earlier version", place * step * MIB + 4096)?)
        })
    }

    /// Machines 1 to `count`.
    pub(crate) fn machines(&self, count: usize) -> Result<Vec<Machine>> {
        (1..=count).map(|number| self.machine(number)).collect()
    }

    /// A session for these machines; `more` are further members of the request. Gives its number.
    pub(crate) fn session(&mut self, machines: &[Machine], more: Value) -> Result<u64> {
        self.session_with(machines, more, &[])
    }

    /// The same with headers.
    pub(crate) fn session_with(
        &mut self,
        machines: &[Machine],
        more: Value,
        headers: &[(&str, &str)],
    ) -> Result<u64> {
        self.runs += 1;
        let hosts: Vec<u32> = machines.iter().map(|machine| machine.host).collect();
        let mut body = json!({ "name": format!("run {}", self.runs), "hosts": hosts });
        for (field, value) in more.as_object().context("further members")? {
            body[field] = value.clone();
        }
        let made = self
            .stack
            .rest
            .send_with(
                "POST",
                "/foghorn/v1/multicast-sessions",
                Some(serde_json::to_vec(&body)?),
                headers,
            )?
            .ok()?;
        made["sessions"][0]
            .as_u64()
            .with_context(|| format!("no session in {made}"))
    }

    /// Starts the machine's client, in a lab on the client's place there.
    pub(crate) fn start(&self, machine: &mut Machine, lab: Option<&Lab>) -> Result<()> {
        let mut command: Command =
            self.stack
                .client_command(machine.host, &machine.mac, &machine.disk)?;
        command.arg("--report").arg(&machine.report);
        if let Some(lab) = lab {
            command = lab.on_client(machine.number, &command);
        }
        let name = format!("client-{}", machine.number);
        machine.client = Some(Process::start(self.stack.folder(), &name, &mut command)?);
        Ok(())
    }

    /// Waits for the machine's client; its disk must hold the image.
    pub(crate) fn finish(&self, machine: &mut Machine, within: Duration) -> Result<Report> {
        let client = machine.client.as_mut().context("the client was started")?;
        let status = client.wait(within)?;
        ensure!(
            status.success(),
            "client {} ended with {status}:\n{}",
            machine.number,
            client.log()
        );
        ensure!(
            disks::same(&machine.disk, &self.source)?,
            "disk {} differs from the image",
            machine.number
        );
        Ok(Report(serde_json::from_slice(&fs::read(&machine.report)?)?))
    }

    /// Waits for the machine's client, which must fail and leave a disk that does not hold the
    /// image; gives its log.
    pub(crate) fn fail(&self, machine: &mut Machine) -> Result<String> {
        let client = machine.client.as_mut().context("the client was started")?;
        let status = client.wait(PATIENCE)?;
        ensure!(
            status.code() == Some(1),
            "client {} ended with {status}:\n{}",
            machine.number,
            client.log()
        );
        ensure!(
            !disks::same(&machine.disk, &self.source)?,
            "disk {} contains the image although the client failed",
            machine.number
        );
        Ok(client.log())
    }

    pub(crate) fn status(&self, session: u64) -> Result<Value> {
        self.stack
            .rest
            .get(&format!("/foghorn/v1/multicast-sessions/{session}"))?
            .ok()
    }

    /// Waits until the session has ended, and gives its status.
    pub(crate) fn ended(&self, session: u64) -> Result<Value> {
        until("the end of the session", PATIENCE, || {
            let status = self.status(session)?;
            let phase = status["summary"]["phase"].as_str().unwrap_or_default();
            Ok(["complete", "cancelled"].contains(&phase).then_some(status))
        })
    }

    /// Waits until machines have this much of the image.
    pub(crate) fn reached(&self, session: u64, machine: &Machine, percent: u64) -> Result<()> {
        until(
            &format!("{percent} % at machine {}", machine.number),
            PATIENCE,
            || {
                let status = self.status(session)?;
                let rows = status["receivers"].as_array().context("receivers")?;
                let row = rows
                    .iter()
                    .find(|row| row["host"]["id"] == json!(machine.host))
                    .context("a row for the host")?;
                Ok((row["percent"].as_u64().unwrap_or(0) >= percent).then_some(()))
            },
        )
    }
}

impl Machine {
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.client
            .as_mut()
            .context("the client was started")?
            .kill()
    }

    pub(crate) fn disk(&self) -> &Path {
        &self.disk
    }

    pub(crate) fn log(&self) -> String {
        self.client.as_ref().map(Process::log).unwrap_or_default()
    }
}
