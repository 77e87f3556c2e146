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
fn a_join_token_for_many_nodes_is_made_listed_and_deleted() {
    let site = Site::start();
    let made = site.run("node join-token --for-many store-* --count 20 --expires 7d");
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    assert!(said(&made).contains("20 nodes"), "{}", said(&made));
    let token = String::from_utf8_lossy(&made.stdout).into_owned();
    let secret = token.trim().strip_prefix("fhm1.").expect("one for many");
    let secret = secret.split('.').next().expect("a secret");
    let list = site.run("node join-tokens list");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(
        list.contains("store-*") && list.contains("20 of 20") && !list.contains(secret),
        "{list}"
    );
    for wrong in [
        "node join-token",
        "node join-token north --for-many s-* --count 1",
        "node join-token --for-many s-*",
        "node join-token --for-many s.* --count 1",
        "node join-token --for-many s-* --count 0",
        "node join-token --for-many s-* --count 1 --expires soon",
        "node join-token north --count 3",
        "node join-token north --expires 30d",
    ] {
        assert_eq!(site.exit(wrong), Some(2), "{wrong}");
    }
    assert_eq!(site.exit("node join-token north --expires 12h"), Some(0));
    let delete = "node join-tokens delete 1";
    assert_eq!(site.exit(delete), Some(5), "nobody to ask");
    assert_eq!(site.exit("node join-tokens delete 99 --yes"), Some(4));
    assert_eq!(site.exit(&format!("{delete} --dry-run")), Some(0));
    assert_eq!(site.exit(&format!("{delete} --yes")), Some(0));
    assert_eq!(site.exit(&format!("{delete} --yes")), Some(4), "it is gone");
}

#[test]
fn a_machine_token_is_made_listed_and_deleted() {
    let site = Site::start();
    let host = "host create pc1 --mac 00:1a:2b:3c:4d:01";
    assert_eq!(site.exit(host), Some(0));
    let made = site.run("host token pc1 --expires 12h");
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    let hint = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(hint.contains("dialects.foundries.gateway"), "{hint}");
    let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    assert!(token.starts_with("fhh1."), "{token}");
    let many = "host token --factory default --count 30";
    assert_eq!(site.exit(many), Some(0));
    let list = site.run("host tokens list");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("pc1") && list.contains("30 of 30"), "{list}");
    assert!(!list.contains(&token), "{list}");
    for (wrong, exit) in [
        ("host token", 2),
        ("host token pc1 --count 2", 2),
        ("host token nobody", 4),
        ("host token --factory nowhere", 4),
    ] {
        assert_eq!(site.exit(wrong), Some(exit), "{wrong}");
    }
    let id = list.lines().nth(1).and_then(|line| line.split(' ').next());
    let delete = format!("host tokens delete {}", id.expect("a row"));
    assert_eq!(site.exit(&delete), Some(5), "nobody to ask");
    assert_eq!(site.exit(&format!("{delete} --dry-run")), Some(0));
    assert_eq!(site.exit(&format!("{delete} --yes")), Some(0));
    assert_eq!(site.exit(&format!("{delete} --yes")), Some(4), "it is gone");
}

#[test]
fn devices_are_listed_without_any_dialect() {
    let site = Site::start();
    let printed = |line: &str| {
        let output = site.run(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for line in ["device list", "device denied"] {
        let table = printed(line);
        assert!(table.starts_with("UUID  NAME  FACTORY"), "{table}");
        assert_eq!(table.lines().count(), 1, "{table}");
        assert_eq!(printed(&format!("{line} -o json")).trim(), "[]");
    }
    printed("device list --factory default --status offline");
    let nobody = "0a1b2c3d-0000-4000-8000-00000000000f";
    for (wrong, exit) in [
        ("device list --status asleep", 2),
        ("device list --factory nowhere", 4),
        ("device list --host nobody", 4),
        ("device show nobody", 4),
        (format!("device show {nobody}").as_str(), 4),
        ("device delete", 2),
        (format!("device delete {nobody} --yes").as_str(), 4),
        (format!("device allow {nobody}").as_str(), 4),
    ] {
        assert_eq!(site.exit(wrong), Some(exit), "{wrong}");
    }
}

#[test]
fn the_policy_of_a_factory_is_shown_set_and_resumed() {
    let site = Site::start();
    let show =
        || String::from_utf8_lossy(&site.run("factory policy show default").stdout).into_owned();
    assert!(show().contains("manual"), "{}", show());
    for wrong in [
        "factory policy set default",
        "factory policy set default --mode always",
        "factory policy set default --at-most 0",
        "factory policy set default --patience 0",
        "factory policy set default --window x --no-window",
    ] {
        assert_eq!(site.exit(wrong), Some(2), "{wrong}");
    }
    let set = "factory policy set default --mode auto --at-most 20 --stop-after 2";
    assert_eq!(site.exit(&format!("{set} --dry-run")), Some(0));
    assert!(show().contains("manual"), "{}", show());
    assert_eq!(site.exit(set), Some(0));
    let shown = show();
    for part in ["auto", "20 at most", "stops after 2", "at any time"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert_eq!(site.exit("factory policy resume default"), Some(0));
    assert_eq!(site.exit("factory policy show nowhere"), Some(4));
}

#[test]
fn a_factory_token_is_made_listed_and_revoked() {
    let site = Site::start();
    let create = "factory-token create --scope devices:read,targets:read --expires 90d";
    assert_eq!(site.exit(&format!("{create} --dry-run")), Some(0));
    let made = site.run(create);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    let hint = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(hint.contains("dialects.foundries.enabled"), "{hint}");
    let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let list = site.run("factory-token list");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(
        list.contains("devices:read,targets:read") && !list.contains(&token),
        "{list}"
    );
    assert_eq!(list.lines().count(), 2, "a dry run makes none: {list}");
    assert_eq!(site.exit("factory-token create"), Some(2), "no scope");
    let id = list.lines().nth(1).and_then(|line| line.split(' ').next());
    let revoke = format!("factory-token revoke {}", id.expect("a row"));
    assert_eq!(site.exit(&revoke), Some(5), "nobody to ask");
    assert_eq!(site.exit(&format!("{revoke} --dry-run")), Some(0));
    assert_eq!(site.exit(&format!("{revoke} --yes")), Some(0));
    assert_eq!(site.exit(&format!("{revoke} --yes")), Some(4), "it is gone");
}

#[test]
fn json_is_the_object_of_the_api_and_the_doctor_finds_nothing() {
    let site = Site::start();
    assert_eq!(site.exit("group create lab"), Some(0));
    let listed = site.run("group list -o json");
    let groups: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        (groups[0]["id"].as_u64(), groups[0]["name"].as_str()),
        (Some(1), Some("lab"))
    );
    assert!(listed.stderr.is_empty());
    let fog = site.run("group list --fog -o json").stdout;
    let fog: Value = serde_json::from_slice(&fog).unwrap();
    assert_eq!(fog[0]["id"].as_str(), Some("1"), "FOG's objects on request");
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
    let finding = |site: &Site, check: &str| -> Value {
        let output = site.run("doctor --json");
        let findings: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut found = findings.into_iter().filter(|one| one["check"] == check);
        found
            .next()
            .unwrap_or_else(|| panic!("no {check}: {output:?}"))
    };
    let mut site = site;
    for (check, words) in [
        ("network", "answers"),
        ("quic", "DefaultMember answers at 127.0.0.1:"),
        ("link", "valid until"),
        ("tasks", "none has failed"),
    ] {
        let found = finding(&site, check);
        let text = found["found"].as_str().expect("a text");
        assert!(text.contains(words) && found["verdict"] == "ok", "{found}");
    }
    site.server.kill().expect("it runs");
    site.server.wait().expect("it has ended");
    assert_eq!(site.exit("doctor"), Some(1));
    let stopped = finding(&site, "network");
    let text = stopped["found"].as_str().expect("a text");
    assert!(text.contains("the server is stopped"), "{stopped}");
    assert_eq!(
        finding(&site, "rest")["verdict"],
        "warn",
        "what was not tested"
    );
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

/// A server that takes every request; the URL that it is reached by.
fn receiver() -> String {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let whole = reader.read_exact(&mut body).is_ok();
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            let _gone = reader.get_mut().write_all(if whole { answer } else { b"" });
        }
    });
    url
}

#[test]
fn people_are_told_and_a_test_says_whether_they_were() {
    let site = Site::start();
    let said = |output: &Output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
            + String::from_utf8_lossy(&output.stderr).as_ref()
    };
    let added = site.run(&format!("notify add webhook {} --name pager", receiver()));
    assert_eq!(added.status.code(), Some(0), "{}", said(&added));
    assert!(added.stdout.starts_with(b"whsec_"), "{}", said(&added));
    let tested = site.run("notify test pager");
    assert_eq!(tested.status.code(), Some(0), "{}", said(&tested));
    let nowhere = "notify add chat http://127.0.0.1:1/s3cret --name room --kind task-failed";
    assert_eq!(site.exit(nowhere), Some(0));
    let failed = site.run("notify test room");
    assert_eq!(failed.status.code(), Some(1));
    let words = said(&failed);
    assert!(
        words.contains("was not delivered") && words.contains("because"),
        "{words}"
    );
    let listed = said(&site.run("notify list"));
    assert!(
        listed.contains("pager") && listed.contains("1 waiting") && !listed.contains("s3cret"),
        "{listed}"
    );
    let messages = said(&site.run("notify deliveries pager"));
    assert!(
        messages.contains("delivered") && messages.contains("This is a test of pager"),
        "{messages}"
    );
    assert_eq!(site.exit("notify retry room"), Some(0));
    assert_eq!(site.exit("notify edit pager --kind tsk-failed"), Some(2));
    assert_eq!(site.exit("notify edit pager"), Some(2), "no change");
    let off = site.run("notify edit pager --enabled false");
    assert_eq!(off.status.code(), Some(0), "{}", said(&off));
    assert_eq!(site.exit("notify test pager"), Some(6), "it is off");
    assert_eq!(site.exit(nowhere), Some(6), "the name is taken");
    assert_eq!(site.exit("notify show nobody"), Some(4));
    assert_eq!(site.exit("notify delete pager"), Some(5), "nobody to ask");
    assert_eq!(site.exit("notify delete pager room --yes"), Some(0));
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn lists_of_hosts_are_imported_exported_and_imported_again() {
    let site = Site::start();
    assert_eq!(site.exit("image create win11 -q"), Some(0));
    let path = |name: &str| site.folder.path().join(name).display().to_string();
    let write = |name: &str, content: &[u8]| {
        std::fs::write(path(name), content).expect("a file");
        path(name)
    };
    let hosts = || {
        String::from_utf8_lossy(&site.run("host list -q").stdout)
            .lines()
            .count()
    };
    let mut list = String::from("name,macs,description,image,disk,groups\r\n");
    for number in 0..200 {
        list += &format!(
            "pc{number},02:00:00:00:01:{number:02x},\"Tisch {number}, Süd\",win11,only,lab\r\n"
        );
    }
    let file = write("hosts.csv", list.as_bytes());

    // Nothing is stored by what is wrong, or by a dry run.
    let lacking = site.run(&format!("host import {file}"));
    assert_eq!(lacking.status.code(), Some(2), "{}", said(&lacking));
    assert!(said(&lacking).contains("line 2, groups: there is no group \"lab\""));
    let dry = site.run(&format!("host import {file} --create-groups --dry-run"));
    assert_eq!(dry.status.code(), Some(0), "{}", said(&dry));
    assert!(
        said(&dry).contains("would be created 200"),
        "{}",
        said(&dry)
    );
    assert_eq!(hosts(), 0);

    let made = site.run(&format!("host import {file} --create-groups -q"));
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    assert_eq!(String::from_utf8_lossy(&made.stdout).lines().count(), 200);
    let again = site.run(&format!("host import {file}"));
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert!(
        said(&again).contains("already equal 200"),
        "{}",
        said(&again)
    );

    // What is different is left unless it is to be changed; an interrupted import continues.
    assert_eq!(site.exit("host edit pc7 --description other -q"), Some(0));
    assert_eq!(site.exit("host delete pc8 --yes"), Some(0));
    let different = site.run(&format!("host import {file}"));
    assert_eq!(different.status.code(), Some(3), "{}", said(&different));
    assert!(
        said(&different).contains("created 1, changed 0, already equal 198, different and left 1")
    );
    assert_eq!(site.exit(&format!("host import {file} --update")), Some(0));

    // Round trips in both formats.
    for (format, options) in [("foghorn", ""), ("fog", "--keep-image-ids")] {
        let (first, second) = (path(&format!("{format}1")), path(&format!("{format}2")));
        assert_eq!(
            site.exit(&format!("host export {first} --format {format}")),
            Some(0)
        );
        assert_eq!(
            site.exit(&format!("host export {first}")),
            Some(1),
            "it exists"
        );
        let ids = String::from_utf8(site.run("host list -q").stdout).expect("ids");
        let ids: Vec<String> = ids.lines().map(|id| format!("id:{id}")).collect();
        assert_eq!(
            site.exit(&format!("host delete {} --yes", ids.join(" "))),
            Some(0)
        );
        assert_eq!(hosts(), 0);
        let back = site.run(&format!("host import {first} {options}"));
        assert_eq!(back.status.code(), Some(0), "{}", said(&back));
        assert_eq!(
            site.exit(&format!("host export {second} --format {format}")),
            Some(0)
        );
        let content = |path: &str| {
            let text = std::fs::read_to_string(path).expect("an export");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(content(&first), content(&second), "{format}");
    }

    let bad = write(
        "bad.csv",
        b"name,macs,description\nnew1,02:00:00:00:02:01,\nnew2,02:00:00:00:01:07,\nnew3,02:00:00:00:02:03,Gr\xfcn\n",
    );
    let refused = site.run(&format!("host import {bad}"));
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        said(&refused).contains("line 3, macs: the address 02:00:00:00:01:07 belongs to host pc7")
    );
    assert!(said(&refused).contains("line 4, description: the line is not UTF-8"));
    assert_eq!(hosts(), 200);
    assert_eq!(site.exit(&format!("host import {bad} --skip-bad")), Some(3));
    assert_eq!(hosts(), 201);
}

#[test]
fn dry_runs_change_nothing_and_end_as_the_command_would() {
    let site = Site::start();
    assert_eq!(site.exit("image create win11 -q --dry-run"), Some(0));
    assert_eq!(site.exit("image show win11"), Some(4), "it was not created");
    assert_eq!(site.exit("image create win11 -q"), Some(0));
    assert_eq!(
        site.exit("host create pc1 --mac 52:54:00:00:00:01 -q"),
        Some(0)
    );
    assert_eq!(
        site.exit("host create pc1 --mac 52:54:00:00:00:02 --dry-run"),
        Some(6)
    );
    assert_eq!(
        site.exit("host create pc2 --mac 52:54:00:00:00:02 --disk sda"),
        Some(2)
    );
    let edit = site.run("host edit pc1 --disk only --dry-run");
    assert_eq!(edit.status.code(), Some(0), "{}", said(&edit));
    assert!(said(&edit).contains("would change host pc1: kernelDevice from \"\" to \"only\""));
    assert_eq!(
        site.exit("image capture win11 --host pc1 --dry-run"),
        Some(0)
    );
    assert_eq!(site.exit("image capture win11 --host pc1 -q"), Some(0));
    assert_eq!(
        site.exit("image capture win11 --host pc1 --dry-run"),
        Some(6),
        "it is busy"
    );
    let delete = site.run("host delete pc1 --dry-run");
    assert_eq!(delete.status.code(), Some(0), "{}", said(&delete));
    assert!(
        said(&delete).contains("its registration is lost"),
        "{}",
        said(&delete)
    );
    assert_eq!(site.exit("host show pc1"), Some(0));
    assert_eq!(site.exit("node revoke defaultmember --dry-run"), Some(0));

    // Cancelling many: shown, asked, and done.
    let dry = site.run("task cancel --all --dry-run");
    assert_eq!(dry.status.code(), Some(0), "{}", said(&dry));
    assert!(said(&dry).contains("of host pc1"), "{}", said(&dry));
    assert_eq!(
        site.exit("task cancel --image win11"),
        Some(5),
        "nobody to ask"
    );
    assert_eq!(site.exit("task cancel --host nosuch"), Some(4));
    assert_eq!(site.exit("task cancel"), Some(2), "which?");
    assert_eq!(
        site.exit("task cancel 99 --host pc1 --yes"),
        Some(3),
        "there is no task 99"
    );
    let none = site.run("task cancel --all --yes");
    assert_eq!(none.status.code(), Some(0));
    assert!(
        said(&none).contains("nothing was cancelled"),
        "{}",
        said(&none)
    );

    let slow = site.run("image deploy win11 --host pc1 --multicast --max-rate 500");
    assert_eq!(slow.status.code(), Some(2));
    assert!(
        said(&slow).contains("did you mean 500m?"),
        "{}",
        said(&slow)
    );
    // What an ordinary cancel says in the log of the server is no warning.
    let log = std::fs::read_to_string(site.folder.path().join("said")).expect("the log");
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains(" WARN ")).collect();
    assert!(
        !warnings.iter().any(|line| line.contains("task")),
        "{warnings:?}"
    );
}
