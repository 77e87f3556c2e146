//! `foghorn serve`: a complete site in one process: the controller with its embedded store, and one
//! storage node.
//!
//! Controller and agent are the same code as in their own programs and communicate as over a
//! network: mutual TLS on loopback. A site that outgrows this adds agents first (`foghorn node
//! join-token`), then separate controllers.

mod first_run;
mod plan;
mod ready;
mod settings;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foghorn_agent::Agent;
use foghorn_controller::config::TrustedProxy;
use foghorn_controller::{Controller, EXPOSED, StartError};
use foghorn_settings::Instead;
use foghorn_telemetry::reread_on_hangup;
use foghorn_types::NodeName;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

pub use self::first_run::FirstRunFile;
use self::first_run::{announce, credentials, only_loopback, public_urls};
use self::plan::Plan;
use crate::exit::{Exit, Failure};
use crate::output::{Output, print};

/// Name of the node, which is that of the initial node in FOG.
const NODE: &str = "defaultmember";
/// Whoever starts the site does not wait for its storage node for longer.
const LINK_WITHIN: Duration = Duration::from_secs(5);

#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// File with the settings of the site (TOML); variables such as
    /// FOGHORN_SERVE__CONTROLLER__REST__LISTEN take precedence over it, and the flags below over
    /// both
    #[arg(long, env = "FOGHORN_SERVE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory for all data: state, certificate authority, images
    #[arg(long, env = "FOGHORN_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Address of the REST API (HTTPS); default: 0.0.0.0:8443
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Take plain HTTP beside HTTPS, on the same port, for scripts that were written for a FOG
    /// server without TLS. Everybody on the network can then read their tokens and passwords
    #[arg(long)]
    plain_http: bool,
    /// Address of a proxy whose X-Forwarded-For is believed, or a network of such; may be given
    /// several times
    #[arg(long = "trusted-proxy", value_name = "ADDRESS")]
    trusted_proxies: Vec<TrustedProxy>,
    /// Address for the agents of further storage nodes (gRPC); default: port 8444 of the REST
    /// address
    #[arg(long, value_name = "ADDRESS")]
    link_listen: Option<SocketAddr>,
    /// Address for clients (QUIC, UDP); default: port 7472 of the REST address
    #[arg(long, value_name = "ADDRESS")]
    quic_listen: Option<SocketAddr>,
    /// Name or address by which other machines reach this one; default: every address of this
    /// machine
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Write the tokens of the first start, the URLs and the authority to this file (JSON, 0600)
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
    /// Put a backup back (DIR/controller/backups/NAME) and exit; the server must be stopped
    #[arg(long, value_name = "FOLDER", conflicts_with = "reset_admin")]
    restore: Option<PathBuf>,
    #[command(flatten)]
    instead: Instead,
}

/// What the end takes at most when the controller has handed over what it has.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT, then shuts down cleanly.
///
/// # Errors
/// When a part cannot start; nothing is left running then.
pub fn run(args: ServeArgs, output: Output) -> Result<Exit, Failure> {
    if let Some(text) = args.instead.text(&plan::form()) {
        return print(&text).map(|()| Exit::Ok);
    }
    if args.instead.check_config {
        return settings::check(&args);
    }
    let (layers, plan) = settings::read(&args)?;
    let failed = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, what.to_owned()).caused_by(error)
    };
    let telemetry = foghorn_telemetry::init("foghorn", None)
        .map_err(|error| failed("could not set up logging", error.into()))?;
    let log = telemetry.log_filter().clone();
    log.set(&plan.log_filter)
        .map_err(|error| failed("could not set up logging", error.into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("could not start the threads of the process", error.into()))?;
    if let Some(backup) = &args.restore {
        return restore(&plan.controller, backup);
    }
    if args.reset_admin {
        return runtime.block_on(reset_admin(&plan.controller, output));
    }
    let reread = Arc::new(move || settings::reread(&args, &layers));
    let done = runtime.block_on(async {
        reread_on_hangup(log, reread)
            .map_err(|error| failed("could not watch for SIGHUP", error.into()))?;
        serve(plan).await
    });
    runtime.shutdown_timeout(foghorn_telemetry::BLOCKING_CALLS);
    done
}

fn restore(config: &foghorn_controller::Config, backup: &Path) -> Result<Exit, Failure> {
    let done = foghorn_controller::restore(config, backup).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("could not restore the backup {}", backup.display()),
        )
        .caused_by(error)
    })?;
    print(&format!("{done}\n"))?;
    Ok(Exit::Ok)
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
        .map_err(no_credentials)?;
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

fn no_credentials(error: StartError) -> Failure {
    let advice = match &error {
        StartError::NoInstallation { .. } => {
            "give the directory of a site that has been started before, the one that `foghorn serve` was given; a new site prints its first credentials when it is started"
        }
        _ => "stop the server first; only one process can use its store",
    };
    Failure::new(Exit::Failed, "could not make new credentials")
        .caused_by(error)
        .advise(advice)
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
        () = stop.asked() => {
            foghorn_telemetry::end_soon(0);
            return Ok(Exit::Ok);
        }
    };
    let controller = started.map_err(|error| {
        let todo = error.todo();
        let failure = failed("could not start the controller", error.into());
        match todo {
            Some(todo) => failure.advise(todo),
            None => failure,
        }
    })?;
    let urls = public_urls(&controller.rest_url(), &plan.hosts);
    let url = urls.first().cloned().unwrap_or_default();
    if plan.hosts.is_empty() {
        eprintln!("{}", only_loopback(&url));
    }
    if is_exposed {
        eprintln!("WARNING: {EXPOSED}");
    }
    let plain = is_plain.then(|| url.trim_start_matches("https://"));
    let shown = plain
        .map_or(Ok(()), |address| {
            print(&format!("Plain HTTP is on: http://{address}\n"))
        })
        .and_then(|()| announce(&controller, &urls, plan.first_run_file.as_deref()));
    if let Err(failure) = shown {
        tracing::error!(
            error = failure.in_one_line(),
            "could not show where the site is and its first credentials; these are kept until they are used, the next start shows them again"
        );
    }
    let started = tokio::select! {
        started = start_agent(&controller, plan.agent) => started,
        () = stop.asked() => {
            foghorn_telemetry::end_soon(0);
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
    let tell = async {
        tell_when_linked(&controller, &url).await;
        std::future::pending().await
    };
    let is_replaced = tokio::select! {
        () = stop.asked() => false,
        () = controller.replaced() => true,
        () = tell => false,
    };
    info!("stopping the site");
    if is_replaced {
        foghorn_telemetry::end_soon(0);
    } else {
        // With several servers on one etcd, the others take over first.
        foghorn_telemetry::end_within(0, controller.drains_within() + END_WITHIN);
        tokio::select! {
            () = controller.drain() => {}
            () = stop.asked() => {}
        }
        foghorn_telemetry::end_soon(0);
    }
    // The agent first, so that its last reports still reach the controller.
    agent.shutdown().await;
    controller.shutdown().await;
    if is_replaced {
        // systemd starts it again.
        let what = "the state was replaced by an import, and the site has to start again";
        return Err(Failure::new(Exit::Failed, what).advise("start it again"));
    }
    Ok(Exit::Ok)
}

/// Whoever has started the site finds it whole: with a storage node that is linked.
async fn tell_when_linked(controller: &Controller, url: &str) {
    let linked = async {
        while controller.ctx().links.online().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(LINK_WITHIN, linked).await {
        Ok(()) => info!(%url, "the site is ready"),
        Err(_) => warn!(%url, "the site is ready, but its storage node is not linked yet"),
    }
    ready::tell();
}

async fn start_agent(
    controller: &Controller,
    mut config: foghorn_agent::Config,
) -> Result<Agent, Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, "could not start the storage node").caused_by(error)
    };
    config.link_beside = Some(controller.link_here().to_string());
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
    }
}
