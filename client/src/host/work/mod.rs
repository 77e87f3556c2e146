//! The work of the host that this machine is: its name, its log-ins, its inventory, its snapins, its power rules. In this
//! order, once for each round; what fails is logged and stops nothing else, and comes again in the next round.

mod inventory;
mod journal;
mod name;
mod power;
mod snapin_file;
mod snapins;
mod unpack;
mod users;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use foghorn_rest_types::host_work::HostWork;
use foghorn_rest_types::native::SnapinNext;
use foghorn_types::chain;
use tokio_util::sync::CancellationToken;

use self::power::{Power, PowerCommand};
use self::snapins::Snapins;
pub(super) use self::users::NOTE as LOGGED_IN;
use super::gateway::{FetchError, Gateway};
use super::storage::Storage;

const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";

/// How the work of the host is done.
#[derive(Clone, Debug)]
pub struct WorkSettings {
    /// The file system of this machine, which is `/` outside of tests.
    pub root: PathBuf,
    /// How long a snapin may take that does not say so itself.
    pub snapin_limit: Duration,
    /// A program that is told `reboot` or `poweroff`, instead of `systemctl`.
    pub power_command: Option<PathBuf>,
}

/// What became of a round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Worked {
    /// This machine does no work.
    SwitchedOff,
    /// Another `foghorn-host` does it.
    ByAnother,
    /// The gateway has none for this machine: it knows of no work at all, or not which host this is.
    NoHost {
        /// What it has said.
        reason: String,
    },
    Done {
        /// The host.
        host: u32,
        /// Snapins whose result was told.
        snapins: usize,
        /// Kinds of work that failed; the log says why.
        failed: Vec<&'static str>,
    },
}

/// What a round needs.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) settings: &'a WorkSettings,
    pub(super) storage: &'a Storage,
    pub(super) gateway: &'a Gateway,
    pub(super) stop: &'a CancellationToken,
}

/// How far a round has come.
#[derive(Default)]
struct Round {
    snapins: usize,
    failed: Vec<&'static str>,
}

impl Round {
    /// What failed is logged, once.
    fn note<T>(
        &mut self,
        what: &'static str,
        done: Result<T, impl std::error::Error + 'static>,
    ) -> Option<T> {
        match done {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::error!(what, error = %chain(&error), "could not do the work of the host");
                self.failed.push(what);
                None
            }
        }
    }
}

impl Work<'_> {
    /// # Errors
    /// When it is not known what there is to do.
    pub(super) fn carry_out(&self) -> Result<Worked, FetchError> {
        let work = match self.gateway.work() {
            Ok(work) => work,
            Err(FetchError::Status {
                status: 404 | 409,
                reason,
                ..
            }) => {
                let reason = message(reason);
                return Ok(Worked::NoHost { reason });
            }
            Err(error) => return Err(error),
        };
        let mut round = Round::default();
        let host = work.host.get();
        let root = &self.settings.root;
        let boot = self.boot();
        if let Some(name) = &work.host_name {
            round.note("host name", name::take(root, name));
        }
        let users = if work.modules.users {
            users::tell(self.storage, self.gateway, root, &boot)
        } else {
            users::forget(self.storage)
        };
        round.note("log-ins", users);
        if work.modules.inventory {
            let told = inventory::tell(self.storage, self.gateway, root, host);
            round.note("inventory", told);
        }
        self.snapins_and_power(work, &boot, &mut round);
        Ok(Worked::Done {
            host,
            snapins: round.snapins,
            failed: round.failed,
        })
    }

    /// Which start of the machine it is; empty where the kernel does not say.
    fn boot(&self) -> String {
        let read = fs::read_to_string(self.settings.root.join(BOOT_ID));
        read.unwrap_or_default().trim().to_owned()
    }

    fn snapins_and_power(&self, mut work: HostWork, boot: &str, round: &mut Round) {
        let power = Power {
            settings: self.settings,
            gateway: self.gateway,
            stop: self.stop,
        };
        if work.modules.snapins {
            match self.snapins(work, boot, round) {
                Next::Power(command) => {
                    round.note("power", power.carry_out(command));
                    return;
                }
                // A snapin takes its time: what was due before it may not be so any more.
                Next::Rules(newest) => work = *newest,
                Next::Nothing => return,
            }
        }
        if !self.stop.is_cancelled() {
            round.note("power", power.follow(&work));
        }
    }

    /// Runs snapins as long as there are some.
    fn snapins(&self, mut work: HostWork, boot: &str, round: &mut Round) -> Next {
        let snapins = Snapins {
            settings: self.settings,
            storage: self.storage,
            gateway: self.gateway,
            stop: self.stop,
            boot,
        };
        // What an earlier process has left comes first: it is not known to be told.
        let Some(left) = round.note("snapins", snapins.settle()) else {
            return Next::Rules(Box::new(work));
        };
        // Whoever is asked next may be another controller, which has not seen yet what this one was told.
        let mut last = left.as_ref().map(|told| told.task);
        if let Some(told) = left {
            if let Some(command) = told.after {
                return Next::Power(command);
            }
            // What there was to do before still had that snapin.
            let Some(newest) = round.note("snapins", self.gateway.work()) else {
                return Next::Nothing;
            };
            work = newest;
        }
        while let SnapinNext::Run(run) = &work.snapin {
            if last == Some(run.snapin_task) {
                tracing::warn!(
                    task = run.snapin_task,
                    "the gateway gives a snapin again whose result it has taken; left for later"
                );
                break;
            }
            let Some(after) = round.note("snapins", snapins.run(run)) else {
                break;
            };
            round.snapins += 1;
            last = Some(run.snapin_task);
            if let Some(command) = after {
                return Next::Power(command);
            }
            let Some(newest) = round.note("snapins", self.gateway.work()) else {
                return Next::Nothing;
            };
            work = newest;
        }
        Next::Rules(Box::new(work))
    }
}

/// What a refusal says to people, if it is one of ours.
fn message(reason: String) -> String {
    let body: Option<serde_json::Value> = serde_json::from_str(&reason).ok();
    let said = body.and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
    said.unwrap_or(reason)
}

/// What comes after the snapins.
enum Next {
    /// A snapin wants it.
    Power(PowerCommand),
    /// What the rules say.
    Rules(Box<HostWork>),
    Nothing,
}
