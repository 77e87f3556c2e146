//! Child processes with an owner: each has a log file, is stopped by its id, and never outlives its
//! test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

/// A running child. Dropping it kills it.
pub struct Process {
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in `folder/name.log`; a name used twice appends.
    pub fn start(folder: &Path, name: &str, command: &mut Command) -> Result<Self> {
        Self::start_reading(folder, name, command, Stdio::null())
    }

    /// The same with something to read; [`Process::input`] is the other end of a pipe.
    pub fn start_reading(
        folder: &Path,
        name: &str,
        command: &mut Command,
        input: Stdio,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(input)
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Where to write what the process reads, once.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process without a clean shutdown, as a power failure would.
    pub fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .with_context(|| format!("could not kill {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to stop (SIGTERM) and waits for it.
    pub fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        self.wait(within)
    }

    /// Sends a signal and does not wait.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let id = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(id, signal)?)
    }

    /// Waits for the end of the process. If it takes longer, the process is killed, which is an
    /// error.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                self.kill()?;
                bail!(
                    "{} did not end within {within:?}:\n{}",
                    self.name,
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The output of the process so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The file with the output.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// Seconds of processors that it has used so far (fields 14 and 15 of /proc/PID/stat, proc(5)).
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |place: usize| -> Result<f64> {
            let field = fields.get(place).context("a stat line has more fields")?;
            Ok(field.parse()?)
        };
        Ok((ticks(11)? + ticks(12)?) / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Highest resident memory so far, in KiB.
    #[must_use]
    pub fn peak_memory_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Nothing can be done about a failure here, and the parent of the child is about to end
            // anyway.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!(
                "==== log of {} ====\n{}",
                self.name,
                tail(&self.log(), 8000)
            );
        }
    }
}

fn tail(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// As [`until`], and fails at once when `process` ends, with what it printed.
pub fn until_answer<T>(
    process: &mut Process,
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let result = until(what, within, || {
        if let Some(status) = process.child.try_wait()? {
            bail!("{} ended with {status}", process.name);
        }
        condition()
    });
    result.map_err(|error| {
        anyhow!(
            "{error:#}\n==== log of {} ====\n{}",
            process.name,
            tail(&process.log(), 8000)
        )
    })
}

/// Waits until `condition` returns a value; the error names what was waited for.
pub fn until<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition().with_context(|| format!("while waiting for {what}"))? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("timeout after {within:?} while waiting for {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_program_that_has_ended() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo the port is taken; exit 3"]);
        let mut process = Process::start(folder.path(), "busy", &mut command)?;
        let forever = Duration::from_secs(3600);
        let waited = until_answer(&mut process, "an answer", forever, || Ok(None::<()>));
        let error = waited.err().context("it never answers")?.to_string();
        for part in [
            "an answer",
            "busy ended with exit status: 3",
            "the port is taken",
        ] {
            assert!(error.contains(part), "{error}");
        }
        Ok(())
    }
}
