//! A machine in a folder: its identity, its handlers, and what they did.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use foghorn_client::host::{CheckedIn, HostError, Service, Settings, WorkSettings, Worked};
use foghorn_host_config::ecies::{DeviceKey, Randomness};
use foghorn_types::Timestamp;
use tokio_util::sync::CancellationToken;

use super::gateway::{Authority, Gateway, write_identity};

pub(super) struct Machine {
    pub(super) folder: tempfile::TempDir,
    pub(super) gateway: Gateway,
    key: DeviceKey,
}

impl Machine {
    pub(super) fn new() -> Self {
        let authority = Authority::new();
        let gateway = Gateway::start(&authority);
        let identity = authority.issue("machine");
        Self::with(gateway, &authority, &identity)
    }

    /// `trusted`: who the machine thinks signs for the gateway.
    pub(super) fn with(gateway: Gateway, trusted: &Authority, identity: &(String, String)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_identity(folder.path(), &gateway.url, trusted, identity);
        for name in ["handlers", "actions"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let machine = Self {
            folder,
            gateway,
            key: DeviceKey::from_pem(&identity.1).unwrap(),
        };
        let ran = machine.path("ran").display().to_string();
        // Its argument, and whether the file is there.
        let text =
            format!("[ -e \"$CONFIG_FILE\" ] && is=there || is=gone\necho \"$1 $is\" >> {ran}");
        machine.script("handlers/note", &text);
        let ran = machine.path("ran").display().to_string();
        machine.script("power", &format!("echo \"power $1\" >> {ran}"));
        machine.root_file("proc/sys/kernel/hostname", "before\n");
        machine.root_file("proc/sys/kernel/random/boot_id", "first-boot\n");
        machine.root_file("proc/cpuinfo", "model name : i7\n");
        fs::create_dir(machine.path("root/etc")).unwrap();
        machine
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes a file of the system that this machine has.
    pub(super) fn root_file(&self, name: &str, content: &str) {
        let path = self.path("root").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            search: vec![self.path("sota.toml")],
            secrets: self.path("secrets"),
            handlers: self.path("handlers"),
            unsafe_handlers: false,
            actions: self.path("actions"),
            interval: Duration::from_millis(100),
            retry_pauses: vec![Duration::from_millis(1); 2],
            handler_limit: Duration::from_secs(60),
            work: Some(WorkSettings {
                root: self.path("root"),
                snapin_limit: Duration::from_secs(60),
                power_command: Some(self.path("power")),
            }),
        }
    }

    /// A round of the work of the host.
    /// A program that another test of this process starts may have the lock, too, until it is that program.
    pub(super) fn work(&self) -> Result<Worked, HostError> {
        let service = Service::new(self.settings())?;
        for _ in 0..200 {
            let worked = service.work(&CancellationToken::new());
            if !matches!(worked, Ok(Worked::ByAnother)) {
                return worked;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Ok(Worked::ByAnother)
    }

    pub(super) fn check_in(&self) -> Result<CheckedIn, HostError> {
        Service::new(self.settings())?.check_in(&CancellationToken::new())
    }

    pub(super) fn extract(&self) -> Result<CheckedIn, HostError> {
        Service::new(self.settings())?.extract(&CancellationToken::new())
    }

    /// The program with the places of this machine.
    pub(super) fn program(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foghorn-host"));
        command
            .arg(verb)
            .arg("--config")
            .arg(self.path("sota.toml"));
        command.arg("--secrets-dir").arg(self.path("secrets"));
        command.arg("--handlers-dir").arg(self.path("handlers"));
        command.arg("--actions-dir").arg(self.path("actions"));
        if verb != "extract" {
            command.arg("--root").arg(self.path("root"));
            command.arg("--power-command").arg(self.path("power"));
        }
        command
    }

    pub(super) fn encrypted(&self, text: &str) -> String {
        let random = Randomness {
            scalar: [9; 32],
            iv: [8; 16],
        };
        self.key
            .recipient()
            .encrypt(text.as_bytes(), &random)
            .unwrap()
    }

    /// The argv of the handler that notes its argument.
    pub(super) fn note(&self, what: &str) -> Vec<String> {
        vec![
            self.path("handlers/note").display().to_string(),
            what.to_owned(),
        ]
    }

    /// A config of unencrypted files: name, content and what its handler notes.
    pub(super) fn document(&self, files: &[(&str, &str, &str)]) -> String {
        let file = |(name, value, note): &(&str, &str, &str)| {
            let argv = if note.is_empty() {
                Vec::new()
            } else {
                self.note(note)
            };
            let file = serde_json::json!({"Value": value, "Unencrypted": true, "OnChanged": argv});
            ((*name).to_owned(), file)
        };
        serde_json::Value::Object(files.iter().map(file).collect()).to_string()
    }

    /// Lines of the handlers since this was called last.
    pub(super) fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("ran")).unwrap_or_default();
        let _ = fs::remove_file(self.path("ran"));
        text.lines().map(str::to_owned).collect()
    }

    /// Names and contents of extracted files, sorted.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let root = self.path("secrets");
        let mut found = Vec::new();
        collect(&root, &root, &mut found);
        found.sort();
        found
    }
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// A time that has passed for certain.
pub(super) fn long_ago(second: i64) -> Timestamp {
    Timestamp::from_millis((1_700_000_000 + second) * 1000)
}
