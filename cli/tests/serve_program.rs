//! `foghorn serve` as a program: its first credentials, and how it ends.

use std::fs::File;
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

#[test]
fn it_ends_soon_although_its_own_name_cannot_be_resolved() {
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
        .stderr(Stdio::null());
    let site = Site::start(&mut command);
    dns.was_asked().expect("the agent looks for the link");
    site.stop();
}
