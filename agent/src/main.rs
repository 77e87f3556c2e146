//! `foghorn-agent`: arguments, logs, signals; everything else is in the library.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use foghorn_agent::{Agent, Config, ControllerUrl};
use foghorn_proto::http::{JOIN_PREFIX, TokenText};
use tokio::signal::unix::{SignalKind, signal};

/// A storage node of Foghorn.
#[derive(Parser)]
#[command(name = "foghorn-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until stopped by SIGINT or SIGTERM.
    Run(Run),
    /// Only enrol this node: make a key, buy a certificate for the join token, and exit.
    Enrol(Enrol),
}

#[derive(Args)]
struct Run {
    /// Configuration file (TOML). The options below take precedence over it.
    #[arg(long, env = "FOGHORN_AGENT_CONFIG")]
    config: Option<PathBuf>,
    /// Folder of the node's identity and chunks.
    #[arg(long, env = "FOGHORN_AGENT_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Where to enrol: https://HOST[:PORT].
    #[arg(long, env = "FOGHORN_AGENT_CONTROLLER")]
    controller: Option<ControllerUrl>,
    /// Used once, when the node has no identity yet.
    #[arg(long, env = "FOGHORN_AGENT_JOIN_TOKEN", hide_env_values = true, value_parser = join_token)]
    join_token: Option<TokenText>,
    /// Address (UDP) to serve clients on.
    #[arg(long, env = "FOGHORN_AGENT_LISTEN")]
    listen: Option<SocketAddr>,
    /// HOST:PORT that clients should use, when it is not the address towards the controller.
    #[arg(long, env = "FOGHORN_AGENT_ADVERTISE")]
    advertise: Option<String>,
}

#[derive(Args)]
struct Enrol {
    /// Folder to keep the identity in.
    #[arg(long, env = "FOGHORN_AGENT_STATE_DIR")]
    state_dir: PathBuf,
    /// https://HOST[:PORT] of the controller.
    #[arg(long, env = "FOGHORN_AGENT_CONTROLLER")]
    controller: ControllerUrl,
    /// Join token, as `foghorn node join-token` printed it.
    #[arg(long, env = "FOGHORN_AGENT_JOIN_TOKEN", hide_env_values = true, value_parser = join_token)]
    token: TokenText,
}

fn join_token(text: &str) -> Result<TokenText, foghorn_proto::http::ParseTokenError> {
    TokenText::parse(JOIN_PREFIX, text)
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(problem) => {
            eprintln!("foghorn-agent: could not start the threads of the process: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let exit = runtime.block_on(run(command));
    runtime.shutdown_timeout(foghorn_telemetry::BLOCKING_CALLS);
    exit
}

async fn run(command: Command) -> ExitCode {
    let _telemetry = match foghorn_telemetry::init("foghorn-agent", None) {
        Ok(guard) => guard,
        Err(problem) => {
            eprintln!("foghorn-agent: {:#}", anyhow::Error::from(problem));
            return ExitCode::FAILURE;
        }
    };
    let done = match command {
        Command::Run(run) => serve(run).await,
        Command::Enrol(enrol) => enrol_only(enrol).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("foghorn-agent: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(run: Run) -> anyhow::Result<()> {
    let config = configure(run)?;
    let mut terminate = signal(SignalKind::terminate()).context("could not watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not watch for SIGINT")?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        foghorn_telemetry::end_soon(0);
    };
    tokio::pin!(stop);
    let agent = tokio::select! {
        agent = Agent::start(config) => agent?,
        () = &mut stop => return Ok(()),
    };
    stop.await;
    agent.shutdown().await;
    Ok(())
}

fn configure(run: Run) -> anyhow::Result<Config> {
    let mut config = match (&run.config, &run.state_dir) {
        (Some(path), _) => Config::load(path)?,
        (None, Some(state_dir)) => Config::new(state_dir),
        (None, None) => anyhow::bail!("either --config or --state-dir is needed"),
    };
    if let Some(state_dir) = run.state_dir {
        config.state_dir = state_dir;
    }
    if let Some(listen) = run.listen {
        config.listen = listen;
    }
    config.controller = run.controller.or(config.controller);
    config.join_token = run.join_token.or(config.join_token);
    config.advertise = run.advertise.or(config.advertise);
    Ok(config)
}

async fn enrol_only(enrol: Enrol) -> anyhow::Result<()> {
    let enrolled = tokio::task::spawn_blocking(move || {
        anyhow::ensure!(
            foghorn_agent::load_identity(&enrol.state_dir)?.is_none(),
            "{} holds an identity already: to enrol again, remove its folder `identity`",
            enrol.state_dir.display()
        );
        Ok(foghorn_agent::enrol(
            &enrol.state_dir,
            &enrol.controller,
            &enrol.token,
        )?)
    });
    let identity = enrolled.await??;
    // The node has its identity; whether somebody reads this changes nothing.
    let _ = writeln!(
        std::io::stdout(),
        "{} enrolled, certificate good until {}",
        identity.node,
        identity.expires
    );
    Ok(())
}
