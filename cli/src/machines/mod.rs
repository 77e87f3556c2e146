//! Machines whose disks are files here, imaged by real clients: what `foghorn demo` and
//! `foghorn selftest` have in common.

pub(crate) mod children;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use foghorn_rest_types::fog::{Host, Row};
use foghorn_rest_types::native::{BootTokenRequest, BootTokenResponse, TaskPhase};
use foghorn_telemetry::interrupt;
use foghorn_types::TaskId;

use self::children::{ChildError, Running};
use crate::api::{Api, ApiError};
use crate::human::Zone;
use crate::output::{Format, Output};
use crate::verbs::wait::{Display, status_of};

/// Why a machine was not imaged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the server stored the host {0} without its MAC address")]
    NoAddress(String),
    #[error("the path {0} is not plain text")]
    Path(PathBuf),
    #[error("{name} is not in {folder}, where this program is", folder = folder.display())]
    NoProgram { name: &'static str, folder: PathBuf },
    #[error("could not find out where this program is")]
    Here(#[source] std::io::Error),
    #[error("the task of {host} ended: {reason}")]
    Ended { host: String, reason: String },
    #[error("it was interrupted")]
    Interrupted,
    #[error("the timeout has expired{}: set a longer one with --timeout", what(waits.as_deref()))]
    Late {
        /// What a task waits for, in words.
        waits: Option<String>,
    },
}

fn what(waits: Option<&str>) -> String {
    waits.map_or_else(String::new, |waits| format!(", and {waits}"))
}

/// One running client.
pub(crate) struct Machine {
    pub(crate) host: Row<Host>,
    pub(crate) task: TaskId,
    pub(crate) disk: PathBuf,
    /// From the start of its client to its end.
    pub(crate) took: Option<Duration>,
    client: Running,
    started: Instant,
}

impl Machine {
    /// Starts the client of a host that has a task, as a machine does after booting from the network.
    /// `work` is for its log.
    pub(crate) fn start(
        api: &Api,
        host: Row<Host>,
        task: TaskId,
        disk: &Path,
        work: &Path,
    ) -> Result<Self, MachineError> {
        let started = Instant::now();
        let name = &host.view.name;
        let path = format!("/foghorn/v1/hosts/{}/boot-token", host.view.id);
        let token: BootTokenResponse =
            api.native("POST", &path, Some(&BootTokenRequest::default()))?;
        let mac = host.view.macs.first();
        let mac = mac.ok_or_else(|| MachineError::NoAddress(name.clone()))?;
        let text = |path: &Path| {
            let text = path.to_str().map(str::to_owned);
            text.ok_or_else(|| MachineError::Path(path.to_owned()))
        };
        let mut command = Command::new(program("foghorn-client")?);
        command.args([
            "run",
            "--controller",
            api.server(),
            "--mac",
            &mac.to_string(),
        ]);
        command.args(["--disk", &format!("path:{}", text(disk)?)]);
        command.args(["--report", &text(&work.join(format!("{name}.json")))?]);
        // In the environment, because every user of the machine can read a command line.
        command.env("FOGHORN_BOOT_TOKEN", &token.token);
        let client = Running::start(name, command, work)?;
        Ok(Self {
            host,
            task,
            client,
            disk: disk.to_owned(),
            started,
            took: None,
        })
    }
}

/// Another program of Foghorn, in the same folder as the running one.
fn program(name: &'static str) -> Result<PathBuf, MachineError> {
    let here = std::env::current_exe().map_err(MachineError::Here)?;
    let program = here.with_file_name(name);
    if program.is_file() {
        return Ok(program);
    }
    let folder = here.parent().unwrap_or(&here).to_owned();
    Err(MachineError::NoProgram { name, folder })
}

/// Waits until every client has succeeded and the server reports the same for every task.
pub(crate) fn watch(
    api: &Api,
    machines: &mut [Machine],
    deadline: Instant,
) -> Result<(), MachineError> {
    let mut display = Display::new(Output {
        zone: Zone::Local,
        format: Format::Table,
        quiet: false,
    });
    let tasks: Vec<TaskId> = machines.iter().map(|machine| machine.task).collect();
    let mut asked: Option<Instant> = None;
    let mut waits = None;
    loop {
        for machine in machines.iter_mut().filter(|machine| machine.took.is_none()) {
            if machine.client.check()? {
                machine.took = Some(machine.started.elapsed());
            }
        }
        let clients_done = machines.iter().all(|machine| machine.took.is_some());
        if clients_done || asked.is_none_or(|asked| asked.elapsed() >= Duration::from_secs(1)) {
            asked = Some(Instant::now());
            let statuses = status_of(api, &tasks)?;
            display.show(&statuses);
            let mut waiting = statuses.iter().filter_map(|one| one.waits_for.as_ref());
            waits = waiting.next().map(|wait| wait.sentence.clone());
            let is_bad = |phase: TaskPhase| phase.is_finished() && phase != TaskPhase::Complete;
            if let Some(bad) = statuses.iter().find(|status| is_bad(status.state)) {
                let reason = bad.reason.as_deref().unwrap_or("no reason was given");
                return Err(MachineError::Ended {
                    host: bad.host.name.clone(),
                    reason: reason.to_owned(),
                });
            }
            let all_done = statuses
                .iter()
                .all(|status| status.state == TaskPhase::Complete);
            if clients_done && all_done {
                display.end();
                return Ok(());
            }
        }
        if interrupt::asked() {
            return Err(MachineError::Interrupted);
        }
        if Instant::now() > deadline {
            return Err(MachineError::Late { waits });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
