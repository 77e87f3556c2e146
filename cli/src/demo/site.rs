//! The site of the demo: `foghorn serve` as a child on loopback, and REST to it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use foghorn_rest_types::fog::{Host, HostBody, Image, ImageBody, Row};
use foghorn_rest_types::native::{BootTokenRequest, BootTokenResponse};
use foghorn_types::MacAddress;

use super::children::Running;
use super::disk::path_text;
use crate::api::Api;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::serve::FirstRunFile;

/// A debug build under load needs some time to generate its certificates.
const START_WITHIN: Duration = Duration::from_secs(60);

pub(super) struct Site {
    pub(super) server: Running,
    pub(super) credentials: FirstRunFile,
    pub(super) api: Api,
}

impl Site {
    pub(super) fn start(work: &Path) -> Result<Self, Failure> {
        let first_run = work.join("first-run.json");
        let mut command = Command::new(own_program("foghorn")?);
        command.arg("serve");
        command.args([
            "--state-dir",
            path_text(&work.join("site")),
            "--first-run-file",
            path_text(&first_run),
        ]);
        for flag in ["--listen", "--link-listen", "--quic-listen"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        let mut server = Running::start("serve", command, work).map_err(broken)?;
        let credentials = server
            .wait_until(START_WITHIN, || {
                let text = std::fs::read(&first_run).ok()?;
                serde_json::from_slice::<FirstRunFile>(&text).ok()
            })
            .map_err(broken)?;
        let context = Context {
            server: credentials.url.clone(),
            ca_pem: Some(credentials.ca_pem.clone()),
            api_token: credentials.api_token.clone(),
            user_token: credentials.user_token.clone(),
        };
        let api = Api::new(&context)?;
        Ok(Self {
            server,
            credentials,
            api,
        })
    }

    pub(super) fn create_image(&self, name: &str) -> Result<Row<Image>, Failure> {
        Ok(self.api.create(&ImageBody::new(name))?)
    }

    pub(super) fn create_host(&self, name: &str, mac: MacAddress) -> Result<Row<Host>, Failure> {
        let body = HostBody {
            name: Some(name.to_owned()),
            macs: Some(vec![mac]),
            ..HostBody::default()
        };
        Ok(self.api.create(&body)?)
    }

    /// A real client on `disk`, as a machine would start it after booting from the network.
    pub(super) fn start_client(
        &self,
        host: &Row<Host>,
        disk: &Path,
        work: &Path,
    ) -> Result<Running, Failure> {
        let name = &host.view.name;
        let path = format!("/foghorn/v1/hosts/{}/boot-token", host.view.id);
        let token: BootTokenResponse =
            self.api
                .native("POST", &path, Some(&BootTokenRequest::default()))?;
        let mac = host
            .view
            .macs
            .first()
            .ok_or_else(|| broken("the server stored the host without its MAC address"))?;
        let mut command = Command::new(own_program("foghorn-client")?);
        command.arg("run").args([
            "--controller",
            &self.credentials.url,
            "--mac",
            &mac.to_string(),
        ]);
        command.args(["--disk", &format!("path:{}", path_text(disk))]);
        command.args(["--report", path_text(&work.join(format!("{name}.json")))]);
        // In the environment, because every user of the machine can read a command line.
        command.env("FOGHORN_BOOT_TOKEN", &token.token);
        Running::start(name, command, work).map_err(broken)
    }
}

/// Another program of Foghorn, in the same folder as the running one.
pub(super) fn own_program(name: &str) -> Result<std::path::PathBuf, Failure> {
    let here = std::env::current_exe().map_err(broken)?;
    if name == "foghorn" {
        return Ok(here);
    }
    let program = here.with_file_name(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::new(
        Exit::Failed,
        format!(
            "{name} is not in {}",
            here.parent().unwrap_or(&here).display()
        ),
    )
    .advise("build it as well: cargo build --release -p foghorn-cli -p foghorn-client"))
}

pub(super) fn broken(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Exit::Failed, "the demo failed").caused_by(cause)
}
