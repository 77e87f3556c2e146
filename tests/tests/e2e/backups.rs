//! `docs/operations/backup.md` is run, command by command, on a `foghorn serve`: what was there at
//! the backup is there again, and what came later is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use foghorn_test_ports::{free_port, free_udp_port};
use foghorn_tests::page::blocks;
use foghorn_tests::process::Process;
use foghorn_tests::rest::Rest;
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::tools::foghorn;
use serde_json::{Value, json};

/// Where the page has the state.
const STATE: &str = "/var/lib/foghorn";

struct Site {
    folder: tempfile::TempDir,
    ports: [u16; 3],
    server: Option<Process>,
}

impl Site {
    fn new() -> Result<Self> {
        let mut site = Self {
            folder: tempfile::tempdir()?,
            ports: [free_port()?, free_port()?, free_udp_port()?],
            server: None,
        };
        site.start()?;
        Ok(site)
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn first_run(&self) -> Result<Value> {
        let file = fs::read(self.folder.path().join("first.json"))?;
        Ok(serde_json::from_slice(&file)?)
    }

    /// What the page calls `systemctl start foghorn-serve`.
    fn start(&mut self) -> Result<()> {
        let [rest, link, quic] = self.ports.map(|port| format!("127.0.0.1:{port}"));
        let mut command = Command::new(foghorn("foghorn")?);
        command.args(["serve", "--listen", &rest, "--link-listen", &link]);
        command.args(["--quic-listen", &quic, "--first-run-file", "first.json"]);
        command.args(["--state-dir", "state"]);
        command.current_dir(self.folder.path());
        // Of what has run before.
        let ready = |log: &str| log.matches("the site is ready").count();
        let log = self.folder.path().join("serve.log");
        let before = ready(&fs::read_to_string(log).unwrap_or_default());
        let mut server = Process::start(self.folder.path(), "serve", &mut command)?;
        let start = Instant::now();
        // When it tells systemd so.
        while ready(&server.log()) <= before {
            ensure!(server.is_running()?, "it ended:\n{}", server.log());
            ensure!(start.elapsed() < PATIENCE, "not ready:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.server = Some(server);
        Ok(())
    }

    fn rest(&self) -> Result<Rest> {
        let first = self.first_run()?;
        let text = |name: &str| {
            first[name]
                .as_str()
                .context("the file of the first run is not whole")
        };
        let url = format!("https://127.0.0.1:{}", self.ports[0]);
        Rest::new(
            &url,
            text("ca_pem")?,
            text("api_token")?,
            text("user_token")?,
        )
    }

    /// Runs one line of the page, with the variables that earlier lines have set.
    fn run(&mut self, line: &str) -> Result<String> {
        match line.strip_prefix("systemctl ").map(str::trim) {
            Some("stop foghorn-serve") => {
                let mut server = self.server.take().context("it is not running")?;
                server.stop(PATIENCE)?;
                return Ok(String::new());
            }
            Some("start foghorn-serve") => return self.start().map(|()| String::new()),
            Some(other) => bail!("the page uses systemctl {other}"),
            None => {}
        }
        let line = line.replace(STATE, &self.state().display().to_string());
        let script = format!(
            "set -euo pipefail\n[ ! -e set ] || . ./set\n{line}\nset | grep ^backup= > set || true"
        );
        let first = self.first_run()?;
        fs::write(
            self.folder.path().join("ca.pem"),
            first["ca_pem"].as_str().unwrap_or_default(),
        )?;
        let path = std::env::var("PATH").unwrap_or_default();
        let program = foghorn("foghorn")?;
        let bin = program.parent().unwrap_or(Path::new("/"));
        let done = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env(
                "FOGHORN_SERVER",
                format!("https://127.0.0.1:{}", self.ports[0]),
            )
            .env("FOGHORN_CA", "ca.pem")
            .env(
                "FOGHORN_API_TOKEN",
                first["api_token"].as_str().unwrap_or_default(),
            )
            .env(
                "FOGHORN_USER_TOKEN",
                first["user_token"].as_str().unwrap_or_default(),
            )
            .output()?;
        let (out, errors) = (
            String::from_utf8_lossy(&done.stdout).into_owned(),
            String::from_utf8_lossy(&done.stderr),
        );
        ensure!(done.status.success(), "`{line}` failed:\n{out}{errors}");
        Ok(out)
    }

    fn host(&self, name: &str, mac: &str) -> Result<()> {
        let body = json!({"name": name, "macs": [mac]});
        self.rest()?
            .post("/fog/host/create", &body)?
            .ok()
            .map(|_| ())
    }

    fn hosts(&self) -> Result<Vec<String>> {
        let list = self.rest()?.get("/fog/host")?.ok()?;
        let names = list["hosts"].as_array().context("no list of hosts")?;
        Ok(names
            .iter()
            .filter_map(|host| host["name"].as_str().map(str::to_owned))
            .collect())
    }
}

#[test]
fn the_page_on_backups_does_what_it_says() -> Result<()> {
    let page = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/operations/backup.md"
    ))?;
    let mut site = Site::new()?;
    site.host("before", "52:54:00:00:00:01")?;
    let mut printed = String::new();
    for block in blocks(&page).iter().filter(|block| block.language == "sh") {
        for line in block.text.lines() {
            // Between the backup and the way back.
            if line == "systemctl stop foghorn-serve" {
                site.host("after", "52:54:00:00:00:02")?;
            }
            printed.push_str(&site.run(line)?);
        }
    }
    ensure!(
        printed.contains("; what was there before is in "),
        "{printed}"
    );
    ensure!(site.hosts()? == ["before"], "{:?}", site.hosts()?);
    let doctor = site.run("foghorn doctor")?;
    ensure!(doctor.contains("ok    backups"), "{doctor}");
    let while_it_works =
        site.run("foghorn serve --state-dir /var/lib/foghorn --restore \"$backup\"");
    let error = while_it_works
        .err()
        .context("a store was restored under a running server")?;
    ensure!(
        format!("{error:#}").contains("stop the controller first"),
        "{error:#}"
    );
    Ok(())
}
