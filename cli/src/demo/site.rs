//! The site of the demo: `foghorn serve` as a child on loopback, and REST to it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use foghorn_rest_types::fog::{Host, HostBody, Image, ImageBody, Row};
use foghorn_types::MacAddress;

use super::disk::path_text;
use crate::api::Api;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::machines::children::Running;
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
        let mut command = Command::new(std::env::current_exe().map_err(broken)?);
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
}

pub(super) fn broken(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Exit::Failed, "the demo failed").caused_by(cause)
}
