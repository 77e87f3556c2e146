//! `foghorn serve`: a complete site in one process: the controller with its embedded store, and one
//! storage node.
//!
//! Controller and agent are the same code as in their own programs and communicate as over a
//! network: mutual TLS on loopback. A site that outgrows this adds agents first (`foghorn node
//! join-token`), then separate controllers.

mod address;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use foghorn_agent::Agent;
use foghorn_controller::{Controller, EXPOSED};
use foghorn_types::NodeName;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use self::address::public_host;
use crate::api::certificates;
use crate::context::write_private;
use crate::exit::{Exit, Failure};
use crate::fingerprint::Fingerprint;
use crate::output::{Output, print};

/// Name of the node, which is that of the initial node in FOG.
const NODE: &str = "defaultmember";

#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// Directory for all data: state, certificate authority, images
    #[arg(long, env = "FOGHORN_STATE_DIR", value_name = "DIR")]
    state_dir: PathBuf,
    /// Address of the REST API (HTTPS)
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Take plain HTTP beside HTTPS, on the same port, for scripts that were written for a FOG
    /// server without TLS. Everybody on the network can then read their tokens and passwords
    #[arg(long)]
    plain_http: bool,
    /// Address of a proxy whose X-Forwarded-For is believed; may be given several times
    #[arg(long = "trusted-proxy", value_name = "ADDRESS")]
    trusted_proxies: Vec<IpAddr>,
    /// Address for the agents of further storage nodes (gRPC); default: port 8444 of the REST
    /// address
    #[arg(long, value_name = "ADDRESS")]
    link_listen: Option<SocketAddr>,
    /// Address for clients (QUIC, UDP); default: port 7472 of the REST address
    #[arg(long, value_name = "ADDRESS")]
    quic_listen: Option<SocketAddr>,
    /// Name or address by which other machines reach this one; default: determined automatically
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Write the tokens of the first start, the URL and the authority to this file (JSON, 0600)
    /// instead of the terminal
    #[arg(long, value_name = "FILE")]
    first_run_file: Option<PathBuf>,
    /// Take the certificate authority of the state directory, or a new one, although the store
    /// belongs to another; for one start, after a loss
    #[arg(long)]
    new_authority: bool,
    /// Make new credentials for the user fog, print them, and exit; the server must be stopped
    #[arg(long, conflicts_with = "first_run_file")]
    reset_admin: bool,
}

/// The credentials that every start prints until they are used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstRunFile {
    /// Such as `https://10.0.0.2:8443`.
    pub url: String,
    pub api_token: String,
    pub user: String,
    pub user_token: String,
    pub password: String,
    pub ca_pem: String,
}

/// Checked arguments.
struct Plan {
    controller: foghorn_controller::Config,
    agent: foghorn_agent::Config,
    /// Where other machines reach this one.
    host: String,
    first_run_file: Option<PathBuf>,
    reset_admin: bool,
}

impl Plan {
    fn new(args: ServeArgs) -> Result<Self, Failure> {
        let ip = args.listen.ip();
        let link = args
            .link_listen
            .unwrap_or_else(|| SocketAddr::new(ip, 8444));
        let quic = args
            .quic_listen
            .unwrap_or_else(|| SocketAddr::new(ip, 7472));
        let host = args
            .advertise
            .clone()
            .unwrap_or_else(|| public_host(ip).to_string());

        let mut controller = foghorn_controller::Config::local(args.state_dir.join("controller"));
        controller.new_authority = args.new_authority;
        controller.rest.listen = args.listen;
        controller.rest.plain_http = args.plain_http;
        controller.login.trusted_proxies = args.trusted_proxies;
        controller.rest.names = vec![host.clone()];
        controller.link.listen = link;
        // Other agents connect to the given name or address; the one in this process can use it as
        // well.
        if link.ip().is_unspecified() && link.port() != 0 {
            controller.link.advertise = Some(authority(&host, link.port()));
        }
        let mut agent = foghorn_agent::Config::new(args.state_dir.join("agent"));
        agent.listen = quic;
        agent.advertise = advertised_quic(&args.advertise, &host, quic)?;
        Ok(Self {
            controller,
            agent,
            host,
            first_run_file: args.first_run_file,
            reset_admin: args.reset_admin,
        })
    }
}

/// The address for clients. The agent would use the one that reaches the controller, which is
/// loopback here.
fn advertised_quic(
    asked: &Option<String>,
    host: &str,
    quic: SocketAddr,
) -> Result<Option<String>, Failure> {
    if asked.is_none() && !quic.ip().is_unspecified() {
        return Ok(None);
    }
    if quic.port() == 0 {
        return Err(Failure::usage(
            "--quic-listen needs a port number when the address is advertised",
        )
        .advise("give a port number, or listen on one address without --advertise"));
    }
    Ok(Some(authority(host, quic.port())))
}

fn authority(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

/// Runs until SIGTERM or SIGINT, then shuts down cleanly.
///
/// # Errors
/// When a part cannot start; nothing is left running then.
pub fn run(args: ServeArgs, output: Output) -> Result<Exit, Failure> {
    let plan = Plan::new(args)?;
    let failed = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, what.to_owned()).caused_by(error)
    };
    let _telemetry = foghorn_telemetry::init("foghorn", None)
        .map_err(|error| failed("could not set up logging", error.into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("could not start the threads of the process", error.into()))?;
    if plan.reset_admin {
        return runtime.block_on(reset_admin(&plan.controller, output));
    }
    let done = runtime.block_on(serve(plan));
    runtime.shutdown_timeout(foghorn_telemetry::BLOCKING_CALLS);
    done
}

/// What `--reset-admin` gives to programs.
#[derive(Serialize)]
struct NewCredentials<'a> {
    api_token: &'a str,
    user: &'a str,
    user_token: &'a str,
    password: &'a str,
}

async fn reset_admin(config: &foghorn_controller::Config, output: Output) -> Result<Exit, Failure> {
    let made = foghorn_controller::reset_admin(config, "fog")
        .await
        .map_err(|error| {
            Failure::new(Exit::Failed, "could not make new credentials".to_owned())
                .caused_by(error)
                .advise("stop the server first; only one process can use its store")
        })?;
    let text = credentials(
        &made.api_token,
        &made.user_token,
        &made.user,
        &made.password,
    );
    let shown = output.show_value(
        &format!(
            "New credentials; the old ones of this user are void. Keep these, they are not shown again:\n{}",
            text.trim_end()
        ),
        &NewCredentials {
            api_token: &made.api_token,
            user: &made.user,
            user_token: &made.user_token,
            password: &made.password,
        },
    );
    shown.map_err(|failure| failure.advise("run the same again: it makes new credentials"))?;
    Ok(Exit::Ok)
}

fn credentials(api_token: &str, user_token: &str, user: &str, password: &str) -> String {
    format!(
        "API token:  {api_token}\nuser token: {user_token}\nuser:       {user}\npassword:   {password}\n"
    )
}

async fn serve(plan: Plan) -> Result<Exit, Failure> {
    let failed = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, what.to_owned()).caused_by(error)
    };
    // Before anything starts, so that a signal during the start is not lost.
    let mut stop =
        Stop::new().map_err(|error| failed("could not install signal handlers", error.into()))?;
    create_private(&plan.agent.state_dir)
        .map_err(|error| failed("could not create the state directory", error.into()))?;
    let (is_plain, is_exposed) = (
        plan.controller.rest.plain_http,
        plan.controller.is_exposed(),
    );
    let started = tokio::select! {
        started = Controller::start(plan.controller) => started,
        () = stop.asked() => return Ok(Exit::Ok),
    };
    let controller =
        started.map_err(|error| failed("could not start the controller", error.into()))?;
    let url = public_url(&controller.rest_url(), &plan.host);
    if is_exposed {
        eprintln!("WARNING: {EXPOSED}");
    }
    let plain = is_plain.then(|| url.trim_start_matches("https://"));
    let shown = plain
        .map_or(Ok(()), |address| {
            print(&format!("Plain HTTP is on: http://{address}\n"))
        })
        .and_then(|()| announce(&controller, &url, plan.first_run_file.as_deref()));
    if let Err(failure) = shown {
        tracing::error!(
            error = failure.in_one_line(),
            "could not show where the site is and its first credentials; these are kept until they are used, the next start shows them again"
        );
    }
    let started = tokio::select! {
        started = start_agent(&controller, plan.agent) => started,
        () = stop.asked() => {
            controller.shutdown().await;
            return Ok(Exit::Ok);
        }
    };
    let agent = match started {
        Ok(agent) => agent,
        Err(failure) => {
            controller.shutdown().await;
            return Err(failure);
        }
    };
    info!(%url, "the site is ready");
    stop.asked().await;
    info!("stopping the site");
    // The agent first, so that its last reports still reach the controller.
    agent.shutdown().await;
    controller.shutdown().await;
    Ok(Exit::Ok)
}

async fn start_agent(
    controller: &Controller,
    mut config: foghorn_agent::Config,
) -> Result<Agent, Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, "could not start the storage node").caused_by(error)
    };
    let folder = config.state_dir.clone();
    let enrolled = tokio::task::spawn_blocking(move || foghorn_agent::load_identity(&folder))
        .await
        .map_err(|error| failed(error.into()))?
        .map_err(|error| failed(error.into()))?;
    let token = match enrolled {
        None => {
            let name: NodeName = NODE
                .parse()
                .expect("the name is a constant and a DNS label");
            controller.join_token_for(&name).await.map(Some)
        }
        // At every start, because the certificate may have expired, and the address of the link
        // may have changed, while this process was off.
        Some(identity) => controller.rejoin_token_for(identity.node_id).await,
    };
    if let Some(token) = token.map_err(|error| failed(error.into()))? {
        join(&mut config, &controller.rest_url(), &token).map_err(failed)?;
    }
    Agent::start(config)
        .await
        .map_err(|error| failed(error.into()))
}

/// Sets the address and token for the enrolment through the agent's own configuration parser,
/// because the form of a token concerns only controller and agent.
fn join(
    config: &mut foghorn_agent::Config,
    url: &str,
    token: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    #[derive(Serialize)]
    struct Joining<'a> {
        state_dir: &'a Path,
        controller: &'a str,
        join_token: &'a str,
    }
    let text = toml::to_string(&Joining {
        state_dir: &config.state_dir,
        controller: url,
        join_token: token,
    })?;
    let read = foghorn_agent::Config::from_toml(&text)?;
    (config.controller, config.join_token) = (read.controller, read.join_token);
    Ok(())
}

/// The directory contains keys, so other users must not read it.
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// `rest_url` is how this machine reaches itself; other machines need `host`.
fn public_url(rest_url: &str, host: &str) -> String {
    match rest_url
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
    {
        Some(port) => format!("https://{}", authority(host, port)),
        None => rest_url.to_owned(),
    }
}

/// Prints the URL of the site and, on the first start, the tokens.
fn announce(controller: &Controller, url: &str, file: Option<&Path>) -> Result<(), Failure> {
    let authorities = certificates(controller.ca_pem()).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "could not read the certificate of the authority",
        )
        .caused_by(error)
    })?;
    let fingerprint = authorities
        .first()
        .map(Fingerprint::of)
        .map(|print| print.to_string())
        .unwrap_or_default();
    print(&format!(
        "Foghorn is running at {url}\nLog in with: foghorn login --server {url} --ca-fingerprint {fingerprint}\n"
    ))?;
    let Some(first) = controller.first_run() else {
        return Ok(());
    };
    let content = FirstRunFile {
        url: url.to_owned(),
        api_token: first.api_token.clone(),
        user: first.user.clone(),
        user_token: first.user_token.clone(),
        password: first.password.clone(),
        ca_pem: controller.ca_pem().to_owned(),
    };
    match file {
        Some(path) => write_first_run(path, &content),
        None => print(&format!(
            "\nKeep these; they are shown until they are used for the first time:\n{}\n",
            credentials(
                &content.api_token,
                &content.user_token,
                &content.user,
                &content.password
            )
        )),
    }
}

/// Written atomically, so that a program that waits for the file never reads half of it.
fn write_first_run(path: &Path, content: &FirstRunFile) -> Result<(), Failure> {
    let next = path.with_extension(format!("new-{}", std::process::id()));
    let written = serde_json::to_vec_pretty(content)
        .map_err(std::io::Error::other)
        .and_then(|bytes| write_private(&next, &bytes))
        .and_then(|()| fs::rename(&next, path));
    written.map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("could not write the tokens to {}", path.display()),
        )
        .caused_by(error)
        .advise("the tokens are kept until they are used: start again with a writable file")
    })
}

/// The two signals that request a shutdown.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        foghorn_telemetry::end_soon(0);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn plan(args: &[&str]) -> Result<Plan, Failure> {
        let args = ["serve", "--state-dir", "/srv/foghorn"].iter().chain(args);
        Plan::new(Only::try_parse_from(args).unwrap().serve)
    }

    #[test]
    fn clients_are_told_an_address_that_they_can_reach() {
        let open = plan(&["--advertise", "fog.example.org"]).unwrap();
        assert_eq!(
            open.agent.advertise.as_deref(),
            Some("fog.example.org:7472")
        );
        assert_eq!(
            open.controller.link.advertise.as_deref(),
            Some("fog.example.org:8444")
        );
        assert_eq!(open.controller.rest.names, ["fog.example.org"]);

        let one = plan(&["--listen", "10.0.0.2:443"]).unwrap();
        assert_eq!(
            (one.host.as_str(), one.agent.listen.to_string().as_str()),
            ("10.0.0.2", "10.0.0.2:7472")
        );
        assert_eq!(
            one.agent.advertise, None,
            "the address that is listened on is told"
        );
        assert!(
            plan(&["--quic-listen", "0.0.0.0:0"]).is_err(),
            "nobody could be told the port"
        );
    }

    #[test]
    fn plain_http_and_proxies_are_asked_for() {
        let open = plan(&["--plain-http", "--trusted-proxy", "10.0.0.5"]).unwrap();
        assert!(open.controller.is_exposed());
        assert_eq!(
            open.controller.login.trusted_proxies,
            ["10.0.0.5".parse::<IpAddr>().unwrap()]
        );
        let here = plan(&["--plain-http", "--listen", "127.0.0.1:8443"]).unwrap();
        assert!(!here.controller.is_exposed(), "nobody else can listen");
        assert!(!plan(&[]).unwrap().controller.rest.plain_http);
    }

    #[test]
    fn the_url_for_others_keeps_the_port() {
        assert_eq!(
            public_url("https://127.0.0.1:8443", "fog"),
            "https://fog:8443"
        );
        assert_eq!(
            public_url("https://127.0.0.1:8443", "fd00::2"),
            "https://[fd00::2]:8443"
        );
    }
}
