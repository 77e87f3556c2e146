//! `foghorn serve` as a program: its first credentials, and how it ends.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use foghorn_test_ports::dns::{ENDS_WITHIN, SilentDns, terminate};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_foghorn");
const PATIENCE: Duration = Duration::from_secs(60);

/// Killed when the test ends, whichever way.
struct Site(Child);

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(mut command: Command, state: &Path) -> Command {
    let any = "127.0.0.1:0";
    command.args(["serve", "--listen", any, "--link-listen", any]);
    command
        .args(["--quic-listen", any, "--state-dir"])
        .arg(state);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

impl Site {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the server starts"))
    }

    fn stop(mut self) {
        let (took, code) = terminate(&mut self.0).expect("it ends");
        assert!(took < ENDS_WITHIN, "it ended after {took:?}");
        assert_eq!(code, Some(0));
    }
}

fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < PATIENCE, "{} is missing", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn reset(state: &Path, format: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(format)
        .args(["serve", "--reset-admin", "--state-dir"]);
    command.arg(state).output().expect("it runs")
}

#[test]
fn first_credentials_survive_an_output_that_is_lost_and_reset_admin_speaks_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("site");
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let site = Site::start(serve(Command::new(PROGRAM), &state).stdout(full));
    wait_for(&state.join("agent/identity/identity.json"));
    site.stop();

    let mut read = Vec::new();
    for name in ["first.json", "again.json"] {
        let file = folder.path().join(name);
        let mut command = serve(Command::new(PROGRAM), &state);
        command
            .arg("--first-run-file")
            .arg(&file)
            .stdout(Stdio::null());
        let site = Site::start(&mut command);
        wait_for(&file);
        site.stop();
        let text = std::fs::read(&file).expect("it is readable");
        let content: Value = serde_json::from_slice(&text).expect("JSON");
        read.push(content["user_token"].clone());
    }
    assert_eq!(read[0], read[1], "nobody has used them");
    assert!(read[0].as_str().is_some_and(|token| token.len() == 128));

    let done = reset(&state, &["-o", "json"]);
    assert!(done.status.success(), "{done:?}");
    let made: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    for key in ["api_token", "user", "user_token", "password"] {
        assert!(made[key].is_string(), "{made}");
    }
    assert_ne!(made["user_token"], read[0]);
    let text = String::from_utf8(reset(&state, &[]).stdout).expect("text");
    assert!(text.contains("API token: "), "{text}");
}

/// What a service prints is in a log that many may read.
#[test]
fn what_is_no_terminal_gets_no_secret_but_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = serve(Command::new(PROGRAM), &folder.path().join("site"));
    let mut site = Site::start(command.stdout(Stdio::piped()));
    let out = BufReader::new(site.0.stdout.take().expect("it is piped"));
    let mut printed = String::new();
    for line in out.lines() {
        printed.push_str(&line.expect("it is text"));
        if printed.contains("[controller.first_run]") {
            break;
        }
    }
    assert!(printed.contains("--first-run-file"), "{printed}");
    for secret in ["API token:", "password:"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    site.stop();
}

#[test]
fn a_configuration_is_checked_without_a_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("site");
    let check = |name: &str, value: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--check-config", "--state-dir"]);
        command.arg(&state).env(name, value);
        command.output().expect("it runs")
    };
    let good = check("FOGHORN_SERVE__AGENT__LIMITS__CONNECTIONS", "9");
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert_eq!(good.status.code(), Some(0), "{said}");
    for part in [
        "the configuration is valid",
        "agent.limits.connections = 9",
        "from --state-dir",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let missing = folder.path().join("missing");
    let missing = missing.to_str().expect("it is text");
    for (name, value, part) in [
        (
            "FOGHORN_SERVE__AGENT__LIMITS__CONNECTIONS",
            "0",
            "serve nobody",
        ),
        ("FOGHORN_SERVE__AGENT__LIMIT", "1", "no setting"),
        (
            "FOGHORN_SERVE__CONTROLLER__FIRST_RUN__PASSWORD",
            "x",
            "api_token_file",
        ),
    ] {
        let bad = check(name, value);
        let said = String::from_utf8_lossy(&bad.stderr).into_owned();
        assert_eq!(bad.status.code(), Some(1), "{said}");
        assert!(said.contains(part), "{said}");
    }
    let variables = [
        (
            "FOGHORN_SERVE__CONTROLLER__FIRST_RUN__API_TOKEN_FILE",
            missing,
        ),
        (
            "FOGHORN_SERVE__CONTROLLER__FIRST_RUN__PASSWORD_FILE",
            missing,
        ),
    ];
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--check-config", "--state-dir"]);
    let bad = command
        .arg(&state)
        .envs(variables)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert_eq!(bad.status.code(), Some(1), "{said}");
    assert!(
        said.contains("could not read") && said.contains(missing),
        "{said}"
    );
    assert!(!state.exists(), "nothing was made");
}

#[test]
fn its_storage_node_is_linked_and_it_ends_soon_although_its_name_cannot_be_resolved() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(dns) = SilentDns::start(folder.path()).expect("a name server") else {
        return;
    };
    let mut command = dns.command(PROGRAM);
    let ports = [(); 3].map(|()| foghorn_test_ports::free_port().expect("a port"));
    let [rest, link, quic] = ports.map(|port| format!("0.0.0.0:{port}"));
    command.args(["serve", "--advertise", "site.example", "--listen", &rest]);
    command.args(["--link-listen", &link, "--quic-listen", &quic]);
    command.arg("--state-dir").arg(folder.path().join("site"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut site = Site::start(&mut command);
    let log = BufReader::new(site.0.stderr.take().expect("it is piped"));
    let ready = log
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("the site is ready"));
    let ready = ready.expect("it says when it is ready");
    assert!(!ready.contains("not linked"), "{ready}");
    site.stop();
}

#[test]
fn a_file_is_enough_and_the_first_run_file_says_where_the_site_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, first) = (
        folder.path().join("serve.toml"),
        folder.path().join("first.json"),
    );
    let text = format!(
        "state_dir = {:?}\nfirst_run_file = {first:?}\n[controller.rest]\nlisten = '127.0.0.1:0'\n\
         [controller.link]\nlisten = '127.0.0.1:0'\n[agent]\nlisten = '127.0.0.1:0'\n",
        folder.path().join("site")
    );
    std::fs::write(&config, text).expect("it is writable");
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--config"]).arg(&config);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let site = Site::start(&mut command);
    wait_for(&first);
    site.stop();
    let content = std::fs::read(&first).expect("it is readable");
    let content: Value = serde_json::from_slice(&content).expect("JSON");
    assert_eq!(content["urls"][0], content["url"], "{content}");
    assert!(
        content["ca_fingerprint"]
            .as_str()
            .is_some_and(|text| text.len() == 43),
        "{content}"
    );

    std::fs::write(&config, "[controller.rest]\nlissen = 'x'\n").expect("it is writable");
    let refused = command.stderr(Stdio::piped()).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("lissen"), "{said}");
}

#[test]
fn new_credentials_for_a_directory_without_a_site_are_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = reset(&folder.path().join("nothing"), &[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for words in ["there is no installation in", "to do: give the directory"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!folder.path().join("nothing").exists(), "nothing was made");
}
