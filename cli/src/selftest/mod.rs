//! `foghorn selftest`: does an installation do its work? A disk of random bytes is captured through
//! it, copied to its other storage nodes, deployed, and compared byte by byte. What the test makes
//! there it removes, however it ends.

mod disk;
mod objects;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foghorn_rest_types::fog::{Host, Row};
use foghorn_rest_types::multicast::MulticastPath;
use foghorn_rest_types::native::{
    NodeStatus, Replica, ReplicaState, ReplicationList, SilenceState, TaskStatus,
};
use foghorn_rest_types::tasks::{TaskKind, TaskRequest};
use foghorn_telemetry::interrupt;
use foghorn_types::{ByteCount, TaskId};
use serde::Serialize;

use self::objects::Objects;
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::machines::{Machine, MachineError, watch};
use crate::number::within;
use crate::verbs::Session;
use crate::verbs::order::{order, order_one, request};
use crate::verbs::wait::parse_duration;

#[derive(clap::Args, Debug)]
pub struct SelftestArgs {
    /// Size of the disk in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = within(2..=65536))]
    content: u32,
    /// Also deploy to two machines by multicast, and say whether it passes
    #[arg(long)]
    multicast: bool,
    /// Folder for the disks, instead of the system's temporary folder; needs up to four times their
    /// size
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Give up after this time, such as 90s, 30m, 2h
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    timeout: Duration,
}

/// What was found, for programs.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Findings {
    /// Of the disk.
    bytes: ByteCount,
    captured_s: f64,
    /// Storage nodes that hold the image, verified.
    nodes: Vec<String>,
    /// Storage nodes that are to hold it and have failed.
    without: Vec<String>,
    deployed_s: f64,
    /// Only where it was asked for.
    multicast: Option<Multicast>,
}

/// How the machines of a multicast session were served.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Multicast {
    passes: bool,
    /// Why it does not pass.
    reason: Option<String>,
}

/// # Errors
/// When a step fails. Nothing of the test is left in the installation, unless it says so.
pub fn run(args: &SelftestArgs, session: &Session) -> Result<Exit, Failure> {
    let deadline = Instant::now() + args.timeout;
    let api = session.api()?;
    interrupt::watch().map_err(broken)?;
    let parent = args.work_dir.clone().unwrap_or_else(std::env::temp_dir);
    let work = tempfile::Builder::new()
        .prefix("foghorn-selftest-")
        .tempdir_in(parent)
        .map_err(broken)?;
    let mut objects = Objects::new(&api).map_err(broken)?;
    let test = Test {
        api: &api,
        work: work.path(),
        deadline,
    };
    let found = test.carry_out(&mut objects, args);
    let removed = objects.remove(deadline.max(Instant::now() + REMOVED_WITHIN));
    let found = found?;
    removed?;
    session.output.show_value(&found.line(), &found)?;
    Ok(Exit::Ok)
}

/// A test that has used its time up still removes what it made.
const REMOVED_WITHIN: Duration = Duration::from_secs(30);

/// Where the image is.
struct Copies {
    on: Vec<String>,
    /// Nodes that are to hold it and have failed.
    without: Vec<String>,
}

struct Test<'a> {
    api: &'a Api,
    work: &'a Path,
    deadline: Instant,
}

impl Test<'_> {
    fn carry_out(
        &self,
        objects: &mut Objects<'_>,
        args: &SelftestArgs,
    ) -> Result<Findings, Failure> {
        let bytes = ByteCount::from_mib(args.content);
        let golden = self.work.join("captured.img");
        disk::make(&golden, bytes).map_err(broken)?;
        let image = objects.image()?;
        step(&format!("capturing a disk of {bytes} of random bytes"));
        let host = objects.host()?;
        let task = order_one(self.api, &host, &image, TaskKind::Capture)?.task;
        objects.ordered(&[task]);
        let captured = self.machine(host, task, &golden)?;
        step("waiting for the copies on the other storage nodes");
        let copies = self.copied(&format!("/foghorn/v1/replication?image={}", image.view.id))?;
        step("deploying it");
        let host = objects.host()?;
        let task = order_one(self.api, &host, &image, TaskKind::Deploy)?.task;
        objects.ordered(&[task]);
        let deployed = self.machine(host, task, &self.empty("deployed.img", bytes)?)?;
        disk::compare(&golden, &deployed.disk).map_err(broken)?;
        let multicast = if args.multicast {
            step("deploying it to two machines by multicast");
            let hosts = [objects.host()?, objects.host()?];
            let request = TaskRequest {
                hosts: Some(hosts.iter().map(|host| host.view.id).collect()),
                multicast: true,
                ..request(TaskKind::Deploy, &image)
            };
            let ordered = order(self.api, &request)?;
            let tasks: Vec<TaskId> = ordered.tasks.iter().map(|created| created.task).collect();
            objects.ordered(&tasks);
            Some(self.session(hosts, tasks, &golden, bytes)?)
        } else {
            None
        };
        Ok(Findings {
            bytes,
            captured_s: seconds(&captured),
            nodes: copies.on,
            without: copies.without,
            deployed_s: seconds(&deployed),
            multicast,
        })
    }

    fn empty(&self, name: &str, size: ByteCount) -> Result<PathBuf, Failure> {
        let path = self.work.join(name);
        disk::empty(&path, size).map_err(broken)?;
        Ok(path)
    }

    fn machine(&self, host: Row<Host>, task: TaskId, disk: &Path) -> Result<Machine, Failure> {
        let started = Machine::start(self.api, host, task, disk, self.work);
        let mut machines = [started.map_err(broken)?];
        watch(self.api, &mut machines, self.deadline).map_err(broken)?;
        let [machine] = machines;
        Ok(machine)
    }

    /// Waits until every node that is to hold the image has verified it; gives the names of these, and
    /// of those that have failed.
    fn copied(&self, path: &str) -> Result<Copies, Failure> {
        loop {
            let list: ReplicationList = self.api.get(path)?;
            let (there, late): (Vec<_>, Vec<_>) = list
                .replicas
                .iter()
                .filter(|replica| replica.wanted)
                .partition(|replica| replica.state == ReplicaState::Ready);
            let names = |replicas: &[&Replica]| -> Vec<String> {
                let names = replicas.iter().map(|replica| replica.node.name.clone());
                names.collect()
            };
            if !there.is_empty() && self.have_failed(&late)? {
                return Ok(Copies {
                    on: names(&there),
                    without: names(&late),
                });
            }
            if interrupt::asked() {
                return Err(broken(MachineError::Interrupted));
            }
            if Instant::now() > self.deadline {
                let late = late.first().map_or_else(String::new, |replica| {
                    format!(
                        "the copy on {} is not ready: {}",
                        replica.node.name, replica.reason
                    )
                });
                return Err(broken(late).advise(
                    "`foghorn replication status` shows the copies; give more time with --timeout",
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Whether all of these nodes have failed: nobody waits for them.
    fn have_failed(&self, late: &[&Replica]) -> Result<bool, Failure> {
        for replica in late {
            let path = format!("/foghorn/v1/nodes/{}", replica.node.id);
            let node: NodeStatus = self.api.get(&path)?;
            let silence = node.silent.map(|silent| silent.state);
            if silence != Some(SilenceState::Failed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn session(
        &self,
        hosts: [Row<Host>; 2],
        tasks: Vec<TaskId>,
        golden: &Path,
        bytes: ByteCount,
    ) -> Result<Multicast, Failure> {
        let mut machines = Vec::new();
        for (number, (host, task)) in hosts.into_iter().zip(tasks).enumerate() {
            let disk = self.empty(&format!("session-{number}.img"), bytes)?;
            let started = Machine::start(self.api, host, task, &disk, self.work);
            machines.push(started.map_err(broken)?);
        }
        watch(self.api, &mut machines, self.deadline).map_err(broken)?;
        let mut reason = None;
        for machine in &machines {
            disk::compare(golden, &machine.disk).map_err(broken)?;
            let path = format!("/foghorn/v1/tasks/{}", machine.task);
            let status: TaskStatus = self.api.get(&path)?;
            let by_unicast = status
                .multicast
                .filter(|how| how.path == MulticastPath::Unicast);
            if let Some(how) = by_unicast {
                let why = how
                    .reason
                    .unwrap_or_else(|| "no reason was given".to_owned());
                reason = Some(why);
            }
        }
        Ok(Multicast {
            passes: reason.is_none(),
            reason,
        })
    }
}

fn seconds(machine: &Machine) -> f64 {
    machine.took.unwrap_or_default().as_secs_f64()
}

impl Findings {
    fn line(&self) -> String {
        let mut text = format!(
            "selftest: captured {} in {:.1} s, on {} ({}), deployed in {:.1} s, every byte is the same",
            self.bytes,
            self.captured_s,
            match self.nodes.len() {
                1 => "1 storage node".to_owned(),
                number => format!("{number} storage nodes"),
            },
            self.nodes.join(", "),
            self.deployed_s
        );
        if !self.without.is_empty() {
            text.push_str(&format!(
                "; without a copy, since the agent is gone: {}",
                self.without.join(", ")
            ));
        }
        match &self.multicast {
            None => {}
            Some(Multicast { reason: None, .. }) => text.push_str("; multicast passes"),
            Some(Multicast {
                reason: Some(why), ..
            }) => {
                text.push_str(&format!(
                    "; multicast does not pass, and unicast took over: {why}"
                ));
            }
        }
        text
    }
}

fn step(text: &str) {
    eprintln!("== {text}");
}

fn broken(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Exit::Failed, "the selftest failed").caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_says_what_was_done_and_whether_multicast_passes() {
        let mut found = Findings {
            bytes: ByteCount::from_mib(64),
            captured_s: 1.25,
            nodes: vec!["north".to_owned(), "south".to_owned()],
            without: Vec::new(),
            deployed_s: 0.51,
            multicast: None,
        };
        let plain = "selftest: captured 64.0 MiB in 1.2 s, on 2 storage nodes (north, south), deployed in 0.5 s, every byte is the same";
        assert_eq!(found.line(), plain);
        found.without = vec!["west".to_owned()];
        let one_less = format!("{plain}; without a copy, since the agent is gone: west");
        assert_eq!(found.line(), one_less);
        found.without.clear();
        found.multicast = Some(Multicast {
            passes: false,
            reason: Some("no packet came".to_owned()),
        });
        assert_eq!(
            found.line(),
            format!("{plain}; multicast does not pass, and unicast took over: no packet came")
        );
    }
}
