//! The Debian packages, in a Debian with systemd: installed, started, upgraded, removed, purged. As
//! the other tests of namespaces, this needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use foghorn_tests::debian::Debian;
use foghorn_tests::process::until;
use foghorn_tests::tools::{find, foghorn, run, static_client};
use serde_json::Value;

use crate::block_devices::may_make_loop_devices;

const PATIENCE: Duration = Duration::from_secs(60);
const URL: &str = "https://127.0.0.1:8443";
const NAMES: [&str; 5] = [
    "foghorn",
    "foghorn-agent",
    "foghorn-client",
    "foghorn-controller",
    "foghorn-host",
];
const SERVICES: [&str; 3] = ["foghorn-serve", "foghorn-agent", "foghorn-controller"];

/// Packages of the programs that the tests were compiled with.
pub(crate) fn make(folder: &Path, name: &str, version: &str) {
    let programs = foghorn("foghorn-packaging").unwrap();
    let client = static_client().unwrap();
    let made = Command::new(&programs)
        .arg("deb")
        .arg("--programs")
        .arg(programs.parent().unwrap())
        .arg("--client")
        .arg(client)
        .arg("--out")
        .arg(folder.join(name))
        .args(["--package-version", version, "--quick"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
}

fn install(debian: &Debian, version: &str) -> String {
    let all = format!("dpkg --force-unsafe-io --install /shared/{version}/*.deb");
    debian.run(&["sh", "-c", &all]).unwrap()
}

/// `systemctl show` of one property.
fn property(debian: &Debian, unit: &str, name: &str) -> String {
    let asked = debian.run(&["systemctl", "show", "--value", "--property", name, unit]);
    asked.unwrap().trim().to_owned()
}

/// User, group and mode of a path in the system.
fn owner(debian: &Debian, path: &str) -> String {
    let asked = debian.run(&["stat", "--format", "%U:%G %a", path]);
    asked.unwrap().trim().to_owned()
}

fn has(debian: &Debian, path: &str) -> bool {
    debian
        .try_run(&["test", "-e", path])
        .unwrap()
        .status
        .success()
}

/// Requests to the server in the system, as its first user.
struct Api<'a> {
    debian: &'a Debian,
    tokens: [String; 2],
}

impl<'a> Api<'a> {
    fn new(debian: &'a Debian) -> Self {
        let first = until("the first credentials", PATIENCE, || {
            let read = debian.try_run(&["cat", "/var/lib/foghorn/first-run.json"])?;
            Ok(serde_json::from_slice::<Value>(&read.stdout).ok())
        });
        let first = first.unwrap();
        let token = |name: &str| first[name].as_str().unwrap().to_owned();
        Self {
            debian,
            tokens: [
                format!("fog-api-token: {}", token("api_token")),
                format!("fog-user-token: {}", token("user_token")),
            ],
        }
    }

    /// The answer of a successful request.
    fn try_ask(&self, path: &str, more: &[&str]) -> Option<Vec<u8>> {
        let [api, user] = &self.tokens;
        let output = self
            .debian
            .in_network(&find("curl").unwrap())
            .args(["-fsk", "-H", api, "-H", user])
            .args(more)
            .arg(format!("{URL}{path}"))
            .output()
            .unwrap();
        output.status.success().then_some(output.stdout)
    }

    fn ask(&self, path: &str, more: &[&str]) -> Vec<u8> {
        self.try_ask(path, more)
            .unwrap_or_else(|| panic!("{path} is refused"))
    }

    fn wait_ready(&self) {
        until("the server to be ready", PATIENCE, || {
            Ok(self.try_ask("/readyz", &[]))
        })
        .unwrap();
    }

    fn hosts(&self) -> String {
        String::from_utf8_lossy(&self.ask("/fog/host", &[])).into_owned()
    }
}

/// What is there after the first installation, and what was not started.
fn check_installed(debian: &Debian) {
    for service in SERVICES {
        assert_eq!(
            property(debian, service, "ActiveState"),
            "inactive",
            "{service}"
        );
        let verified = debian.run(&[
            "systemd-analyze",
            "verify",
            "--man=no",
            &format!("{service}.service"),
        ]);
        assert_eq!(verified.unwrap(), "", "{service}");
        let exposed = ["systemd-analyze", "security", "--threshold=20", service];
        debian.run(&exposed).unwrap();
    }
    for unit in ["foghorn-host.service", "foghorn-host-extract.service"] {
        assert_eq!(property(debian, unit, "ActiveState"), "inactive", "{unit}");
        let verified = debian.run(&["systemd-analyze", "verify", "--man=no", unit]);
        assert_eq!(verified.unwrap(), "", "{unit}");
    }
    for action in ["reboot", "reimage"] {
        let path = format!("/usr/share/fioconfig/actions/{action}");
        assert_eq!(owner(debian, &path), "root:root 755", "{path}");
    }
    assert_eq!(owner(debian, "/var/lib/foghorn"), "foghorn:foghorn 700");
    for config in ["controller.toml", "agent.toml", "serve.toml"] {
        let path = format!("/etc/foghorn/{config}");
        assert_eq!(owner(debian, &path), "root:foghorn 640", "{config}");
    }
    for name in NAMES {
        let version = debian.run(&[name, "--version"]).unwrap();
        assert!(version.starts_with(name), "{version}");
        // In section 1 it is the page of `foghorn host`.
        let section = if name == "foghorn-host" { 8 } else { 1 };
        for path in [
            format!("/usr/share/man/man{section}/{name}.{section}.gz"),
            format!("/usr/share/bash-completion/completions/{name}"),
        ] {
            assert!(has(debian, &path), "{path}");
        }
    }
}

/// The client that the server offers is the one of the package.
fn check_download(api: &Api<'_>) {
    let offered = api.ask("/client/foghorn-client-x86_64.sha256", &[]);
    let installed = api
        .debian
        .run(&[
            "sha256sum",
            "/usr/lib/foghorn/clients/foghorn-client-x86_64",
        ])
        .unwrap();
    let offered = String::from_utf8_lossy(&offered).into_owned();
    assert_eq!(offered.get(..64), installed.get(..64));
}

fn check_runs(debian: &Debian, service: &str) -> String {
    let process = property(debian, service, "MainPID");
    assert_ne!(process, "0", "{service} does not run");
    assert_eq!(
        owner(debian, &format!("/proc/{process}")),
        "foghorn:foghorn 555"
    );
    let program = debian
        .run(&["readlink", &format!("/proc/{process}/exe")])
        .unwrap();
    assert!(
        program.starts_with("/usr/bin/foghorn") && !program.contains("deleted"),
        "{program}"
    );
    process
}

/// A server that is to grow becomes a controller and a storage node on the same data.
fn check_two_services(debian: &Debian, api: &Api<'_>) {
    debian
        .run(&["systemctl", "disable", "--now", "foghorn-serve"])
        .unwrap();
    debian
        .run(&[
            "systemctl",
            "enable",
            "--now",
            "foghorn-controller",
            "foghorn-agent",
        ])
        .unwrap();
    api.wait_ready();
    until("the storage node to be online", PATIENCE, || {
        let nodes = api.try_ask("/foghorn/v1/nodes", &[]).unwrap_or_default();
        let nodes: Value = serde_json::from_slice(&nodes).unwrap_or_default();
        Ok(nodes.to_string().contains("\"online\":true").then_some(()))
    })
    .unwrap();
    assert!(api.hosts().contains("kept-pc"));
    check_runs(debian, "foghorn-controller");
    check_runs(debian, "foghorn-agent");
}

fn check_removed(debian: &Debian) {
    debian
        .run(&[&["dpkg", "--remove"], &NAMES[..]].concat())
        .unwrap();
    for service in SERVICES {
        assert_eq!(
            property(debian, service, "MainPID"),
            "0",
            "{service} runs on"
        );
    }
    assert!(has(debian, "/etc/foghorn/agent.toml") && !has(debian, "/usr/bin/foghorn"));
    assert!(has(debian, "/var/lib/foghorn/controller/store.redb"));
    let said = debian
        .run(&[&["dpkg", "--purge"], &NAMES[..]].concat())
        .unwrap();
    assert!(
        said.contains("state and images stay in /var/lib/foghorn"),
        "{said}"
    );
    assert!(!has(debian, "/etc/foghorn") && !has(debian, "/usr/lib/foghorn"));
    assert!(has(debian, "/var/lib/foghorn/controller/store.redb"));
    let enabled = debian
        .run(&["find", "/etc/systemd", "-name", "foghorn*"])
        .unwrap();
    assert_eq!(enabled, "");
}

#[test]
fn packages_are_installed_upgraded_removed_and_purged() {
    if !may_make_loop_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("packages");
    make(&shared, "0.0.1", "0.0.1");
    make(&shared, "0.0.2", "0.0.2");
    let debian = Debian::boot("packages", folder.path(), &shared).unwrap();
    let said = install(&debian, "0.0.1");
    assert!(
        said.contains("systemctl enable --now foghorn-serve.service"),
        "{said}"
    );
    check_installed(&debian);

    debian
        .run(&["systemctl", "enable", "--now", "foghorn-serve"])
        .unwrap();
    let api = Api::new(&debian);
    api.wait_ready();
    api.ask(
        "/fog/host/create",
        &["-d", r#"{"name":"kept-pc","macs":["52:54:00:00:00:77"]}"#],
    );
    check_download(&api);
    let before = check_runs(&debian, "foghorn-serve");
    let edit = "echo '# edited' >> /etc/foghorn/serve.toml";
    debian.run(&["sh", "-c", edit]).unwrap();

    install(&debian, "0.0.2");
    api.wait_ready();
    assert_ne!(
        check_runs(&debian, "foghorn-serve"),
        before,
        "the old program runs on"
    );
    assert!(api.hosts().contains("kept-pc"));
    let config = debian
        .run(&["tail", "-1", "/etc/foghorn/serve.toml"])
        .unwrap();
    assert_eq!(config.trim(), "# edited");
    check_two_services(&debian, &api);
    check_removed(&debian);
}

/// `make install` and `make uninstall`, to a folder.
#[test]
fn an_installation_is_complete_and_goes_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let programs = foghorn("foghorn-packaging").unwrap();
    let tool = |verb: &str, more: &[PathBuf]| {
        let mut command = Command::new(&programs);
        command
            .arg(verb)
            .args(["--prefix", "/usr/local", "--destdir"]);
        let output = command.arg(folder.path()).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
    };
    let built = programs.parent().unwrap().to_owned();
    tool("install", &["--programs".into(), built]);
    let client = folder.path().join("usr/local/bin/foghorn-client");
    let version = run(client.to_str().unwrap(), ["--version"]).unwrap();
    assert!(version.starts_with("foghorn-client "), "{version}");
    let unit = folder
        .path()
        .join("usr/local/lib/systemd/system/foghorn-serve.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(
        unit.contains("ExecStart=/usr/local/bin/foghorn serve"),
        "{unit}"
    );
    tool("uninstall", &[]);
    let left = run("find", [folder.path().to_str().unwrap(), "-type", "f"]).unwrap();
    assert_eq!(left, "");
}
