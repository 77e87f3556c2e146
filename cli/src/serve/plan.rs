//! What `foghorn serve` does, from its file, variables and flags, in that order of growing strength.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use foghorn_reach::reached_at;
use foghorn_settings::{Form, Layers, Origin, Program, SettingsError};
use foghorn_telemetry::{DEFAULT_FILTER, check_filter};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ServeArgs;
use crate::exit::Failure;

/// Ports of further agents and of clients, at the address of the REST API, unless they are set.
const LINK_PORT: u16 = 8444;
const QUIC_PORT: u16 = foghorn_agent::DEFAULT_QUIC_PORT;

/// What sets the keys of the file, beside it.
const PROGRAM: Program = Program {
    command: "foghorn serve",
    about: "A controller and one storage node in one process.",
    prefix: "FOGHORN_SERVE__",
    file: "/etc/foghorn/serve.toml",
    required: &["state_dir"],
};

/// The file of `--config`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct SiteFile {
    /// Folder of all data: state, certificate authority, images. --state-dir
    #[schemars(extend("examples" = ["/var/lib/foghorn"]))]
    state_dir: Option<PathBuf>,
    /// Name or address by which other machines reach this one. Default: every address of this
    /// machine, also those that it gets later. --advertise
    #[schemars(extend("examples" = ["10.23.0.1"]))]
    advertise: Option<String>,
    /// The first start writes the first user and its tokens, the URLs and the authority to this file
    /// (JSON, mode 0600) instead of showing them on the terminal. --first-run-file
    #[schemars(extend("examples" = ["/var/lib/foghorn/first-run.json"]))]
    first_run_file: Option<PathBuf>,
    #[serde(default)]
    log: SiteLog,
    /// The controller: the keys of foghorn-controller.
    #[serde(default)]
    controller: foghorn_controller::ConfigFile,
    /// The storage node: the keys of foghorn-agent.
    #[serde(default)]
    agent: foghorn_agent::ConfigFile,
}

/// What is logged. SIGHUP reads it again.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct SiteLog {
    /// Directives such as `info,foghorn_agent=debug`. The variable FOGHORN_LOG takes precedence.
    #[schemars(extend("default" = DEFAULT_FILTER))]
    filter: Option<String>,
}

/// Every key of the file.
pub(super) fn form() -> Form {
    let of_controller = foghorn_controller::ConfigFile::CHOSEN_BY_SITE;
    let of_controller = of_controller.map(|(key, _)| format!("controller.{key}"));
    let of_agent = foghorn_agent::ConfigFile::CHOSEN_BY_SITE;
    let of_agent = of_agent.map(|key| format!("agent.{key}"));
    let without: Vec<String> = of_controller.into_iter().chain(of_agent).collect();
    Form::of::<SiteFile>(PROGRAM, &without)
}

/// What file, variables and flags say together.
pub(super) fn layers(
    args: &ServeArgs,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Layers, Failure> {
    let mut layers = Layers::new(form());
    if let Some(path) = &args.config {
        layers.add_file(path).map_err(refused)?;
    }
    layers.add_variables(variables).map_err(refused)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if let Some(dir) = &args.state_dir {
        layers.set("state_dir", "--state-dir", text(dir));
    }
    if let Some(host) = &args.advertise {
        layers.set("advertise", "--advertise", host.clone());
    }
    if let Some(path) = &args.first_run_file {
        layers.set("first_run_file", "--first-run-file", text(path));
    }
    for (path, flag, address) in [
        ("controller.rest.listen", "--listen", args.listen),
        ("controller.link.listen", "--link-listen", args.link_listen),
        ("agent.listen", "--quic-listen", args.quic_listen),
    ] {
        if let Some(address) = address {
            layers.set(path, flag, address.to_string());
        }
    }
    if args.plain_http {
        layers.set("controller.rest.plain_http", "--plain-http", true);
    }
    let proxies = args.trusted_proxies.iter();
    let proxies = proxies.map(|proxy| proxy.to_string().into()).collect();
    layers.append(
        "controller.login.trusted_proxies",
        "--trusted-proxy",
        proxies,
    );
    Ok(layers)
}

fn refused(error: SettingsError) -> Failure {
    let todo = error.todo();
    let failure = Failure::usage("the settings of the site cannot be used").caused_by(error);
    match todo {
        Some(todo) => failure.advise(todo),
        None => failure,
    }
}

/// Checked settings.
pub(super) struct Plan {
    pub(super) controller: foghorn_controller::Config,
    pub(super) agent: foghorn_agent::Config,
    /// Names or addresses at which others reach this machine, best first. Empty if it has none but
    /// loopback.
    pub(super) hosts: Vec<String>,
    pub(super) first_run_file: Option<PathBuf>,
    /// What is logged, unless a variable says it.
    pub(super) log_filter: String,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Plan {
    pub(super) fn new(args: &ServeArgs, layers: &Layers) -> Result<Self, Failure> {
        let file: SiteFile = layers.read().map_err(refused)?;
        let state_dir = args.state_dir.clone().or(file.state_dir);
        let state_dir = state_dir.ok_or_else(|| {
            Failure::usage("it is not known where the data is").advise(
                "give --state-dir DIR, or --config FILE with a line such as: state_dir = \"/var/lib/foghorn\"",
            )
        })?;
        let log_filter = log_filter(file.log, layers)?;
        let (mut controller, mut agent) =
            sections(layers, (file.controller, file.agent), &state_dir)?;
        let advertise = file.advertise.as_deref().map(checked).transpose()?;
        controller.new_authority = args.new_authority;
        listen_at(layers, &mut controller, &mut agent);
        if let Some(host) = &advertise {
            advertise_as(host, args.advertise.is_some(), &mut controller, &mut agent)?;
        }
        Ok(Self {
            hosts: hosts(advertise, controller.rest.listen.ip()),
            controller,
            agent,
            // What the layers have is text, and a path need not be.
            first_run_file: args.first_run_file.clone().or(file.first_run_file),
            log_filter,
        })
    }
}

fn log_filter(log: SiteLog, layers: &Layers) -> Result<String, Failure> {
    let filter = log.filter.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    match check_filter(&filter) {
        Ok(()) => Ok(filter),
        Err(error) => Err(blame(layers, "", Some("log.filter"), error.into())),
    }
}

/// A failure because of a value of one section.
fn blame(layers: &Layers, part: &str, key: Option<&str>, error: Cause) -> Failure {
    let origin = key.and_then(|key| layers.origin(&format!("{part}{key}")));
    let section = part.trim_end_matches('.');
    let what = match origin {
        Some(Origin::File(path)) if !section.is_empty() => {
            format!(
                "the section [{section}] of {} cannot be used",
                path.display()
            )
        }
        Some(origin) => format!("{origin} cannot be used"),
        None if section.is_empty() => "the settings of the site cannot be used".to_owned(),
        None => format!("the settings of the {section} cannot be used"),
    };
    Failure::usage(what).caused_by(error)
}

fn sections(
    layers: &Layers,
    (controller, agent): (foghorn_controller::ConfigFile, foghorn_agent::ConfigFile),
    state_dir: &Path,
) -> Result<(foghorn_controller::Config, foghorn_agent::Config), Failure> {
    let controller = controller
        .for_site(state_dir.join("controller"))
        .map_err(|error| blame(layers, "controller.", error.key(), error.into()))?;
    let agent = agent
        .for_site(state_dir.join("agent"))
        .map_err(|error| blame(layers, "agent.", error.key(), error.into()))?;
    Ok((controller, agent))
}

/// What is not set listens at the address of the REST API.
fn listen_at(
    layers: &Layers,
    controller: &mut foghorn_controller::Config,
    agent: &mut foghorn_agent::Config,
) {
    let ip = controller.rest.listen.ip();
    if !layers.is_set("controller.link.listen") {
        controller.link.listen = SocketAddr::new(ip, LINK_PORT);
    }
    if !layers.is_set("agent.listen") {
        agent.listen = SocketAddr::new(ip, QUIC_PORT);
    }
}

/// A name or an address, without a port.
fn checked(host: &str) -> Result<String, Failure> {
    let plain = host.trim_matches(['[', ']']);
    if plain.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        let what = format!("{host} is no address at which a machine can be reached");
        return Err(Failure::usage(what).advise(
            "leave --advertise out, which stands for every address of this machine, or give one of them",
        ));
    }
    let is_name = !plain.is_empty() && !plain.contains(['/', ':', ' ', '@']);
    if is_name || plain.parse::<IpAddr>().is_ok() {
        return Ok(plain.to_owned());
    }
    let what = format!("{host:?} is neither a name nor an address");
    Err(Failure::usage(what).advise(
        "give only that, without https:// and without a port, such as --advertise 10.23.0.1",
    ))
}

/// Makes everybody use `host`: it is in the certificate, and what clients and agents are told. What
/// the file sets for one of them stays, unless the flag was given.
fn advertise_as(
    host: &str,
    is_flag: bool,
    controller: &mut foghorn_controller::Config,
    agent: &mut foghorn_agent::Config,
) -> Result<(), Failure> {
    controller.rest.names.retain(|name| name != host);
    controller.rest.names.insert(0, host.to_owned());
    let link = controller.link.listen;
    let is_free = is_flag || controller.link.advertise.is_none();
    if link.ip().is_unspecified() && link.port() != 0 && is_free {
        controller.link.advertise = Some(authority(host, link.port()));
    }
    if !is_flag && agent.advertise.is_some() {
        return Ok(());
    }
    if agent.listen.port() == 0 {
        return Err(Failure::usage(
            "--quic-listen needs a port number when the address is advertised",
        )
        .advise("give a port number, or leave --advertise out"));
    }
    agent.advertise = Some(authority(host, agent.listen.port()));
    Ok(())
}

fn hosts(advertise: Option<String>, listen: IpAddr) -> Vec<String> {
    match advertise {
        Some(host) => vec![host],
        None => reached_at(listen).iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn authority(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
