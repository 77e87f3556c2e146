//! One program of the installation on its machine: started, killed, halted, started again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use foghorn_tests::lab::Lab;
use foghorn_tests::process::Process;
use rustix::process::{Pid, Signal, kill_process};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Etcd,
    Controller,
    Agent,
}

/// What is started, and where.
pub(crate) struct Part {
    pub name: String,
    pub kind: Kind,
    /// The client of the lab that is its machine.
    pub machine: usize,
    /// Moves its clock.
    pub clock: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    process: Option<Process>,
    started: Instant,
}

/// How a program ended that nobody had ended.
pub(crate) struct Fall {
    pub said: String,
    /// It had just been started and did not find what it needs, and said so: its supervisor starts it
    /// again.
    pub at_start: bool,
}

/// A start takes no longer.
const START: Duration = Duration::from_secs(20);
/// Of what it said.
const MOST: usize = 400;

impl Part {
    pub(crate) fn new(
        kind: Kind,
        number: usize,
        machine: usize,
        program: PathBuf,
        arguments: Vec<String>,
        folder: &Path,
    ) -> Self {
        let name = format!("{}{number}", format!("{kind:?}").to_lowercase());
        Self {
            clock: folder.join(format!("{name}.clock")),
            name,
            kind,
            machine,
            program,
            arguments,
            environment: Vec::new(),
            process: None,
            started: Instant::now(),
        }
    }

    /// With a clock that can be moved.
    pub(crate) fn with_clock(mut self, library: &Path) -> Self {
        let begins = "foghorn-";
        self.environment = foghorn_tests::wrong_clock::environment(library, &self.clock, begins);
        self
    }

    pub(crate) fn start(&mut self, lab: &Lab, folder: &Path) -> Result<()> {
        foghorn_tests::wrong_clock::move_by(&self.clock, 0)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut command = lab.on_client(self.machine, &command);
        self.process = Some(Process::start(folder, &self.name, &mut command)?);
        self.started = Instant::now();
        Ok(())
    }

    fn running(&self) -> Result<&Process> {
        let process = self.process.as_ref();
        process.with_context(|| format!("{} does not run", self.name))
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.running()?.id())?;
        let id = Pid::from_raw(id).context("a process id")?;
        Ok(kill_process(id, signal)?)
    }

    /// As a power failure would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        process.kill()
    }

    pub(crate) fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Whether it has ended although nobody ended it.
    pub(crate) fn has_fallen(&mut self) -> Option<Fall> {
        let process = self.process.as_mut()?;
        if process.is_running().unwrap_or(false) {
            return None;
        }
        let log = process.log();
        self.process = None;
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(6)..].join(" | ");
        let is_refusal = last.contains("error: ") && !last.contains("panicked");
        Some(Fall {
            at_start: is_refusal && self.started.elapsed() < START,
            said: format!(
                "{} ended by itself: {}",
                self.name,
                last.chars().take(MOST).collect::<String>()
            ),
        })
    }

    /// Sockets for UDP on its machine, and open files of it.
    pub(crate) fn holds(&self) -> Result<Held> {
        let id = self.running()?.id();
        let count = |path: String| std::fs::read_dir(path).map(Iterator::count).unwrap_or(0);
        let udp = |file: &str| {
            let text = std::fs::read_to_string(format!("/proc/{id}/net/{file}"));
            text.unwrap_or_default().lines().skip(1).count()
        };
        Ok(Held {
            udp: udp("udp") + udp("udp6"),
            files: count(format!("/proc/{id}/fd")),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub udp: usize,
    pub files: usize,
}
