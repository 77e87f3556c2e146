//! `foghorn-controller` as a program: what it shows on which stream, and how it ends.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use foghorn_test_ports::dns::{ENDS_WITHIN, SilentDns, terminate};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_foghorn-controller");

/// Killed when the test ends, whichever way.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        Self(child.unwrap())
    }

    /// Reads the log up to a line that contains `text`.
    fn wait_for_log(&mut self, text: &str) {
        let log = self.0.stderr.take().unwrap();
        let mut lines = BufReader::new(log).lines();
        let found = lines.by_ref().any(|line| line.unwrap().contains(text));
        assert!(found, "the program ended without {text:?} in its log");
        // It goes on writing.
        std::thread::spawn(move || lines.for_each(drop));
    }

    fn stop(mut self) {
        let (_, code) = terminate(&mut self.0).unwrap();
        assert_eq!(code, Some(0));
    }
}

fn command(verb: &str, data: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg(verb).arg("--data-dir").arg(data);
    command.env_remove("FOGHORN_LOG");
    command
}

fn run(data: &Path) -> Command {
    let mut command = command("run", data);
    command.args([
        "--rest-listen",
        "127.0.0.1:0",
        "--link-listen",
        "127.0.0.1:0",
    ]);
    command.arg("--plain-http");
    command
}

fn first_run(data: &Path) -> Output {
    command("first-run", data).output().unwrap()
}

#[test]
fn first_credentials_are_shown_again_until_they_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut running = Running::start(run(&data).stdout(full));
    running.wait_for_log("first credentials");
    running.stop();
    let mut running = Running::start(run(&data).stdout(Stdio::piped()));
    drop(running.0.stdout.take());
    running.wait_for_log("controller started");
    running.stop();

    let shown = first_run(&data);
    assert!(shown.status.success(), "{shown:?}");
    let first: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(first["user"], "fog", "{first}");
    assert_eq!(first_run(&data).stdout, shown.stdout);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let failed = command("first-run", &data).stdout(full).output().unwrap();
    assert!(!failed.status.success(), "nobody has seen them");
    let file = folder.path().join("first.json");
    for _ in 0..2 {
        let mut with_file = command("first-run", &data);
        let done = with_file
            .arg("--first-run-file")
            .arg(&file)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        assert_eq!(std::fs::read(&file).unwrap(), shown.stdout);
    }
    std::fs::write(&file, "something else").unwrap();
    let mut with_file = command("first-run", &data);
    let refused = with_file
        .arg("--first-run-file")
        .arg(&file)
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert_eq!(std::fs::read(&file).unwrap(), b"something else");

    let mut running = Running::start(run(&data).stdout(Stdio::piped()));
    let out = BufReader::new(running.0.stdout.take().unwrap());
    let url = out
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("REST ").map(str::to_owned))
        .unwrap();
    let answer = ureq::get(format!("{url}/fog/system/info").replace("https:", "http:"))
        .header("fog-api-token", first["api_token"].as_str().unwrap())
        .header("fog-user-token", first["user_token"].as_str().unwrap())
        .call()
        .unwrap();
    assert_eq!(answer.status(), 200);
    running.stop();
    let used = first_run(&data);
    assert!(!used.status.success() && used.stdout.is_empty());
    let told = String::from_utf8_lossy(&used.stderr).into_owned();
    assert!(told.contains("reset-admin"), "{told}");
}

#[test]
fn it_ends_soon_although_the_name_of_its_store_cannot_be_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let Some(dns) = SilentDns::start(folder.path()).unwrap() else {
        return;
    };
    let config = folder.path().join("controller.toml");
    let text = format!(
        "data_dir = {:?}\n[store]\nengine = \"etcd\"\nendpoints = [\"http://store.example:2379\"]\n",
        folder.path().join("data")
    );
    std::fs::write(&config, text).unwrap();
    let mut command = dns.command(PROGRAM);
    command.args(["run", "--config"]).arg(&config);
    let mut running = Running::start(&mut command);
    dns.was_asked().unwrap();
    let (took, _) = terminate(&mut running.0).unwrap();
    assert!(took < ENDS_WITHIN, "it ended after {took:?}");
}
