//! Running snapins. Each one runs once: what has begun is noted before it begins, how it ended before that is told, and the next
//! one begins when it was taken.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use foghorn_host_config::work::command::{Snapin, of_archive, of_file};
use foghorn_host_config::work::output::details;
use foghorn_rest_types::native::{SnapinResult, SnapinRun};
use foghorn_types::chain;
use tokio_util::sync::CancellationToken;

use super::super::child::{self, Bounds, ChildError, EndedBy, Keep};
use super::super::gateway::{FetchError, Gateway};
use super::super::storage::{Storage, StorageError};
use super::WorkSettings;
use super::journal::{self, End, Entry, NOT_RUN};
use super::power::PowerCommand;
use super::snapin_file::{self, FileError, Folder, UnfitError};
use super::unpack::{UnpackError, unpack};

/// Each snapin has a folder of its own below this one.
const FOLDER: &str = "snapins";
/// What an archive is unpacked to, in its folder.
const UNPACKED: &str = "unpacked";
/// What the last snapin has said, for people.
const OUTPUT: &str = "last-snapin-output";
/// As much of it is kept.
const MOST_OUTPUT: usize = 64 << 10;
/// All that a snapin finds in its environment, beside who it is.
const ENVIRONMENT: [(&str, &str); 3] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
];

/// Why a snapin is not told to have ended; it is in the next round.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapinError {
    #[error("could not fetch the file of the snapin {name} (task {task})")]
    File {
        task: u32,
        name: String,
        source: FetchError,
    },
    #[error(
        "the gateway did not take the result of the snapin {name} (task {task}); no other one runs before"
    )]
    Report {
        task: u32,
        name: String,
        source: FetchError,
    },
    #[error("could not note what became of a snapin")]
    Storage(#[from] StorageError),
    #[error(
        "the snapin {name} (task {task}) was ended with this service; this is told at its next start"
    )]
    Stopped { task: u32, name: String },
}

/// What running snapins needs.
#[derive(Clone, Copy)]
pub(super) struct Snapins<'a> {
    pub(super) settings: &'a WorkSettings,
    pub(super) storage: &'a Storage,
    pub(super) gateway: &'a Gateway,
    pub(super) stop: &'a CancellationToken,
    /// Which start of the machine it is.
    pub(super) boot: &'a str,
}

/// The end of a snapin was told.
pub(super) struct Told {
    pub(super) task: u32,
    pub(super) after: Option<PowerCommand>,
}

/// What is ready to run.
struct Ready {
    argv: Vec<String>,
    /// Where it runs.
    place: PathBuf,
    /// Removed behind it.
    _folder: Folder,
}

impl Snapins<'_> {
    /// Tells how a snapin ended that an earlier process has left, if there is one. What that snapin wants of the machine.
    ///
    /// # Errors
    /// [`SnapinError`]
    pub(super) fn settle(&self) -> Result<Option<Told>, SnapinError> {
        let folder = self.storage.folder().join(FOLDER);
        if let Err(error) = snapin_file::remove(&folder) {
            tracing::warn!(path = %folder.display(), %error, "could not remove what a snapin has left");
        }
        match journal::read(self.storage)? {
            Some(entry) => {
                let after = self.tell(&entry)?;
                let task = entry.task;
                Ok(Some(Told { task, after }))
            }
            None => Ok(None),
        }
    }

    /// Runs a snapin, and tells how it ended. What it wants of the machine then.
    ///
    /// # Errors
    /// [`SnapinError`]
    pub(super) fn run(&self, run: &SnapinRun) -> Result<Option<PowerCommand>, SnapinError> {
        let (task, name) = (run.snapin_task, run.name.clone());
        let mut entry = Entry {
            task,
            name,
            boot: self.boot.to_owned(),
            ended: None,
            after: None,
        };
        match self.prepare(run) {
            Ok(ready) => {
                journal::write(self.storage, &entry)?;
                foghorn_faults::point!("host.snapin.begun");
                tracing::info!(task, name = entry.name, argv = ?ready.argv, "running a snapin");
                let Some(end) = self.carry_out(run, &ready) else {
                    let name = entry.name;
                    return Err(SnapinError::Stopped { task, name });
                };
                entry.after = after(run).filter(|_| end.exit_code != NOT_RUN);
                entry.ended = Some(end);
            }
            Err(FileError::Unfit(error)) => entry.ended = Some(not_run(&error)),
            Err(FileError::Fetch(source)) => {
                let name = entry.name;
                return Err(SnapinError::File { task, name, source });
            }
        }
        journal::write(self.storage, &entry)?;
        foghorn_faults::point!("host.snapin.ended");
        self.tell(&entry)
    }

    /// The file, verified, and the command line.
    fn prepare(&self, run: &SnapinRun) -> Result<Ready, FileError> {
        let path = self.storage.folder().join(FOLDER);
        let folder = Folder::make(path.join(run.snapin_task.to_string()))?;
        let file = snapin_file::fetch(run, &folder, self.gateway, self.stop)?;
        let snapin = Snapin {
            run_with: &run.run_with,
            run_with_args: &run.run_with_args,
            args: &run.args,
        };
        let (argv, place) = if run.unpack {
            let to = folder.path().join(UNPACKED);
            // The file itself may have this name.
            let to = if to == file {
                to.with_extension("d")
            } else {
                to
            };
            unpack(&file, &to, self.bounds(run)).map_err(not_unpacked)?;
            let mut argv = of_archive(&snapin, &to.to_string_lossy()).map_err(UnfitError::from)?;
            // A program of the archive, named as it lies there.
            let inside = argv.first().map(|program| to.join(program));
            if let (Some(inside), Some(program)) = (inside, argv.first_mut())
                && !Path::new(program.as_str()).is_absolute()
                && inside.is_file()
            {
                *program = inside.to_string_lossy().into_owned();
            }
            (argv, to)
        } else {
            let argv = of_file(&snapin, &file.to_string_lossy()).map_err(UnfitError::from)?;
            (argv, folder.path().to_owned())
        };
        Ok(Ready {
            argv,
            place,
            _folder: folder,
        })
    }

    /// `None` when this service was told to stop meanwhile.
    fn carry_out(&self, run: &SnapinRun, ready: &Ready) -> Option<End> {
        let (program, arguments) = ready.argv.split_first()?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&ready.place);
        command.env_clear().envs(ENVIRONMENT);
        command.env("FOGHORN_SNAPIN", &run.name);
        command.env("FOGHORN_SNAPIN_TASK", run.snapin_task.to_string());
        let bounds = self.bounds(run);
        let ran = match child::run(command, Keep::Last(MOST_OUTPUT), bounds) {
            Ok(ran) => ran,
            Err(ChildError::Stopped) => return None,
            Err(error) => return Some(not_run(&error)),
        };
        if let Err(error) = self.storage.store_output(OUTPUT, &ran.output) {
            tracing::warn!(error = %chain(&error), "could not keep what a snapin has said");
        }
        let why = match ran.by {
            EndedBy::Stop => return None,
            EndedBy::Itself => String::new(),
            EndedBy::TimeLimit => {
                let seconds = bounds.limit.as_secs();
                format!("ended at its time limit of {seconds} seconds")
            }
        };
        Some(End {
            exit_code: ran.exit_code(),
            details: details(&why, &ran.output),
        })
    }

    fn bounds(&self, run: &SnapinRun) -> Bounds<'_> {
        let limit = match run.timeout_seconds {
            0 => self.settings.snapin_limit,
            seconds => Duration::from_secs(seconds),
        };
        Bounds {
            limit,
            stop: self.stop,
        }
    }

    /// Tells how a snapin ended, and forgets it when that was taken. What it wants of the machine.
    fn tell(&self, entry: &Entry) -> Result<Option<PowerCommand>, SnapinError> {
        let (task, name) = (entry.task, entry.name.as_str());
        let End { exit_code, details } = entry.end();
        tracing::info!(task, name, exit_code, details, "a snapin ended");
        let result = SnapinResult { exit_code, details };
        match self.gateway.snapin_ended(task, &result) {
            Ok(()) => {}
            Err(error) if error.status() == Some(404) => {
                tracing::warn!(task, name, error = %chain(&error), "the server does not want the result of a snapin any more");
            }
            Err(source) => {
                let name = name.to_owned();
                return Err(SnapinError::Report { task, name, source });
            }
        }
        foghorn_faults::point!("host.snapin.reported");
        journal::forget(self.storage)?;
        Ok(entry.still_wanted(self.boot))
    }
}

/// To be told to stop is no reason not to run it another time.
fn not_unpacked(error: UnpackError) -> FileError {
    match error {
        UnpackError::Tar(ChildError::Stopped) => FetchError::Stopped.into(),
        error => UnfitError::from(error).into(),
    }
}

fn not_run(error: &(dyn std::error::Error + 'static)) -> End {
    End {
        exit_code: NOT_RUN,
        details: details(&format!("it did not run: {}", chain(error)), b""),
    }
}

/// What a snapin wants once it has run, whatever its exit code is.
fn after(run: &SnapinRun) -> Option<PowerCommand> {
    if run.shutdown {
        Some(PowerCommand::Shutdown)
    } else if run.reboot {
        Some(PowerCommand::Reboot)
    } else {
        None
    }
}
