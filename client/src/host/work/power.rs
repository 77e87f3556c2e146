//! Restarting this machine, and switching it off.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use foghorn_host_config::work::output::details;
use foghorn_rest_types::host_work::{HostPower, HostWork};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::super::child::{self, Bounds, ChildError, Keep};
use super::super::gateway::{FetchError, Gateway};
use super::WorkSettings;

/// Where `systemctl` is.
const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
/// `systemctl` only asks for it.
const LIMIT: Duration = Duration::from_secs(60);
const OUTPUT: usize = 4096;

/// Why the machine goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum PowerError {
    #[error("the gateway did not take that it is about to be done")]
    Acknowledge(#[from] FetchError),
    #[error(
        "the gateway names a power action without an id, or with one that cannot be acknowledged ({0:?})"
    )]
    Id(Option<String>),
    #[error("there is no systemctl in /usr/bin or /bin")]
    NoSystemctl,
    #[error("{} {argument} did not run", program.display())]
    Run {
        program: PathBuf,
        argument: &'static str,
        source: ChildError,
    },
    #[error("{} {argument} failed with exit code {code}: {said}", program.display())]
    Failed {
        program: PathBuf,
        argument: &'static str,
        code: i32,
        said: String,
    },
}

/// What a machine does with itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PowerCommand {
    Reboot,
    Shutdown,
}

impl PowerCommand {
    /// As `systemctl` is told.
    fn argument(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::Shutdown => "poweroff",
        }
    }
}

impl From<HostPower> for PowerCommand {
    fn from(power: HostPower) -> Self {
        match power {
            HostPower::Reboot => Self::Reboot,
            HostPower::Shutdown => Self::Shutdown,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Power<'a> {
    pub(super) settings: &'a WorkSettings,
    pub(super) gateway: &'a Gateway,
    pub(super) stop: &'a CancellationToken,
}

impl Power<'_> {
    /// Does what a power rule says, if one is due. It is acknowledged before, so that it comes once: a machine that restarts
    /// would be told to do so again.
    ///
    /// # Errors
    /// [`PowerError`]
    pub(super) fn follow(&self, work: &HostWork) -> Result<(), PowerError> {
        let Some(power) = work.power.filter(|_| work.modules.power) else {
            return Ok(());
        };
        let id = work.power_id.as_deref().filter(|id| is_part(id));
        let id = id.ok_or_else(|| PowerError::Id(work.power_id.clone()))?;
        match self.gateway.acknowledge_power(id) {
            Err(error) if error.status() == Some(404) => {
                tracing::info!(id, "a power action is not due any more");
                return Ok(());
            }
            acknowledged => acknowledged?,
        }
        foghorn_faults::point!("host.power.acknowledged");
        self.carry_out(power.into())
    }

    /// # Errors
    /// [`PowerError`]
    pub(super) fn carry_out(&self, command: PowerCommand) -> Result<(), PowerError> {
        let program = match &self.settings.power_command {
            Some(program) => program.clone(),
            None => systemctl()?,
        };
        let argument = command.argument();
        tracing::info!(argument, "as the server says");
        let mut to_run = Command::new(&program);
        to_run.arg(argument);
        let bounds = Bounds {
            limit: LIMIT,
            stop: self.stop,
        };
        let ran = match child::run(to_run, Keep::Last(OUTPUT), bounds) {
            Ok(ran) => ran,
            Err(source) => {
                return Err(PowerError::Run {
                    program,
                    argument,
                    source,
                });
            }
        };
        // It may be ended by what it has asked for.
        if ran.status.success() || self.stop.is_cancelled() {
            return Ok(());
        }
        Err(PowerError::Failed {
            program,
            argument,
            code: ran.exit_code(),
            said: details("", &ran.output),
        })
    }
}

fn systemctl() -> Result<PathBuf, PowerError> {
    let found = SYSTEMCTL
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists());
    found.map(Path::to_owned).ok_or(PowerError::NoSystemctl)
}

/// Whether it can be a part of an address.
fn is_part(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte);
    (1..=128).contains(&id.len()) && id.bytes().all(is_allowed) && id != "." && id != ".."
}
