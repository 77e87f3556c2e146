//! Running handlers: programs of the image, without a shell, and for a bounded time.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use foghorn_host_config::handler::allowed_program;
use tokio_util::sync::CancellationToken;

use super::RESTART;
use super::child::{self, Bounds, ChildError, EndedBy, Keep};

/// What handlers may be, and what they are told.
#[derive(Clone, Debug)]
pub(super) struct Handlers {
    pub(super) folder: PathBuf,
    /// Programs elsewhere run too.
    pub(super) all: bool,
    pub(super) storage: PathBuf,
    /// The search path of settings, with commas.
    pub(super) search: String,
    /// This program, so that handlers can ask it for something.
    pub(super) program: PathBuf,
    /// How long one may take.
    pub(super) limit: Duration,
}

/// What became of a handler. Whatever it is, the extraction goes on, except when this service was told to stop.
#[derive(Debug)]
pub(super) enum Ended {
    Well,
    Badly(ExitStatus),
    /// With the exit status 123.
    WantsRestart,
    NotAllowed,
    /// Its process group was ended at the time limit.
    TimedOut,
    NotKnown(ChildError),
    /// It did not run to its end because this service has to: it runs again.
    Stopped,
}

impl Handlers {
    /// The path of a program that may run; `None` when it may not.
    pub(super) fn allowed(&self, program: &str) -> Option<PathBuf> {
        let folder = self.folder.to_string_lossy();
        let below = allowed_program(program, &folder).map(PathBuf::from);
        below.or_else(|| self.all.then(|| PathBuf::from(program)))
    }

    /// Runs a handler for the file at `config_file` and waits for its end.
    pub(super) fn run(
        &self,
        argv: &[String],
        config_file: &Path,
        stop: &CancellationToken,
    ) -> Ended {
        let Some((program, arguments)) = argv.split_first() else {
            return Ended::NotAllowed;
        };
        let Some(program) = self.allowed(program) else {
            return Ended::NotAllowed;
        };
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, value) in self.environment(config_file) {
            command.env(name, value);
        }
        let ran = match child::run(command, Keep::Nothing, self.bounds(stop)) {
            Ok(ran) => ran,
            Err(ChildError::Stopped) => return Ended::Stopped,
            Err(error) => return Ended::NotKnown(error),
        };
        match ran.by {
            EndedBy::Stop => Ended::Stopped,
            EndedBy::TimeLimit => Ended::TimedOut,
            EndedBy::Itself if ran.status.success() => Ended::Well,
            EndedBy::Itself if ran.status.code() == Some(RESTART.into()) => Ended::WantsRestart,
            EndedBy::Itself => Ended::Badly(ran.status),
        }
    }

    /// What bounds a handler, and an action in the place of one.
    pub(super) fn bounds<'s>(&self, stop: &'s CancellationToken) -> Bounds<'s> {
        Bounds {
            limit: self.limit,
            stop,
        }
    }

    /// What is added to the environment of this process.
    pub(super) fn environment<'a>(
        &'a self,
        config_file: &'a Path,
    ) -> [(&'static str, &'a OsStr); 4] {
        [
            ("CONFIG_FILE", config_file.as_os_str()),
            ("STORAGE_DIR", self.storage.as_os_str()),
            ("SOTA_DIR", OsStr::new(&self.search)),
            ("FIOCONFIG_BIN", self.program.as_os_str()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(folder: &Path, name: &str, text: &str) -> String {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn handlers(folder: &Path) -> Handlers {
        Handlers {
            folder: folder.join("handlers"),
            all: false,
            storage: folder.to_owned(),
            search: "/a,/b".to_owned(),
            program: "/usr/bin/foghorn-host".into(),
            limit: Duration::from_secs(60),
        }
    }

    fn run(handlers: &Handlers, argv: &[String], file: &str) -> Ended {
        handlers.run(argv, Path::new(file), &CancellationToken::new())
    }

    #[test]
    fn a_handler_is_told_where_things_are_and_gets_its_arguments_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let handlers = handlers(folder.path());
        fs::create_dir(&handlers.folder).unwrap();
        let out = folder.path().join("out");
        let text = format!(
            "printf '%s|' \"$1\" \"$2\" \"$CONFIG_FILE\" \"$STORAGE_DIR\" \"$SOTA_DIR\" \"$FIOCONFIG_BIN\" > {}",
            out.display()
        );
        let program = script(&handlers.folder, "tell", &text);
        let argv = [program, "two words; $(id)".to_owned(), String::new()];
        let ended = run(&handlers, &argv, "/secrets/x");
        assert!(matches!(ended, Ended::Well), "{ended:?}");
        let wanted = format!(
            "two words; $(id)||/secrets/x|{}|/a,/b|/usr/bin/foghorn-host|",
            folder.path().display()
        );
        assert_eq!(fs::read_to_string(out).unwrap(), wanted);
    }

    #[test]
    fn ends_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut handlers = handlers(folder.path());
        fs::create_dir(&handlers.folder).unwrap();
        let run = |handlers: &Handlers, program: String| run(handlers, &[program], "/x");
        let fails = script(&handlers.folder, "fails", "exit 1");
        assert!(matches!(run(&handlers, fails), Ended::Badly(status) if status.code() == Some(1)));
        let restarts = script(&handlers.folder, "restarts", "exit 123");
        assert!(matches!(run(&handlers, restarts), Ended::WantsRestart));
        let missing = format!("{}/missing", handlers.folder.display());
        assert!(matches!(run(&handlers, missing), Ended::NotKnown(_)));
        let elsewhere = script(folder.path(), "elsewhere", "exit 0");
        assert!(matches!(
            run(&handlers, elsewhere.clone()),
            Ended::NotAllowed
        ));
        handlers.all = true;
        assert!(matches!(run(&handlers, elsewhere), Ended::Well));
    }
    #[test]
    fn one_that_hangs_is_ended_with_what_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let mut handlers = handlers(folder.path());
        fs::create_dir(&handlers.folder).unwrap();
        handlers.limit = Duration::from_millis(100);
        let hangs = script(&handlers.folder, "hangs", "sleep 1000 & wait");
        let ended = run(&handlers, &[hangs], "/x");
        assert!(matches!(ended, Ended::TimedOut), "{ended:?}");
        let stop = CancellationToken::new();
        stop.cancel();
        let never = script(&handlers.folder, "never", "exit 0");
        let ended = handlers.run(&[never], Path::new("/x"), &stop);
        assert!(matches!(ended, Ended::Stopped), "{ended:?}");
    }
}
