//! `foghorn-host`: arguments, logs and signals; the work is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use foghorn_client::exit::Exit;
use foghorn_client::failure;
use foghorn_client::host::args::{Cli, Command};
use foghorn_client::host::{
    CheckedIn, Enrol, Enrolled, HostError, RESTART, Service, Settings, Worked, all_ended, enrol,
    run,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(Exit::Failed, &error),
    };
    let exit = runtime.block_on(async {
        let _guard = match foghorn_telemetry::init_for_people("foghorn-host", std::io::stderr) {
            Ok(guard) => guard,
            Err(error) => return complain(Exit::Usage, &error),
        };
        let stop = CancellationToken::new();
        let signals = tokio::spawn(stop_on_signal(stop.clone()));
        let exit = carry_out(cli.command, stop.clone()).await;
        if stop.is_cancelled() {
            // Handlers and snapins have process groups of their own, which nobody else ends.
            all_ended().await;
        }
        signals.abort();
        exit
    });
    // An exchange under way is not waited for: what it has not done is begun again.
    runtime.shutdown_background();
    exit
}

fn complain(exit: Exit, error: &(dyn std::error::Error + 'static)) -> ExitCode {
    failure(error, None);
    exit.into()
}

async fn carry_out(command: Command, stop: CancellationToken) -> ExitCode {
    match command {
        Command::Run(args) => {
            if run(args.into_settings(), stop).await {
                tracing::info!("ends, to be started again: a handler asks for it");
                return ExitCode::from(RESTART);
            }
            Exit::Done.into()
        }
        Command::CheckIn(args) => {
            let settings = args.into_settings();
            let (told, told_too) = (stop.clone(), stop.clone());
            let check_in = move |settings| Service::new(settings)?.check_in(&told);
            let config = once(settings.clone(), stop.clone(), check_in, config_in_words).await;
            if stop.is_cancelled() {
                return Exit::Cancelled.into();
            }
            // Also when the config failed: the host has nothing to do with that.
            let work = move |settings| Service::new(settings)?.work(&told_too);
            let work = once(settings, stop, work, work_in_words).await;
            config.and(work).err().unwrap_or(Exit::Done.into())
        }
        Command::Extract(args) => {
            let told = stop.clone();
            let work = move |settings| Service::new(settings)?.extract(&told);
            let done = once(args.into_settings(), stop, work, config_in_words).await;
            done.err().unwrap_or(Exit::Done.into())
        }
        Command::Enrol(args) => match args.into_enrol() {
            Ok(with) => enrolled(with, stop).await,
            Err(error) => complain(Exit::Usage, &error),
        },
    }
}

async fn enrolled(with: Enrol, stop: CancellationToken) -> ExitCode {
    let told = stop.clone();
    let working = tokio::task::spawn_blocking(move || enrol(&with, &told));
    let done = tokio::select! {
        () = stop.cancelled() => return Exit::Cancelled.into(),
        done = working => done,
    };
    match done {
        Ok(Ok(Enrolled { uuid, factory, .. })) => {
            println!("this machine is device {uuid} of the factory {factory}");
            Exit::Done.into()
        }
        Ok(Err(error)) => {
            failure(&error, error.advice().as_deref());
            error.exit().into()
        }
        Err(panicked) => complain(Exit::Failed, &panicked),
    }
}

/// Does something once, and prints what it has come to: a line, or what has failed of it.
async fn once<D: Send + 'static>(
    settings: Settings,
    stop: CancellationToken,
    work: impl FnOnce(Settings) -> Result<D, HostError> + Send + 'static,
    in_words: impl FnOnce(D) -> Result<Option<String>, String>,
) -> Result<(), ExitCode> {
    let working = tokio::task::spawn_blocking(move || work(settings));
    let done = tokio::select! {
        () = stop.cancelled() => return Err(Exit::Cancelled.into()),
        done = working => done,
    };
    match done {
        Ok(Ok(done)) => match in_words(done) {
            Ok(words) => {
                words.iter().for_each(|words| println!("{words}"));
                Ok(())
            }
            Err(words) => {
                eprintln!("error: {words}");
                Err(Exit::Failed.into())
            }
        },
        Ok(Err(error)) => Err(complain(Exit::Failed, &error)),
        Err(panicked) => Err(complain(Exit::Failed, &panicked)),
    }
}

fn config_in_words(done: CheckedIn) -> Result<Option<String>, String> {
    let words = match done {
        CheckedIn::NoConfig => "there is no config for this machine".to_owned(),
        CheckedIn::Unchanged => "the config has not changed".to_owned(),
        CheckedIn::Extracted { steps: 0, .. } => "the config was in place already".to_owned(),
        CheckedIn::Extracted { steps, .. } => format!("the config was extracted ({steps} steps)"),
    };
    Ok(Some(words))
}

fn work_in_words(done: Worked) -> Result<Option<String>, String> {
    let words = match done {
        Worked::SwitchedOff => return Ok(None),
        Worked::ByAnother => "another foghorn-host is doing the work of the host".to_owned(),
        Worked::NoHost { reason } if reason.is_empty() => {
            "the server has no work for hosts".to_owned()
        }
        Worked::NoHost { reason } => format!("there is no work for this machine: {reason}"),
        Worked::Done {
            host,
            snapins,
            failed,
        } if failed.is_empty() => format!("did the work of host {host} ({snapins} snapins)"),
        Worked::Done { host, failed, .. } => {
            let failed = failed.join(", ");
            return Err(format!(
                "not all of the work of host {host} was done ({failed}); the log says why"
            ));
        }
    };
    Ok(Some(words))
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
    tracing::info!("received a signal to stop");
    foghorn_telemetry::end_soon(Exit::Cancelled.code());
    stop.cancel();
}
