//! Child processes. Each is stopped when the value that owns it is dropped, however this program
//! ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to shut down cleanly.
const GRACE: Duration = Duration::from_secs(25);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ChildError {
    #[error("could not start {name}")]
    Start {
        name: String,
        source: std::io::Error,
    },
    #[error("could not query the state of {name}")]
    Ask {
        name: String,
        source: std::io::Error,
    },
    #[error("{name} ended early ({status}); its last output:\n{said}")]
    Ended {
        name: String,
        status: ExitStatus,
        said: String,
    },
    #[error("{name} was not ready within {} s; its last output:\n{said}", within.as_secs())]
    NotReady {
        name: String,
        within: Duration,
        said: String,
    },
}

/// A child process and the file with its output.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Running {
    /// Starts `command`; its output is written to `NAME.log` in `folder`.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        folder: &Path,
    ) -> Result<Self, ChildError> {
        let failed = |source| ChildError::Start {
            name: name.to_owned(),
            source,
        };
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).map_err(failed)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed)?)
            .stderr(file)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            name: name.to_owned(),
            log,
            child,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, once it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, ChildError> {
        self.child.try_wait().map_err(|source| ChildError::Ask {
            name: self.name.clone(),
            source,
        })
    }

    /// # Errors
    /// When it has ended without success, with its last output.
    pub(crate) fn check(&mut self) -> Result<bool, ChildError> {
        match self.ended()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => Err(ChildError::Ended {
                name: self.name.clone(),
                status,
                said: self.last_output(),
            }),
        }
    }

    /// Waits until `ready` returns a value.
    pub(crate) fn wait_until<T>(
        &mut self,
        within: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T, ChildError> {
        let started = Instant::now();
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            if let Some(status) = self.ended()? {
                return Err(ChildError::Ended {
                    name: self.name.clone(),
                    status,
                    said: self.last_output(),
                });
            }
            if started.elapsed() > within || foghorn_telemetry::interrupt::asked() {
                return Err(ChildError::NotReady {
                    name: self.name.clone(),
                    within,
                    said: self.last_output(),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn last_output(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Lets it run on after this process has ended.
    pub(crate) fn release(self) {
        std::mem::forget(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // With the `kill` program, because the standard library can only send SIGKILL.
        let asked = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let started = Instant::now();
        while asked.as_ref().is_ok_and(ExitStatus::success) && started.elapsed() < GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Nothing more can be done about a process that cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_ends_with_its_owner_and_an_early_end_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let mut sleeper = Command::new("sleep");
        sleeper.arg("60");
        let running = Running::start("sleeper", sleeper, folder.path()).unwrap();
        let alive = PathBuf::from(format!("/proc/{}/cmdline", running.id()));
        assert!(alive.exists());
        drop(running);
        assert!(!alive.exists(), "it outlived its owner");

        let mut loud = Command::new("sh");
        loud.args(["-c", "echo no disk here; exit 4"]);
        let mut loud = Running::start("loud", loud, folder.path()).unwrap();
        let error = loud
            .wait_until(Duration::from_secs(10), || None::<()>)
            .unwrap_err()
            .to_string();
        assert!(error.contains("no disk here"), "{error}");
    }
}
