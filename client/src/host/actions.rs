//! Remote actions: a program of the image runs once for each order, and what it says is reported if that is wanted.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use foghorn_host_config::one_shot::{
    ACTIONS_FILE, BadOneShot, ONE_SHOT_HANDLER, OneShot, actions_list, check_action,
};
use foghorn_types::chain;
use tokio_util::sync::CancellationToken;

use super::child::{self, ChildError, EndedBy, Keep};
use super::gateway::{FetchError, Gateway, TestEnd};
use super::handlers::Handlers;
use super::storage::{Storage, StorageError};

/// Most bytes of output that are kept of one action; what comes after is read and dropped.
const MOST_OUTPUT: usize = 1 << 20;
const OUTPUT_NAME: &str = "console.log";

/// What actions need. Without a gateway, as at boot, nothing is reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Actions<'a> {
    pub(super) folder: &'a Path,
    pub(super) storage: &'a Storage,
    pub(super) handlers: &'a Handlers,
    pub(super) gateway: Option<&'a Gateway>,
    pub(super) stop: &'a CancellationToken,
    /// What is ordered now was ordered of the system that was here before: it is noted as done.
    pub(super) is_newcomer: bool,
}

/// Why an action did not run, or its output was not reported.
#[derive(Debug, thiserror::Error)]
enum ActionError {
    #[error("the order cannot be carried out")]
    Order(#[source] BadOneShot),
    #[error("could not read the order {}", path.display())]
    ReadOrder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("could not tell whether it has run already")]
    Storage(#[from] StorageError),
    #[error("could not run {}", path.display())]
    Run { path: PathBuf, source: ChildError },
    #[error("could not report how it ended")]
    Report(#[source] FetchError),
}

/// How an action ended.
struct Ran {
    succeeded: bool,
    details: String,
    output: Vec<u8>,
}

impl Actions<'_> {
    /// The action that a handler stands for: ours, unless the image has a program in its place.
    pub(super) fn ordered_by<'v>(&self, argv: &'v [String]) -> Option<&'v str> {
        let [program, action] = argv else {
            return None;
        };
        let ours = self.handlers.folder.join(ONE_SHOT_HANDLER);
        let allowed = self.handlers.allowed(program);
        let is_ours = allowed.is_some_and(|program| program == ours);
        (is_ours && !ours.exists()).then_some(action.as_str())
    }

    /// Runs the action that the file orders, if it has not run for this order. What goes wrong is logged: the extraction
    /// goes on.
    pub(super) fn run(&self, action: &str, file: &Path) {
        match self.try_run(action, file) {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(action, error = %chain(&error), "the remote action failed")
            }
        }
    }

    fn try_run(&self, action: &str, file: &Path) -> Result<(), ActionError> {
        check_action(action).map_err(ActionError::Order)?;
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            // The order was withdrawn.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => {
                let path = file.to_owned();
                return Err(ActionError::ReadOrder { path, source });
            }
        };
        let order = OneShot::read(&text).map_err(ActionError::Order)?;
        let mut last = self.storage.last_actions()?;
        if last.get(action) == Some(&order.id) {
            return Ok(());
        }
        // Before it runs: one that ends this machine does not do it again at every boot.
        last.insert(action.to_owned(), order.id.clone());
        self.storage.store_last_actions(&last)?;
        foghorn_faults::point!("host.action.noted");
        if self.is_newcomer {
            tracing::info!(
                action,
                id = order.id,
                "not running a remote action that was ordered before this machine had its identity"
            );
            return Ok(());
        }
        tracing::info!(action, id = order.id, "running a remote action");
        let gateway = self.gateway.filter(|_| order.capture);
        let Some((gateway, test)) = gateway.and_then(|gateway| begin(gateway, action, &order))
        else {
            let ran = self.carry_out(action, file, false)?;
            let how = ran.details;
            tracing::info!(action, id = order.id, how, "the remote action ended");
            return Ok(());
        };
        let ran = self.carry_out(action, file, true);
        let ran = ran.unwrap_or_else(|error| Ran {
            succeeded: false,
            details: chain(&error).to_string(),
            output: Vec::new(),
        });
        let end = TestEnd {
            status: if ran.succeeded { "PASSED" } else { "FAILED" },
            details: &ran.details,
            artifact: OUTPUT_NAME,
            output: &ran.output,
        };
        gateway.end_test(&test, &end).map_err(ActionError::Report)
    }

    /// Standard output and error become one stream, in their order.
    fn carry_out(&self, action: &str, file: &Path, keep: bool) -> Result<Ran, ActionError> {
        let path = self.folder.join(action);
        let mut command = Command::new(&path);
        for (name, value) in self.handlers.environment(file) {
            command.env(name, value);
        }
        let keep = if keep {
            Keep::First(MOST_OUTPUT)
        } else {
            Keep::Nothing
        };
        let bounds = self.handlers.bounds(self.stop);
        let ran = child::run(command, keep, bounds)
            .map_err(|source| ActionError::Run { path, source })?;
        let details = match ran.by {
            EndedBy::Itself => ran.status.to_string(),
            EndedBy::TimeLimit => format!("ended at its time limit: {}", ran.status),
            EndedBy::Stop => format!("ended with this service: {}", ran.status),
        };
        Ok(Ran {
            succeeded: ran.by == EndedBy::Itself && ran.status.success(),
            details,
            output: ran.output,
        })
    }

    /// Tells the gateway which actions there are, if it was told something else before.
    ///
    /// # Errors
    /// The storage's. What the gateway does not take is logged, and told again another time.
    pub(super) fn announce(&self) -> Result<(), StorageError> {
        let Some(gateway) = self.gateway else {
            return Ok(());
        };
        let list = actions_list(programs(self.folder));
        let before = self.storage.announced()?;
        if before.as_deref().unwrap_or_default() == list {
            return Ok(());
        }
        match gateway.give(ACTIONS_FILE, &list, "the remote actions of this machine") {
            Ok(()) => self.storage.store_announced(&list),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "could not tell the gateway which remote actions there are");
                Ok(())
            }
        }
    }
}

/// Tells that an action begins. One that cannot be reported runs all the same: its order has been taken.
fn begin<'g>(gateway: &'g Gateway, action: &str, order: &OneShot) -> Option<(&'g Gateway, String)> {
    match gateway.begin_test(action, &order.id) {
        Ok(test) => Some((gateway, test)),
        Err(error) => {
            tracing::warn!(action, error = %chain(&error), "the remote action runs without a report");
            None
        }
    }
}

/// Names of the programs in a folder; none when there is no folder.
fn programs(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let programs = entries.filter(|entry| {
        let metadata = fs::metadata(entry.path());
        metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    });
    let names = programs.map(|entry| entry.file_name().into_string());
    names.filter_map(Result::ok).collect()
}
