//! The folder of a machine for what the host service reads and writes beside its identity: handlers, actions,
//! extracted files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use foghorn_tests::disks;
use foghorn_tests::tools::foghorn;
use serde_json::{Value, json};

pub(super) struct Places(PathBuf);

impl Places {
    /// With the handler of [`Places::note`].
    pub(super) fn make(folder: PathBuf) -> Result<Self> {
        for part in ["handlers", "actions"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let places = Self(folder);
        // Its argument, and whether the file is there.
        places.notes(
            "handlers/note",
            "$1 $([ -e \"$CONFIG_FILE\" ] && echo there || echo gone)",
        )?;
        Ok(places)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a program that notes this, as a shell puts it together.
    pub(super) fn notes(&self, program: &str, what: &str) -> Result<()> {
        let (path, ran) = (self.path(program), self.path("ran"));
        let text = format!("#!/bin/sh\necho \"{what}\" >> '{}'\n", ran.display());
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// The argv of a handler that notes this word.
    pub(super) fn note(&self, word: &str) -> Value {
        let program = self.path("handlers/note");
        json!([program.display().to_string(), word])
    }

    /// What programs have noted since this was asked last.
    pub(super) fn noted(&self) -> Vec<String> {
        let path = self.path("ran");
        let text = fs::read_to_string(&path).unwrap_or_default();
        // It is not there when nothing has run.
        let _removed = fs::remove_file(&path);
        text.lines().map(str::to_owned).collect()
    }

    /// A check-in, without saying where the settings are.
    pub(super) fn check_in(&self) -> Result<Command> {
        let mut command = Command::new(foghorn("foghorn-host")?);
        command
            .arg("check-in")
            .arg("--secrets-dir")
            .arg(self.path("secrets"))
            .arg("--handlers-dir")
            .arg(self.path("handlers"))
            .arg("--actions-dir")
            .arg(self.path("actions"));
        Ok(command)
    }

    /// Names and contents of the files that the configuration has brought.
    pub(super) fn files(&self) -> Result<BTreeMap<String, String>> {
        let root = self.path("secrets");
        let mut all = BTreeMap::new();
        for path in disks::files(&root)? {
            let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
            ensure!(mode == 0o640, "{} has mode {mode:o}", path.display());
            let name = path.strip_prefix(&root)?.display().to_string();
            all.insert(name, fs::read_to_string(&path)?);
        }
        Ok(all)
    }
}
