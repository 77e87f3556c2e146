//! The program as a script sees it: exit codes, what goes to which stream, and refusals where
//! nobody can be asked. A real server (`foghorn serve`) on loopback answers.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use foghorn_cli::api::Api;
use foghorn_cli::context::Context;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_foghorn");
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that ends with the test, and the environment that reaches it.
struct Site {
    server: Child,
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Site {
    fn start() -> Self {
        Self::with(&["--listen", "127.0.0.1:0"])
    }

    fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let said = std::fs::File::create(folder.path().join("said")).expect("a file");
        let first_run = folder.path().join("first.json");
        let server = Command::new(PROGRAM)
            .args([
                "serve",
                "--state-dir",
                text(&folder.path().join("site")),
                "--first-run-file",
                text(&first_run),
            ])
            .args(arguments)
            .args([
                "--link-listen",
                "127.0.0.1:0",
                "--quic-listen",
                "127.0.0.1:0",
            ])
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("the server starts");
        let mut site = Self {
            server,
            folder,
            environment: Vec::new(),
        };
        let begun = Instant::now();
        let content = loop {
            if let Ok(bytes) = std::fs::read(&first_run) {
                break serde_json::from_slice::<Value>(&bytes)
                    .expect("the file is whole as soon as it is there");
            }
            assert!(begun.elapsed() < PATIENCE, "the server gave no tokens");
            assert!(
                site.server.try_wait().expect("a child").is_none(),
                "the server ended"
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        let ca = site.folder.path().join("ca.pem");
        std::fs::write(&ca, content["ca_pem"].as_str().expect("the authority"))
            .expect("the authority is written");
        let word = |key: &str| content[key].as_str().expect("a text").to_owned();
        site.environment = vec![
            ("FOGHORN_SERVER", word("url")),
            ("FOGHORN_API_TOKEN", word("api_token")),
            ("FOGHORN_USER_TOKEN", word("user_token")),
            ("FOGHORN_CA", text(&ca).to_owned()),
        ];
        site
    }

    /// Runs a command line, split at blanks.
    fn run(&self, line: &str) -> Output {
        let environment = self
            .environment
            .iter()
            .map(|(key, value)| (*key, value.as_str()));
        run(self.folder.path(), line, environment)
    }

    fn exit(&self, line: &str) -> Option<i32> {
        self.run(line).status.code()
    }

    /// The same server without the program, for what no command does.
    fn api(&self) -> Api {
        let value = |name: &str| {
            self.environment
                .iter()
                .find(|(key, _)| *key == name)
                .expect("it is set")
                .1
                .clone()
        };
        let ca_pem = Some(std::fs::read_to_string(value("FOGHORN_CA")).expect("the authority"));
        let (api_token, user_token) = (value("FOGHORN_API_TOKEN"), value("FOGHORN_USER_TOKEN"));
        Api::new(&Context {
            server: value("FOGHORN_SERVER"),
            ca_pem,
            api_token,
            user_token,
        })
        .expect("a client")
    }

    fn stop(mut self) -> Option<i32> {
        let asked = Command::new("kill")
            .args(["-TERM", &self.server.id().to_string()])
            .status();
        assert!(asked.expect("kill runs").success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.server.try_wait().expect("a child") {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "the server did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn run<'a>(
    home: &Path,
    line: &str,
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(line.split_whitespace())
        .env_clear()
        .env("HOME", home)
        .stdin(Stdio::null());
    command
        .envs(environment)
        .output()
        .expect("the program runs")
}

#[test]
fn without_a_server_the_command_line_still_says_what_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    let code = |line: &str| run(home.path(), line, []).status.code();
    assert_eq!(code("host list"), Some(2), "no server is set");
    assert_eq!(code("host frobnicate"), Some(2));
    assert_eq!(code("context use nowhere"), Some(4));
    assert_eq!(code("completions bash"), Some(0));
    assert_eq!(
        code("host list --server http://192.0.2.1:80 --api-token a --user-token b"),
        Some(2),
        "plain and far"
    );
    assert_eq!(
        code("host list --server https://127.0.0.1:1 --api-token a --user-token b"),
        Some(1),
        "nobody there"
    );
    let help = run(home.path(), "--help", []);
    assert!(String::from_utf8_lossy(&help.stdout).contains("6 conflict"));
}

#[test]
fn every_outcome_has_its_exit_code() {
    let site = Site::start();
    let created = site.run("host create pc1 --mac 52:54:00:00:00:01 --disk only -q");
    assert_eq!(
        (created.status.code(), created.stdout.as_slice()),
        (Some(0), b"1\n".as_slice())
    );
    assert_eq!(
        site.exit("host create pc1 --mac 52:54:00:00:00:02"),
        Some(6),
        "the name is taken"
    );
    assert_eq!(
        site.exit("host create pc2 --mac 52:54:00:00:00:01"),
        Some(6),
        "the address is taken"
    );
    assert_eq!(
        site.exit("host create pc2 --mac 52:54:00:00:00"),
        Some(2),
        "no address"
    );
    let missing = site.run("host show nosuch");
    assert_eq!(missing.status.code(), Some(4));
    assert!(
        String::from_utf8_lossy(&missing.stderr).contains("foghorn host list"),
        "says where to look"
    );
    assert_eq!(
        site.exit("host create 1 --mac 52:54:00:00:00:03 -q"),
        Some(0)
    );
    assert_eq!(
        site.exit("host show 1"),
        Some(2),
        "the id of one and the name of another"
    );
    assert_eq!(site.exit("host show id:1"), Some(0));
    assert_eq!(site.exit("host list --user-token wrong"), Some(5));
    assert_eq!(site.exit("image create win11 -q"), Some(0));
    assert_eq!(
        site.exit("image deploy win11 --host pc1 --yes"),
        Some(5),
        "nothing was captured yet"
    );
    assert_eq!(
        site.exit("host boot-token pc1"),
        Some(6),
        "no task to boot for"
    );
    assert_eq!(site.exit("image capture win11 --host pc1 -q"), Some(0));
    assert_eq!(
        site.exit("image capture win11 --host pc1"),
        Some(6),
        "the host is busy"
    );
    let begun = Instant::now();
    // FOG calls a task queued until its host appears; the table says that a node has it already.
    while !String::from_utf8_lossy(&site.run("task list").stdout).contains("assigned") {
        assert!(
            begun.elapsed() < PATIENCE,
            "{}",
            String::from_utf8_lossy(&site.run("task list").stdout)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(
        site.exit("task wait 1 --timeout 1s"),
        Some(1),
        "nobody works on it"
    );
    assert_eq!(site.exit("task cancel 1"), Some(0));
    assert_eq!(site.exit("task cancel 1"), Some(6), "it has ended");
    assert_eq!(site.exit("task cancel 99"), Some(4));
    assert_eq!(site.stop(), Some(0), "the server ends in good order");
}

#[test]
fn what_destroys_is_named_and_refused_where_nobody_can_be_asked() {
    let site = Site::start();
    assert_eq!(
        site.exit("host create pc1 --mac 52:54:00:00:00:01 --disk serial:S1"),
        Some(0)
    );
    let refused = site.run("host delete pc1");
    assert_eq!(refused.status.code(), Some(5));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("pc1") && said.contains("serial:S1") && said.contains("--yes"),
        "{said}"
    );
    assert_eq!(
        site.exit("host delete pc1 nosuch --yes"),
        Some(4),
        "all names are checked first"
    );
    assert_eq!(
        site.exit("host show pc1"),
        Some(0),
        "so nothing was deleted"
    );
    assert_eq!(site.exit("host delete pc1 --yes"), Some(0));
    assert_eq!(site.exit("host show pc1"), Some(4));
    assert_eq!(site.exit("image create golden -q"), Some(0));
    assert_eq!(site.exit("image edit golden --protected true"), Some(0));
    assert_eq!(
        site.exit("image delete golden --yes"),
        Some(5),
        "it is protected"
    );
    assert_eq!(site.exit("image edit golden --protected false"), Some(0));
    assert_eq!(site.exit("image delete golden --yes"), Some(0));
}

#[test]
fn json_is_the_object_of_the_api_and_the_doctor_finds_nothing() {
    let site = Site::start();
    assert_eq!(site.exit("group create lab"), Some(0));
    let listed = site.run("group list -o json");
    let groups: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        (groups[0]["id"].as_str(), groups[0]["name"].as_str()),
        (Some("1"), Some("lab"))
    );
    assert!(listed.stderr.is_empty());
    // The node of the site connects a moment after the tokens are given out.
    let begun = Instant::now();
    while site.exit("doctor -q") != Some(0) {
        assert!(
            begun.elapsed() < PATIENCE,
            "{}",
            String::from_utf8_lossy(&site.run("doctor").stdout)
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(String::from_utf8_lossy(&site.run("doctor").stdout).contains("free"));
}

#[test]
fn a_multicast_session_is_shown_changed_and_cancelled() {
    let site = Site::start();
    // One that waits for hosts and has none: images are captured by other tests.
    let body = json!({"name": "lab", "sessclients": 3});
    site.api()
        .text("POST", "/fog/multicastsession/create", Some(&body))
        .unwrap();
    let json = |line: &str| -> Value { serde_json::from_slice(&site.run(line).stdout).unwrap() };
    let list = json("session list -o json");
    assert_eq!(
        (
            &list["sessions"][0]["session"],
            &list["sessions"][0]["phase"]
        ),
        (&json!(1), &json!("waiting"))
    );
    let shown = String::from_utf8_lossy(&site.run("session show 1").stdout).into_owned();
    assert!(
        shown.contains("session 1 (no image): waiting") && shown.contains("LIMITED BY"),
        "{shown}"
    );
    assert_eq!(site.exit("session rate 1 500m"), Some(0));
    assert_eq!(
        json("session show 1 -o json")["max_rate_bytes_per_second"],
        62_500_000
    );
    assert_eq!(site.exit("session rate 1 fast"), Some(2));
    assert_eq!(site.exit("session start 1"), Some(0));
    assert!(json("session show 1 -o json")["start_at"].is_string());
    let watched = site.run("session watch 1 --timeout 1s");
    assert_eq!(watched.status.code(), Some(1), "it has not ended");
    let said = String::from_utf8_lossy(&watched.stderr).into_owned();
    assert!(
        said.starts_with("session 1 (no image): waiting, 0 of 0 hosts checked in"),
        "{said}"
    );
    assert_eq!(site.exit("session join 1 nosuch"), Some(4));
    assert_eq!(site.exit("session cancel 1"), Some(0));
    assert_eq!(site.exit("session start 1"), Some(6), "it has ended");
    assert_eq!(site.exit("session watch 1"), Some(1), "nobody got anything");
    assert_eq!(json("session list -o json")["sessions"], json!([]));
    assert_eq!(
        json("session list --all -o json")["sessions"][0]["phase"],
        "cancelled"
    );
    for line in [
        "session show 99",
        "session watch 99",
        "session cancel 99",
        "session rate 99 1g",
    ] {
        let missing = site.run(line);
        assert_eq!(missing.status.code(), Some(4), "{line}");
        assert!(
            String::from_utf8_lossy(&missing.stderr).contains("foghorn session list"),
            "says where to look"
        );
    }
    assert_eq!(site.exit("image create win11 -q"), Some(0));
    assert_eq!(
        site.exit("host create pc1 --mac 52:54:00:00:00:01 -q"),
        Some(0)
    );
    assert_eq!(
        site.exit("image deploy win11 --host pc1 --multicast --yes"),
        Some(5),
        "nothing was captured yet"
    );
}

#[test]
fn plain_http_is_taken_with_a_warning() {
    use std::io::{Read as _, Write as _};
    let site = Site::with(&["--listen", "0.0.0.0:0", "--plain-http"]);
    let said = std::fs::read_to_string(site.folder.path().join("said")).expect("the messages");
    assert!(said.contains("WARNING: plain HTTP is on"), "{said}");
    let (_, port) = site.environment[0].1.rsplit_once(':').expect("a port");
    let port = port.parse::<u16>().expect("a port");
    let mut plain = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    plain
        .write_all(b"GET /fog/service/getversion.php HTTP/1.0\r\n\r\n")
        .expect("a request");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("1.5.8"), "{answer}");
    assert_eq!(site.exit("host list"), Some(0), "the same port takes HTTPS");
}
