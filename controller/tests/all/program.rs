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

/// What a service prints is in a log that many may read.
#[test]
fn what_is_no_terminal_gets_no_secret_but_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let told = |mut running: Running| {
        let out = BufReader::new(running.0.stdout.take().unwrap());
        let mut told = String::new();
        for line in out.lines().map(Result::unwrap) {
            let is_last = line.starts_with("link ");
            told.push_str(&line);
            if is_last {
                break;
            }
        }
        running.stop();
        told
    };
    let printed = told(Running::start(run(&data).stdout(Stdio::piped())));
    let first: Value = serde_json::from_slice(&first_run(&data).stdout).unwrap();
    for key in ["password", "api_token", "user_token"] {
        assert!(!printed.contains(first[key].as_str().unwrap()), "{printed}");
    }
    for way in ["--first-run-file", "first-run", "[first_run]"] {
        assert!(printed.contains(way), "{printed}");
    }

    // Given by variables: there is nothing to be shown, and nothing to be made.
    let given = |command: &mut Command| {
        command.env("FOGHORN_CONTROLLER__FIRST_RUN__API_TOKEN", "a".repeat(40));
        command.env("FOGHORN_CONTROLLER__FIRST_RUN__PASSWORD", "pass word");
    };
    let mut running = run(&folder.path().join("given"));
    given(&mut running);
    let printed = told(Running::start(running.stdout(Stdio::piped())));
    assert!(
        !printed.contains("pass word") && !printed.contains("first"),
        "{printed}"
    );
    let mut made = command("first-run", &folder.path().join("given"));
    given(&mut made);
    let refused = made.output().unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty());
}

#[test]
fn a_configuration_is_checked_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let (config, data) = (
        folder.path().join("controller.toml"),
        folder.path().join("data"),
    );
    let text = format!("data_dir = {data:?}\n[rest]\nnames = [\"fog\"]\nidle_seconds = 60\n");
    std::fs::write(&config, text).unwrap();
    let check = |variable: (&str, &str)| {
        let mut command = Command::new(PROGRAM);
        command
            .args(["run", "--check-config", "--config"])
            .arg(&config);
        // With it, no export of traces could begin.
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "no address");
        command.env(variable.0, variable.1).output().unwrap()
    };
    let good = check(("FOGHORN_CONTROLLER__IMAGES__KEEP_VERSIONS", "2"));
    let said = String::from_utf8(good.stdout).unwrap();
    assert!(
        good.status.success() && said.starts_with("the configuration is valid\n"),
        "{said}"
    );
    for part in [
        "rest.names = [\"fog\"]",
        "controller.toml",
        "images.keep_versions = 2",
        "from the variable FOGHORN_CONTROLLER__IMAGES__KEEP_VERSIONS",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("idle_seconds"), "it is the default: {said}");
    for (variable, part) in [
        (
            ("FOGHORN_CONTROLLER__IMAGES__KEEP_VERSIONS", "11"),
            "at most 10",
        ),
        (
            ("FOGHORN_CONTROLLER__IMAGE__KEEP_VERSIONS", "1"),
            "to do: correct its name",
        ),
    ] {
        let bad = check(variable);
        let said = String::from_utf8(bad.stderr).unwrap();
        assert_eq!(bad.status.code(), Some(1), "{said}");
        assert!(said.contains(variable.0) && said.contains(part), "{said}");
    }
    assert!(!data.exists(), "it made the data directory");
    let schema = Command::new(PROGRAM)
        .args(["run", "--print-config-schema"])
        .output()
        .unwrap();
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn what_is_logged_follows_the_file_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let (config, data) = (
        folder.path().join("controller.toml"),
        folder.path().join("data"),
    );
    let write = |rest: &str| {
        let text = format!("data_dir = {data:?}\n{rest}");
        std::fs::write(&config, text).unwrap();
    };
    write("");
    // Away from the terminal of whoever runs the test: with one, SIGHUP means that it is gone.
    let mut command = Command::new("setsid");
    command.arg(PROGRAM).args(run(&data).get_args());
    command.arg("--config").arg(&config).stdout(Stdio::null());
    command.env_remove("FOGHORN_LOG");
    let mut running = Running::start(&mut command);
    let log = BufReader::new(running.0.stderr.take().unwrap());
    let mut lines = log.lines().map(Result::unwrap);
    let mut wait_for = |text: &str| {
        let found = lines.by_ref().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("the program ended without {text:?} in its log"))
    };
    let hang_up = |running: &Running| {
        let id = running.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-HUP", &id])
                .status()
                .unwrap()
                .success()
        );
    };
    wait_for("controller started");
    write("[log]\nfilter = \"info,foghorn_controller=debug\"\n[limits]\nstall_seconds = 5\n");
    hang_up(&running);
    let line = wait_for("was read again");
    assert!(line.contains("foghorn_controller=debug"), "{line}");
    let line = wait_for("take effect with the next");
    assert!(line.contains("limits.stall_seconds"), "{line}");
    write("[log]\nfilter = \"foghorn=loud\"\n");
    hang_up(&running);
    wait_for("everything goes on as before");
    std::thread::spawn(move || lines.for_each(drop));
    running.stop();
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
