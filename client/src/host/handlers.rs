//! Running handlers: programs of the image, without a shell.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use foghorn_host_config::handler::allowed_program;

use super::RESTART;

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
}

/// What became of a handler. Whatever it is, the extraction goes on.
#[derive(Debug)]
pub(super) enum Ended {
    Well,
    Badly(ExitStatus),
    /// With the exit status 123.
    WantsRestart,
    NotAllowed,
    NotStarted(io::Error),
}

impl Handlers {
    /// The path of a program that may run; `None` when it may not.
    pub(super) fn allowed(&self, program: &str) -> Option<PathBuf> {
        let folder = self.folder.to_string_lossy();
        let below = allowed_program(program, &folder).map(PathBuf::from);
        below.or_else(|| self.all.then(|| PathBuf::from(program)))
    }

    /// Runs a handler for the file at `config_file` and waits for its end.
    pub(super) fn run(&self, argv: &[String], config_file: &Path) -> Ended {
        let Some((program, arguments)) = argv.split_first() else {
            return Ended::NotAllowed;
        };
        let Some(program) = self.allowed(program) else {
            return Ended::NotAllowed;
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        for (name, value) in self.environment(config_file) {
            command.env(name, value);
        }
        match command.status() {
            Ok(status) if status.success() => Ended::Well,
            Ok(status) if status.code() == Some(RESTART.into()) => Ended::WantsRestart,
            Ok(status) => Ended::Badly(status),
            Err(error) => Ended::NotStarted(error),
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
        }
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
        assert!(matches!(
            handlers.run(&argv, Path::new("/secrets/x")),
            Ended::Well
        ));
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
        let run = |handlers: &Handlers, program: String| handlers.run(&[program], Path::new("/x"));
        let fails = script(&handlers.folder, "fails", "exit 1");
        assert!(matches!(run(&handlers, fails), Ended::Badly(status) if status.code() == Some(1)));
        let restarts = script(&handlers.folder, "restarts", "exit 123");
        assert!(matches!(run(&handlers, restarts), Ended::WantsRestart));
        let missing = format!("{}/missing", handlers.folder.display());
        assert!(matches!(run(&handlers, missing), Ended::NotStarted(_)));
        let elsewhere = script(folder.path(), "elsewhere", "exit 0");
        assert!(matches!(
            run(&handlers, elsewhere.clone()),
            Ended::NotAllowed
        ));
        handlers.all = true;
        assert!(matches!(run(&handlers, elsewhere), Ended::Well));
    }
}
