//! What `foghorn` says and with which code it ends, against one `foghorn serve`: commands for what
//! only the API could do before, and errors in words.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use foghorn_tests::process::{Process, until};
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::tools::foghorn;
use serde_json::Value;
use tempfile::TempDir;

struct Site {
    folder: TempDir,
    server: Process,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Site {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let plugins = at("site/controller/plugins");
        std::fs::create_dir_all(&plugins)?;
        std::fs::write(plugins.join("hurt.rhai"), "let x = ;\n")?;
        let mut serve = Command::new(foghorn("foghorn")?);
        serve.args(["serve", "--state-dir", text(&at("site"))]);
        serve.args(["--first-run-file", text(&at("first.json"))]);
        for port in ["--listen", "--link-listen", "--quic-listen"] {
            serve.args([port, "127.0.0.1:0"]);
        }
        let server = Process::start(folder.path(), "serve", &mut serve)?;
        until("the first credentials", PATIENCE, || {
            Ok(at("first.json").exists().then_some(()))
        })?;
        let site = Self { folder, server };
        let first = site.path("first.json");
        site.check(0, &["login", "--first-run-file", &first], "logged in")?;
        Ok(site)
    }

    fn path(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    fn run(&self, words: &[&str]) -> Result<Output> {
        Command::new(foghorn("foghorn")?)
            .args(words)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TZ", "UTC")
            .stdin(std::process::Stdio::null())
            .output()
            .context("could not run foghorn")
    }

    /// Runs a command that must end with `status` and say `said` on either stream, and nothing that
    /// only programmers read.
    fn check(&self, status: i32, words: &[&str], said: &str) -> Result<String> {
        let output = self.run(words)?;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        let line = words.join(" ");
        ensure!(
            output.status.code() == Some(status),
            "foghorn {line}: {:?}\n{out}{err}",
            output.status.code()
        );
        let both = format!("{out}{err}");
        ensure!(
            both.contains(said),
            "foghorn {line}: no {said:?} in\n{both}"
        );
        for inner in [
            "/fog/",
            "/foghorn/v1",
            "POST ",
            "hosts: hosts",
            "no reason was given",
        ] {
            ensure!(!err.contains(inner), "foghorn {line}: {inner:?} in\n{err}");
        }
        Ok(out)
    }

    fn checks(&self, table: &[(i32, &[&str], &str)]) -> Result<()> {
        for (status, words, said) in table {
            self.check(*status, words, said)?;
        }
        Ok(())
    }
}

fn errors(site: &Site) -> Result<()> {
    let mac = "52:54:00:00:0b:01";
    site.checks(&[
        (0, &["host", "create", "pc1", "--mac", mac], "pc1"),
        (
            6,
            &["host", "create", "pc1", "--mac", "52:54:00:00:0b:02"],
            "belongs to host pc1 (1) already",
        ),
        (6, &["host", "create", "pc2", "--mac", mac], "host pc1 (1)"),
        (4, &["host", "show", "nosuch"], "foghorn host list"),
        (
            4,
            &["storage-group", "show", "nosuch"],
            "foghorn storage-group list",
        ),
        (0, &["image", "create", "lab"], "lab"),
        (
            4,
            &["image", "versions", "lab", "--drop", "7", "--yes"],
            "foghorn image versions lab",
        ),
        (4, &["image", "undo", "lab", "--yes"], "no earlier version"),
        (
            4,
            &["image", "orphans", "drop", "defaultmember", "9"],
            "foghorn image orphans",
        ),
        (
            6,
            &["host", "boot-token", "pc1"],
            "foghorn image deploy IMAGE --host pc1",
        ),
        (
            5,
            &["image", "deploy", "lab", "--host", "pc1", "--yes"],
            "foghorn image capture lab",
        ),
        (0, &["group", "create", "lab", "--host", "pc1"], "lab"),
    ])?;
    let zeros = "0".repeat(128);
    site.checks(&[
        (
            5,
            &["host", "list", "--api-token", &zeros],
            "did not accept the API token",
        ),
        (
            5,
            &["host", "list", "--user-token", &zeros],
            "did not accept the user token",
        ),
    ])?;
    let loud = site.run(&["--verbose", "host", "show", "pc1"])?;
    ensure!(String::from_utf8_lossy(&loud.stderr).contains("GET https://"));
    let nowhere = site.path("nowhere");
    site.check(
        1,
        &["serve", "--state-dir", &nowhere, "--reset-admin"],
        "there is no installation in",
    )?;
    ensure!(!Path::new(&nowhere).exists(), "it was made");
    Ok(())
}

fn logging_in(site: &Site) -> Result<()> {
    let first: Value = serde_json::from_slice(&std::fs::read(site.path("first.json"))?)?;
    let word = |name: &str| first[name].as_str().unwrap_or_default().to_owned();
    let (url, api, user) = (word("url"), word("api_token"), word("user_token"));
    let ca = site.path("ca.pem");
    std::fs::write(&ca, word("ca_pem"))?;
    let log_in = |status, api: &str, user: &str, said: &str| {
        let words = [
            "login",
            "--server",
            &url,
            "--ca",
            &ca,
            "--api-token",
            api,
            "--user-token",
            user,
        ];
        site.check(status, &words, said)
    };
    log_in(2, &api[1..], &user, "127 characters")?;
    log_in(2, "fhj1.a.b", &user, "join token")?;
    log_in(2, &api, &api, "are the same")?;
    log_in(5, &"0".repeat(128), &user, "did not accept the API token")?;
    log_in(5, &api, &"0".repeat(128), "did not accept the user token")?;
    log_in(0, &user, &api, "in the other order")?;
    let log = site.server.log();
    let print = log
        .split("--ca-fingerprint ")
        .nth(1)
        .context("no fingerprint")?;
    let print = print.lines().next().context("no fingerprint")?.trim();
    let wrong = if print.starts_with('A') { "B" } else { "A" };
    let wrong = format!("{wrong}{}", &print[1..]);
    let words = ["login", "--server", &url, "--ca-fingerprint", &wrong];
    site.check(5, &words, "mistyped in one place")?;
    Ok(())
}

fn snapins(site: &Site) -> Result<()> {
    let file = site.path("tool.sh");
    std::fs::write(&file, vec![b'x'; 8 << 20])?;
    until("the storage node", PATIENCE, || {
        let nodes = site.run(&["node", "list"])?;
        Ok(String::from_utf8_lossy(&nodes.stdout)
            .contains("yes")
            .then_some(()))
    })?;
    site.checks(&[
        (
            0,
            &["snapin", "create", "empty"],
            "foghorn snapin upload empty FILE",
        ),
        (
            5,
            &["snapin", "run", "empty", "--host", "pc1"],
            "has no file",
        ),
    ])?;
    // The node is listed a moment before it takes files.
    until("an upload", PATIENCE, || {
        let done = site.run(&["snapin", "upload", "empty", &file])?;
        Ok(done.status.success().then_some(()))
    })?;
    site.checks(&[
        (
            0,
            &[
                "snapin", "create", "tool", "--upload", &file, "--args", "-q",
            ],
            "8.00 MiB",
        ),
        (6, &["snapin", "create", "tool"], "foghorn snapin list"),
        (0, &["snapin", "list"], "8.00 MiB"),
        (
            0,
            &["snapin", "edit", "tool", "--run-with", "sh"],
            "changed snapin tool",
        ),
        (2, &["snapin", "edit", "tool"], "foghorn help snapin edit"),
        (
            0,
            &["snapin", "assign", "tool", "--group", "lab"],
            "host pc1 has snapin tool",
        ),
        (0, &["snapin", "assign", "tool", "--host", "pc1"], "already"),
        (0, &["snapin", "show", "tool"], "pc1"),
        (
            0,
            &["snapin", "unassign", "tool", "--host", "pc1"],
            "any more",
        ),
        (
            0,
            &["snapin", "run", "tool", "--host", "pc1"],
            "host pc1 runs snapin tool",
        ),
        (0, &["task", "list", "--active"], "snapins"),
        (
            4,
            &["snapin", "upload", "nosuch", &file],
            "foghorn snapin list",
        ),
        (5, &["snapin", "delete", "empty"], "--yes"),
        (
            0,
            &["snapin", "delete", "empty", "--yes"],
            "deleted snapin empty",
        ),
    ])?;
    let made = site.check(
        0,
        &[
            "user",
            "add",
            "anna",
            "--role",
            "read-only",
            "--no-password",
            "-o",
            "json",
        ],
        "token",
    )?;
    let made: Value = serde_json::from_str(&made)?;
    let token = made["token"].as_str().context("no token")?;
    let words = ["snapin", "upload", "tool", &file, "--user-token", token];
    site.check(5, &words, "needs the role")?;
    Ok(())
}

fn schedules(site: &Site) -> Result<()> {
    let create = |more: &[&'static str]| [&["schedule", "create"], more].concat();
    let night = [
        "night",
        "--task",
        "deploy",
        "--group",
        "lab",
        "--cron",
        "0 3 * * 1",
    ];
    let with_yes: Vec<&str> = night.iter().copied().chain(["--yes"]).collect();
    site.checks(&[
        (
            0,
            &["setting", "set", "FOG_TZ_INFO", "Europe/Berlin"],
            "is \"Europe/Berlin\"",
        ),
        (5, &create(&night), "group lab are replaced"),
    ])?;
    let made = site.check(0, &create(&with_yes), "next start 20")?;
    ensure!(
        made.contains(":00:00 +0000 (the calendar is in Europe/Berlin)"),
        "{made}"
    );
    site.checks(&[
        (6, &create(&with_yes), "foghorn schedule list"),
        (
            2,
            &create(&[
                "x",
                "--task",
                "wake",
                "--host",
                "pc1",
                "--cron",
                "0 3 * * 9",
            ]),
            "the day of the week",
        ),
        (
            2,
            &create(&[
                "x",
                "--task",
                "wake",
                "--host",
                "pc1",
                "--at",
                "2020-01-01 00:00",
            ]),
            "has passed",
        ),
        (
            2,
            &create(&["x", "--task", "capture", "--group", "lab", "--at", "+2h"]),
            "--host",
        ),
        (
            0,
            &create(&["once", "--snapin", "tool", "--host", "pc1", "--at", "+2h"]),
            "snapin for host pc1",
        ),
        (0, &["schedule", "list"], "group lab"),
        (0, &["schedule", "show", "night"], "0 3 * * 1"),
        (
            0,
            &["schedule", "disable", "night"],
            "switched off schedule night",
        ),
        (0, &["schedule", "enable", "night"], "next start"),
        (
            0,
            &["schedule", "edit", "night", "--cron", "30 2 * * *"],
            "next start",
        ),
        (0, &["schedule", "show", "night"], "30 2 * * *"),
        (
            0,
            &["schedule", "delete", "night", "once", "--yes"],
            "deleted schedule once",
        ),
        (4, &["schedule", "show", "night"], "foghorn schedule list"),
    ])
}

fn the_rest(site: &Site) -> Result<()> {
    let enter = [
        "storage-group",
        "edit",
        "north",
        "--add-node",
        "defaultmember",
    ];
    site.checks(&[
        (
            0,
            &["storage-group", "create", "north", "--description", "x"],
            "created storage group north",
        ),
        (0, &enter, "with DefaultMember"),
        (0, &["storage-group", "show", "north"], "DefaultMember"),
        (
            0,
            &[
                "storage-group",
                "edit",
                "default",
                "--master",
                "defaultmember",
            ],
            "with DefaultMember",
        ),
        (5, &["storage-group", "delete", "north"], "0 nodes"),
        (
            0,
            &["storage-group", "delete", "north", "--yes"],
            "deleted storage group north",
        ),
        (0, &["setting", "list", "--effective"], "FOG_TZ_INFO"),
        (0, &["setting", "show", "tz_info"], "Time zone in which"),
        (
            0,
            &["setting", "set", "FOG_WEB_ROOT", "/x/"],
            "no effect in Foghorn",
        ),
        (
            4,
            &["setting", "set", "FOG_TZ", "UTC"],
            "did you mean FOG_TZ_INFO?",
        ),
        (
            2,
            &["setting", "set", "FOG_API_TOKEN", "x"],
            "foghorn api token-reset",
        ),
        (0, &["inventory", "list"], "MAKER"),
        (
            4,
            &["inventory", "show", "pc1"],
            "host pc1 (1) has not reported",
        ),
    ])
}

/// The server reads the folder and its rows once a second.
fn plugins(site: &Site) -> Result<()> {
    site.checks(&[
        (0, &["plugin", "list"], "broken"),
        (0, &["plugin", "disable", "hurt"], "plugin hurt is off"),
        (0, &["plugin", "enable", "hurt"], "plugin hurt is on"),
        (4, &["plugin", "show", "nosuch"], "foghorn plugin list"),
    ])?;
    until("the plugin", PATIENCE, || {
        let shown = site.run(&["plugin", "show", "hurt"])?;
        let said = String::from_utf8_lossy(&shown.stderr).into_owned();
        Ok(said.contains("its file cannot be used").then_some(()))
    })
}

#[test]
fn every_command_says_what_happened_and_what_to_do() {
    let site = Site::start().unwrap();
    errors(&site).unwrap();
    snapins(&site).unwrap();
    schedules(&site).unwrap();
    the_rest(&site).unwrap();
    plugins(&site).unwrap();
    logging_in(&site).unwrap();
}
