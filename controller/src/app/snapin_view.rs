//! The next snapin of a host as it is told to whoever runs it: a script of an operator, or the host itself.

use foghorn_rest_types::native::{SnapinNext, SnapinResult, SnapinRun};
use foghorn_types::SnapinId;

use super::snapin_run::{Next, SnapinOutcome};
use crate::state::classes::{Snapin, SnapinTask};

/// `url` says where the file of a snapin task is, by the ids of the task and of its snapin.
pub(crate) fn next(next: &Next, url: impl Fn(u32, SnapinId) -> String) -> SnapinNext {
    match next {
        Next::Later => SnapinNext::Wait,
        Next::Nothing => SnapinNext::Nothing,
        Next::Run(run) => {
            let (task, id, snapin) = &**run;
            let url = url(task.id, *id);
            SnapinNext::Run(Box::new(view(task, *id, snapin, url)))
        }
    }
}

fn view(task: &SnapinTask, id: SnapinId, snapin: &Snapin, url: String) -> SnapinRun {
    SnapinRun {
        snapin_task: task.id,
        snapin: id,
        name: snapin.name.clone(),
        file: snapin.file.clone(),
        args: snapin.args.clone(),
        run_with: snapin.run_with.clone(),
        run_with_args: snapin.run_with_args.clone(),
        timeout_seconds: u64::try_from(snapin.timeout).unwrap_or(0),
        hide: snapin.hide.is_yes(),
        unpack: snapin.packtype.is_yes(),
        reboot: snapin.reboot == "1",
        shutdown: snapin.shutdown.is_yes(),
        sha512: snapin.hash.clone(),
        size_bytes: u64::try_from(snapin.size).unwrap_or(0),
        url,
    }
}

impl From<SnapinResult> for SnapinOutcome {
    fn from(told: SnapinResult) -> Self {
        Self {
            exit_code: told.exit_code,
            details: told.details,
        }
    }
}
