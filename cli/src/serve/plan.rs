//! What `foghorn serve` does, from its file and its flags; the flags take precedence.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use foghorn_reach::reached_at;
use serde::Deserialize;

use super::ServeArgs;
use crate::exit::Failure;

/// Ports of further agents and of clients, at the address of the REST API, unless they are set.
const LINK_PORT: u16 = 8444;
const QUIC_PORT: u16 = foghorn_agent::DEFAULT_QUIC_PORT;

/// The file of `--config`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct SiteFile {
    state_dir: Option<PathBuf>,
    advertise: Option<String>,
    first_run_file: Option<PathBuf>,
    #[serde(default)]
    controller: foghorn_controller::ConfigFile,
    #[serde(default)]
    agent: foghorn_agent::ConfigFile,
}

/// Which addresses the file sets.
#[derive(Default)]
struct Given {
    link: bool,
    quic: bool,
}

/// Checked settings.
pub(super) struct Plan {
    pub(super) controller: foghorn_controller::Config,
    pub(super) agent: foghorn_agent::Config,
    /// Names or addresses at which others reach this machine, best first. Empty if it has none but
    /// loopback.
    pub(super) hosts: Vec<String>,
    pub(super) first_run_file: Option<PathBuf>,
    pub(super) reset_admin: bool,
    pub(super) restore: Option<PathBuf>,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Plan {
    pub(super) fn new(args: ServeArgs) -> Result<Self, Failure> {
        let (mut file, given) = match &args.config {
            Some(path) => read(path)?,
            None => (SiteFile::default(), Given::default()),
        };
        let state_dir = args.state_dir.clone().or(file.state_dir.take());
        let state_dir = state_dir.ok_or_else(|| {
            Failure::usage("it is not known where the data is").advise(
                "give --state-dir DIR, or --config FILE with a line such as: state_dir = \"/var/lib/foghorn\"",
            )
        })?;
        let (mut controller, mut agent) = sections(
            &args,
            std::mem::take(&mut file.controller),
            std::mem::take(&mut file.agent),
            &state_dir,
        )?;
        let advertise = args.advertise.as_ref().or(file.advertise.as_ref());
        let advertise = advertise.map(|host| checked(host)).transpose()?;

        controller.new_authority = args.new_authority;
        controller.rest.plain_http |= args.plain_http;
        controller
            .login
            .trusted_proxies
            .extend(&args.trusted_proxies);
        listen_at(&args, &given, &mut controller, &mut agent);
        if let Some(host) = &advertise {
            advertise_as(host, args.advertise.is_some(), &mut controller, &mut agent)?;
        }
        Ok(Self {
            hosts: hosts(advertise, controller.rest.listen.ip()),
            controller,
            agent,
            first_run_file: args.first_run_file.or(file.first_run_file),
            reset_admin: args.reset_admin,
            restore: args.restore,
        })
    }
}

fn read(path: &Path) -> Result<(SiteFile, Given), Failure> {
    let refuse = |error: Cause| {
        let what = format!("the configuration {} cannot be used", path.display());
        Failure::usage(what).caused_by(error)
    };
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.into()))?;
    let file = toml::from_str(&text).map_err(|error| refuse(error.into()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| refuse(error.into()))?;
    let section = |name| table.get(name).and_then(toml::Value::as_table);
    let link = section("controller").and_then(|controller| controller.get("link"));
    let given = Given {
        link: link.is_some_and(|link| link.get("listen").is_some()),
        quic: section("agent").is_some_and(|agent| agent.contains_key("listen")),
    };
    Ok((file, given))
}

fn sections(
    args: &ServeArgs,
    controller: foghorn_controller::ConfigFile,
    agent: foghorn_agent::ConfigFile,
    state_dir: &Path,
) -> Result<(foghorn_controller::Config, foghorn_agent::Config), Failure> {
    let refuse = |part: &str, error: Cause| {
        let what = match &args.config {
            Some(path) => format!("the section [{part}] of {} cannot be used", path.display()),
            None => format!("the settings of the {part} cannot be used"),
        };
        Failure::usage(what).caused_by(error)
    };
    let controller = controller
        .for_site(state_dir.join("controller"))
        .map_err(|error| refuse("controller", error.into()))?;
    let agent = agent
        .for_site(state_dir.join("agent"))
        .map_err(|error| refuse("agent", error.into()))?;
    Ok((controller, agent))
}

fn listen_at(
    args: &ServeArgs,
    given: &Given,
    controller: &mut foghorn_controller::Config,
    agent: &mut foghorn_agent::Config,
) {
    controller.rest.listen = args.listen.unwrap_or(controller.rest.listen);
    let ip = controller.rest.listen.ip();
    let address = |flag: Option<SocketAddr>, is_given, file, port| match flag {
        Some(address) => address,
        None if is_given => file,
        None => SocketAddr::new(ip, port),
    };
    let link = controller.link.listen;
    controller.link.listen = address(args.link_listen, given.link, link, LINK_PORT);
    agent.listen = address(args.quic_listen, given.quic, agent.listen, QUIC_PORT);
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
