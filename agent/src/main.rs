//! `foghorn-agent`: logs, signals; everything else is in the library.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser as _;
use foghorn_agent::args::{Cli, Command, Enrol, Run, RunArguments, form};
use foghorn_agent::{Agent, Config, EnrolError};
use foghorn_settings::{Layers, SettingsError};
use foghorn_telemetry::{LogFilter, Reread, reread_on_hangup};
use foghorn_types::{Complaint, complaint};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(problem) => {
            let what = "could not start the threads of the process";
            eprintln!("{}", Complaint::new(what, Some(&problem)).line());
            return ExitCode::FAILURE;
        }
    };
    let exit = runtime.block_on(run(command));
    runtime.shutdown_timeout(foghorn_telemetry::BLOCKING_CALLS);
    exit
}

async fn run(command: Command) -> ExitCode {
    match carry_out(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{}", complaint(&*problem).todo(todo(&problem)).line());
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(command: Command) -> anyhow::Result<()> {
    let command = match command {
        // Whoever only asks exports no traces.
        Command::Run(arguments) if arguments.instead.is_given() => return answer(&arguments),
        command => command,
    };
    let telemetry = foghorn_telemetry::init("foghorn-agent", None)?;
    match command {
        Command::Run(arguments) => run_agent(arguments.run, telemetry.log_filter()).await,
        Command::Enrol(enrol) => enrol_only(enrol).await,
    }
}

const ANOTHER_TOKEN: &str = "make a new join token on the server: foghorn node join-token NAME";

/// What can be done about an error that people meet when they set up a node.
fn todo(problem: &anyhow::Error) -> Option<&'static str> {
    if let Some(settings) = problem.downcast_ref::<SettingsError>() {
        return settings.todo();
    }
    let enrolment = problem.chain().find_map(|cause| cause.downcast_ref())?;
    match enrolment {
        EnrolError::FetchAuthority { .. } => Some(
            "check the address of the controller, and that it is running and reachable from here",
        ),
        EnrolError::Authority { .. } => Some(
            "copy the join token or the fingerprint again, the whole of it, and check the address of the controller",
        ),
        EnrolError::Send { .. } => Some(ANOTHER_TOKEN),
        // What else is refused says what to do.
        EnrolError::Refused { field, .. } if field.as_deref() == Some("join_token") => {
            Some(ANOTHER_TOKEN)
        }
        EnrolError::Ask { .. } => Some(
            "check the address of the controller, that it is running and reachable from here, and that its certificate is of the authority that this node trusts",
        ),
        _ => None,
    }
}

/// What is asked for instead of running.
fn answer(RunArguments { run, instead }: &RunArguments) -> anyhow::Result<()> {
    if let Some(text) = instead.text(&form()) {
        return show(&text);
    }
    let layers = run.layers(std::env::vars_os())?;
    run.config(&layers)?.check_files()?;
    show(&format!("the configuration is valid\n{}", layers.shown()))
}

async fn run_agent(run: Run, log: &LogFilter) -> anyhow::Result<()> {
    let layers = run.layers(std::env::vars_os())?;
    let config = run.config(&layers)?;
    log.set(&config.log_filter)?;
    reread_on_hangup(log.clone(), Arc::new(move || reread(&run, &layers)))
        .context("could not watch for SIGHUP")?;
    serve(config).await
}

fn show(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.context("could not write to standard output")
}

/// What the configuration says by now, while the agent runs with that of its start.
fn reread(run: &Run, start: &Layers) -> Result<Reread, Box<dyn std::error::Error + Send + Sync>> {
    let layers = run.layers(std::env::vars_os())?;
    let config = run.config(&layers)?;
    let mut others = layers.changed_since(start);
    others.retain(|key| key != "log.filter");
    Ok(Reread {
        filter: config.log_filter,
        others,
    })
}

async fn serve(config: Config) -> anyhow::Result<()> {
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

async fn enrol_only(enrol: Enrol) -> anyhow::Result<()> {
    let enrolled = tokio::task::spawn_blocking(move || {
        anyhow::ensure!(
            foghorn_agent::load_identity(&enrol.state_dir)?.is_none(),
            "{} holds an identity already: to enrol again, remove its folder `identity`",
            enrol.state_dir.display()
        );
        let config = enrol.into_config()?;
        let offer = config.offer()?.context("there is no token")?;
        Ok(foghorn_agent::enrol(&config.state_dir, &offer)?)
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
