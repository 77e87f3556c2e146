//! A machine after imaging: registered as a device, with the host service on it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use foghorn_tests::factory::{Operator, Registered};
use foghorn_tests::process::Process;
use foghorn_tests::stack::PATIENCE;
use serde_json::{Value, json};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::places::Places;

pub(super) struct Machine {
    pub(super) uuid: String,
    pub(super) places: Places,
    gateway: String,
    agent: ureq::Agent,
}

impl Machine {
    /// Registers it under this name, with a folder of its own below `place`.
    pub(super) fn register(
        place: &Path,
        operator: &Operator,
        name: &str,
        uuid: &str,
    ) -> Result<Self> {
        let places = Places::make(place.join(name))?;
        let sota = places.path("sota");
        fs::create_dir_all(&sota)?;
        let more = json!({
            "name": name,
            "hardware-id": "pc",
            "sota-config-dir": sota.display().to_string(),
        });
        let registered = operator.register(uuid, &more)?;
        // What the tool of devices does with the answer.
        for file in ["client.pem", "root.crt", "sota.toml"] {
            fs::write(sota.join(file), registered.file(file)?)?;
        }
        fs::write(sota.join("pkey.pem"), &registered.key_pem)?;
        let settings: toml::Table = registered.file("sota.toml")?.parse()?;
        let gateway = settings["tls"]["server"].as_str();
        Ok(Self {
            uuid: uuid.to_owned(),
            gateway: gateway.context("the gateway is a text")?.to_owned(),
            agent: agent(&registered)?,
            places,
        })
    }

    fn start_check_in(&self) -> Result<Process> {
        let mut command = self.places.check_in()?;
        command
            // It would give this machine the name of its host, and more.
            .arg("--no-work")
            .arg("--config")
            .arg(self.places.path("sota/sota.toml"));
        Process::start(self.places.folder(), "foghorn-host", &mut command)
    }

    /// Checks in once; what the host service says at its end.
    pub(super) fn check_in(&self) -> Result<String> {
        let mut process = self.start_check_in()?;
        let ended = process.wait(PATIENCE)?;
        let log = process.log();
        ensure!(ended.success(), "the check-in ended with {ended}:\n{log}");
        Ok(log.lines().last().unwrap_or_default().to_owned())
    }

    /// Checks in and is refused; what was said about it.
    pub(super) fn is_refused(&self) -> Result<String> {
        let mut process = self.start_check_in()?;
        let ended = process.wait(PATIENCE)?;
        let log = process.log();
        ensure!(ended.code() == Some(1), "{ended}:\n{log}");
        Ok(log)
    }

    /// A request of the update agent on the machine; the JSON of the answer, if it has one.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.gateway));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let mut response = self.agent.run(request.body(body)?)?;
        let (status, text) = (response.status(), response.body_mut().read_to_string()?);
        ensure!(
            status.is_success(),
            "{method} {path} of {} was answered {status}: {text}",
            self.uuid
        );
        match text.as_str() {
            "" => Ok(Value::Null),
            text => Ok(serde_json::from_str(text)?),
        }
    }

    /// Says what it runs, as the update agent does with every request.
    pub(super) fn runs(&self, target: &str, tag: &str) -> Result<Value> {
        let headers = [("x-ats-target", target), ("x-ats-tags", tag)];
        self.ask("GET", "/device", &headers, &Value::Null)
    }
}

fn agent(registered: &Registered) -> Result<ureq::Agent> {
    let root = Certificate::from_pem(registered.file("root.crt")?.as_bytes())?;
    let own = Certificate::from_pem(registered.file("client.pem")?.as_bytes())?;
    let key = PrivateKey::from_pem(registered.key_pem.as_bytes())?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[root]))
        .client_cert(Some(ClientCert::new_with_certs(&[own], key)))
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build();
    Ok(config.into())
}
