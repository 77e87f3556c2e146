//! `foghorn-agent`: logs, signals; everything else is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser as _;
use foghorn_agent::args::{Cli, Command, Enrol, Run};
use foghorn_agent::{Agent, EnrolError};
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
    let _telemetry = match foghorn_telemetry::init("foghorn-agent", None) {
        Ok(guard) => guard,
        Err(problem) => {
            eprintln!("{}", complaint(&problem).line());
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
            eprintln!("{}", complaint(&*problem).todo(todo(&problem)).line());
            ExitCode::FAILURE
        }
    }
}

/// What can be done about an error that people meet when they set up a node.
fn todo(problem: &anyhow::Error) -> Option<&'static str> {
    let enrolment = problem.chain().find_map(|cause| cause.downcast_ref())?;
    match enrolment {
        EnrolError::FetchAuthority { .. } => Some(
            "check the address of the controller, and that it is running and reachable from here",
        ),
        EnrolError::Authority { .. } => Some(
            "copy the join token again, the whole of it, and check the address of the controller",
        ),
        EnrolError::Refused { .. } | EnrolError::Send { .. } => {
            Some("make a new join token on the server: foghorn node join-token NAME")
        }
        _ => None,
    }
}

async fn serve(run: Run) -> anyhow::Result<()> {
    let config = run.into_config()?;
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
