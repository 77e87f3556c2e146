//! `foghorn-client`: arguments, logs and signals; the work is in the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::FromArgMatches as _;
use foghorn_client::args::{Cli, RunConfig};
use foghorn_client::exit::Exit;
use foghorn_client::run::run;
use foghorn_client::{LogWriter, failure};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let program = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let matches = Cli::command_of(&program).get_matches();
    let args = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command.into_args(),
        Err(error) => error.exit(),
    };
    let config = match RunConfig::new(args) {
        Ok(config) => config,
        Err(error) => return complain(Exit::Usage, &error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(Exit::Failed, &error),
    };
    let exit = runtime.block_on(async {
        let _guard = match foghorn_telemetry::init_for_people("foghorn-client", || LogWriter) {
            Ok(guard) => guard,
            Err(error) => return complain(Exit::Usage, &error),
        };
        let stop = CancellationToken::new();
        let signals = tokio::spawn(stop_on_signal(stop.clone()));
        let exit = run(config, stop).await;
        signals.abort();
        exit.into()
    });
    // A check-in that was told to stop may still wait for an answer; nobody needs it.
    runtime.shutdown_background();
    exit
}

fn complain(exit: Exit, error: &(dyn std::error::Error + 'static)) -> ExitCode {
    failure(error, None);
    exit.into()
}

async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        tracing::warn!("could not install signal handlers; a signal will end the process at once");
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::warn!("received a signal to stop");
    foghorn_telemetry::end_soon(Exit::Cancelled.code());
    stop.cancel();
}
