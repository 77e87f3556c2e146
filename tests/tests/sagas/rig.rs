//! An installation whose programs are armed while they run, and that starts again what a fault has
//! killed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use foghorn_tests::disks;
use foghorn_tests::process::Process;
use foghorn_tests::rest::Answer;
use foghorn_tests::stack::{Engine, Environment, Options, PATIENCE, Stack};
use serde_json::{Value, json};

use crate::list::{Fault, apart};

/// How often a fault happens before the test lets things go well.
const IN_A_ROW: usize = 2;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Names of points.
pub(crate) type Reached = BTreeSet<String>;

pub(crate) struct Rig {
    pub(crate) stack: Stack,
    /// What may happen now.
    armed: Vec<Fault>,
    /// Lines of the record that were there when it was armed.
    before: usize,
    /// Programs that were started again.
    revived: usize,
    /// The agent that stays down for now.
    pub(crate) down: Option<usize>,
}

/// What is done with each fault: in peace what has to be there for it, then the saga itself.
pub(crate) struct Saga<C> {
    pub(crate) prepare: fn(&mut Rig, &mut C) -> Result<()>,
    pub(crate) act: fn(&mut Rig, &mut C) -> Result<()>,
}

fn orders(folder: &Path) -> PathBuf {
    folder.join("fault-orders")
}

fn record(folder: &Path) -> PathBuf {
    folder.join("fault-record")
}

/// Variables that arm a program of the installation in `folder`.
pub(crate) fn environment(folder: &Path) -> Environment {
    vec![
        ("FOGHORN_FAULTS", format!("@{}", orders(folder).display())),
        ("FOGHORN_FAULTS_LOG", record(folder).display().to_string()),
    ]
}

impl Rig {
    pub(crate) fn start(engine: Engine, options: Options) -> Result<Self> {
        let options = Options {
            environment,
            ..options
        };
        Ok(Self {
            stack: Stack::start_with(engine, &options)?,
            armed: Vec::new(),
            before: 0,
            revived: 0,
            down: None,
        })
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.stack.folder().to_owned()
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(record(self.stack.folder())).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Every point that some program has reached.
    pub(crate) fn reached(&self) -> Reached {
        let lines = self.lines().into_iter();
        lines
            .filter_map(|line| Some(line.strip_prefix("reached ")?.to_owned()))
            .collect()
    }

    /// How often the fault has happened since it was armed.
    fn happened(&self, fault: &Fault) -> usize {
        let line = format!("{} {}", fault.word(), fault.point);
        let lines = self.lines();
        lines
            .iter()
            .skip(self.before)
            .filter(|one| **one == line)
            .count()
    }

    /// How often anything has gone wrong since the last time that something was armed.
    pub(crate) fn all_that_happened(&self) -> usize {
        let wrong = self.armed.iter().filter(|fault| !fault.is_delay());
        wrong.map(|fault| self.happened(fault)).sum()
    }

    fn arm(&mut self, faults: &[Fault]) -> Result<()> {
        let orders_of = |fault: &Fault| format!("{}={}\n", fault.point, fault.action);
        self.before = self.lines().len();
        self.armed = faults.to_vec();
        let text: String = faults.iter().map(orders_of).collect();
        // Whole or not at all: programs read it at any time.
        let file = orders(self.stack.folder());
        std::fs::write(file.with_extension("next"), text)?;
        Ok(std::fs::rename(file.with_extension("next"), file)?)
    }

    pub(crate) fn disarm(&self) -> Result<()> {
        match std::fs::remove_file(orders(self.stack.folder())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Runs the saga with each fault, and once with all delays. Whatever happens, it has to end well,
    /// the fault has to have happened, and nothing may be left.
    pub(crate) fn with_each<C>(
        &mut self,
        faults: &[Fault],
        with: &mut C,
        saga: &Saga<C>,
    ) -> Result<()> {
        let (single, delays) = apart(faults);
        let mut rounds: Vec<Vec<Fault>> = single.into_iter().map(|one| vec![one]).collect();
        rounds.push(delays);
        for round in rounds {
            let name = match &round[..] {
                [one] => format!("{}={}", one.point, one.action),
                more => format!("{} points slow", more.len()),
            };
            let (began, revived) = (Instant::now(), self.revived);
            (saga.prepare)(self, with).with_context(|| format!("before {name}"))?;
            self.arm(&round)?;
            let ended = (saga.act)(self, with).and_then(|()| self.all_happened(&round));
            self.disarm()?;
            ended.with_context(|| format!("with {name}"))?;
            self.settle().with_context(|| format!("after {name}"))?;
            // Only for whoever looks on (`make sagas`): it would hide what has failed.
            if std::env::var_os("FOGHORN_SAGAS").is_some() {
                eprintln!(
                    "{name}: {} times, {} started again, {:.1} s",
                    round.first().map_or(0, |fault| self.happened(fault)),
                    self.revived - revived,
                    began.elapsed().as_secs_f64()
                );
            }
        }
        Ok(())
    }

    /// Each of the faults has happened: some do just after all that can be seen is done.
    fn all_happened(&mut self, round: &[Fault]) -> Result<()> {
        for fault in round.iter().filter(|fault| !fault.is_delay()) {
            self.until("the fault to happen", |rig| {
                Ok((rig.happened(fault) > 0).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Starts again what has died, and ends the faults when they have happened often enough.
    pub(crate) fn tend(&mut self) -> Result<()> {
        let often = |fault: &Fault| fault.is_delay() || self.happened(fault) >= IN_A_ROW;
        if self.armed.iter().any(|fault| !fault.is_delay()) && self.armed.iter().all(often) {
            self.disarm()?;
        }
        if !self.stack.controller.is_running()? {
            self.revived += 1;
            self.stack.respawn_controller()?;
        }
        for index in 0..self.stack.agents.len() {
            if self.down != Some(index) && !self.stack.agents[index].process.is_running()? {
                self.revived += 1;
                self.stack.restart_agent(index)?;
            }
        }
        ensure!(
            self.revived < 2000,
            "something dies again and again: {}",
            self.stack.controller.log()
        );
        Ok(())
    }

    /// How many programs have died so far.
    pub(crate) fn deaths(&self) -> usize {
        self.revived
    }

    /// As `until`, and tends the programs; what cannot be asked now is asked again.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        condition: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        self.until_within(PATIENCE, what, condition)
    }

    pub(crate) fn until_within<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut condition: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            self.tend()?;
            let last = match condition(self) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if Instant::now() > deadline {
                let why = last.map_or(String::new(), |error| format!(": {error:#}"));
                bail!("timeout while waiting for {what}{why}");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Asks until there is an answer that is no failure of the server.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let body = body.map(|body| body.to_string().into_bytes());
        self.until(&format!("an answer to {method} {path}"), |rig| {
            let answer = rig.stack.rest.send(method, path, body.clone())?;
            Ok((answer.status < 500).then_some(answer))
        })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        self.ask("GET", path, None)?.ok()
    }

    /// Waits for a process of the test, and returns how it ended.
    pub(crate) fn wait(&mut self, process: &mut Process) -> Result<ExitStatus> {
        let name = process.name.clone();
        self.until(&format!("the end of {name}"), |_| {
            if process.is_running()? {
                return Ok(None);
            }
            process.wait(PATIENCE).map(Some)
        })
    }

    /// Everybody is there, and nothing is left of what was.
    fn settle(&mut self) -> Result<()> {
        let names: Vec<String> = self
            .stack
            .agents
            .iter()
            .map(|agent| agent.name.clone())
            .collect();
        for name in names {
            self.until(&format!("storage node {name} to be online"), |rig| {
                Ok(rig.is_online(&name)?.then_some(()))
            })?;
        }
        self.until("no task to be left", |rig| {
            let active = rig.stack.rest.get("/fog/task/active")?.ok()?;
            ensure!(active["tasks"] == json!([]), "a task is left: {active}");
            Ok(Some(()))
        })?;
        let orphans = self.until("nothing to be unknown", |rig| {
            let found = rig.stack.rest.get("/foghorn/v1/orphans")?.ok()?;
            Ok((found["orphans"] == json!([])).then_some(()))
        });
        orphans?;
        self.until("nothing unfinished to be left", |rig| {
            rig.nothing_unfinished().map(Some)
        })
    }

    pub(crate) fn is_online(&self, name: &str) -> Result<bool> {
        let nodes = self.stack.rest.get("/fog/storagenode")?.ok()?;
        let mut rows = nodes["storagenodes"].as_array().into_iter().flatten();
        Ok(rows.any(|row| {
            let found = row["name"].as_str().unwrap_or_default();
            found.eq_ignore_ascii_case(name) && row["online"] == json!(true)
        }))
    }

    /// No file that somebody was writing, in any folder of the installation.
    fn nothing_unfinished(&self) -> Result<()> {
        let is_unfinished = |file: &PathBuf| {
            let name = file.to_string_lossy();
            [".new", ".tmp", "/.unfinished", ".damaged"]
                .iter()
                .any(|sign| name.contains(sign))
        };
        let all = disks::files(self.stack.folder())?.into_iter();
        // etcd prepares the next file of its log.
        let etcd = self.stack.folder().join("etcd");
        let ours = all.filter(|file| !file.starts_with(&etcd));
        let left: Vec<PathBuf> = ours.filter(is_unfinished).collect();
        ensure!(left.is_empty(), "unfinished files are left: {left:?}");
        Ok(())
    }
}
