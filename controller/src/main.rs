//! `foghorn-controller`: logs, signals. Everything else is in the library.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use foghorn_controller::app::accounts::FirstRun;
use foghorn_controller::args::{Arguments, Command, Options, Run, StateCommand, form};
use foghorn_controller::{Config, Controller, StartError, StateFileError};
use foghorn_settings::{Layers, SettingsError};
use foghorn_telemetry::{LogFilter, Reread, reread_on_hangup};
use foghorn_types::{Complaint, complaint};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the end of a controller takes at most when everything is handed over.
const END_WITHIN: Duration = Duration::from_secs(5);
/// The same for whoever asks twice.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What a restore did, in words.
fn restored(config: &Config, backup: &Path) -> anyhow::Result<()> {
    let done = foghorn_controller::restore(config, backup)?;
    show(&format!("{done}\n")).context("the backup was restored, but standard output is gone")
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let what = "could not start the threads of the process";
            eprintln!("{}", Complaint::new(what, Some(&error)).line());
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(carry_out(arguments));
    runtime.shutdown_timeout(foghorn_telemetry::BLOCKING_CALLS);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let start = error.downcast_ref::<StartError>();
            let file = error.downcast_ref::<StateFileError>();
            let settings = error.downcast_ref::<SettingsError>();
            let todo = start
                .and_then(StartError::todo)
                .or_else(|| file.and_then(StateFileError::todo))
                .or_else(|| settings.and_then(SettingsError::todo));
            eprintln!("{}", complaint(&*error).todo(todo).line());
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(arguments: Arguments) -> anyhow::Result<()> {
    let command = match arguments.command {
        // Whoever only asks exports no traces.
        Command::Run(arguments) if arguments.instead.is_given() => return answer(&arguments),
        command => command,
    };
    let telemetry = foghorn_telemetry::init("foghorn-controller", None)?;
    match command {
        Command::Run(arguments) => run(arguments.options, telemetry.log_filter()).await,
        Command::FirstRun(options) => first_run(options.into_config()?).await,
        Command::ResetAdmin { user, options } => {
            let config = options.into_config()?;
            let made = foghorn_controller::reset_admin(&config, &user).await?;
            hand_out(&made, None, config.first_run_file.as_deref())
        }
        Command::Restore { backup, options } => restored(&options.into_config()?, &backup),
        Command::State(command) => state(command).await,
    }
}

const SHOWN_NOWHERE: &str = "it is done, but standard output is gone";

/// The state as a file.
async fn state(command: StateCommand) -> anyhow::Result<()> {
    match command {
        StateCommand::Export {
            file,
            keep,
            passphrase_file,
            without_authority,
            options,
        } => {
            let (config, passphrase) = (options.into_config()?, passphrase(&passphrase_file)?);
            let with_authority = !without_authority;
            if let Some(keep) = keep {
                let kept = foghorn_controller::export_state_kept(
                    &config,
                    &file,
                    keep,
                    passphrase,
                    with_authority,
                );
                return show(&format!("{}\n", kept.await?)).context(SHOWN_NOWHERE);
            }
            let header =
                foghorn_controller::export_state(&config, &file, passphrase, with_authority)
                    .await?;
            show(&format!(
                "exported revision {} to {}\n",
                header.revision,
                file.display()
            ))
        }
        StateCommand::Import {
            file,
            passphrase_file,
            replace,
            options,
        } => {
            let (config, passphrase) = (options.into_config()?, passphrase(&passphrase_file)?);
            let done =
                foghorn_controller::import_state(&config, &file, passphrase, replace).await?;
            show(&format!("{done}\n"))
        }
    }
    .context(SHOWN_NOWHERE)
}

/// The first line of a file, or of standard input.
fn passphrase(path: &Path) -> anyhow::Result<String> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.with_context(|| format!("could not read {}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What is asked for instead of running.
fn answer(Run { options, instead }: &Run) -> anyhow::Result<()> {
    let text = match instead.text(&form()) {
        Some(text) => text,
        None => {
            let layers = options.layers(std::env::vars_os())?;
            let config = options.config(&layers)?;
            foghorn_controller::check_files(&config)?;
            format!("the configuration is valid\n{}", layers.shown())
        }
    };
    show(&text).context("could not write to standard output")
}

async fn run(options: Options, log: &LogFilter) -> anyhow::Result<()> {
    let layers = options.layers(std::env::vars_os())?;
    let config = options.config(&layers)?;
    log.set(&config.log_filter)?;
    reread_on_hangup(log.clone(), Arc::new(move || reread(&options, &layers)))
        .context("could not watch for SIGHUP")?;
    serve(config).await
}

/// What the configuration says by now, while the controller runs with that of its start.
fn reread(
    options: &Options,
    start: &Layers,
) -> Result<Reread, Box<dyn std::error::Error + Send + Sync>> {
    let layers = options.layers(std::env::vars_os())?;
    let config = options.config(&layers)?;
    let mut others = layers.changed_since(start);
    others.retain(|key| key != "log.filter");
    Ok(Reread {
        filter: config.log_filter,
        others,
    })
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut stop = Stop {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    loop {
        let controller = tokio::select! {
            controller = Controller::start(config.clone()) => controller?,
            () = stop.asked() => {
                foghorn_telemetry::end_soon(0);
                return Ok(());
            }
        };
        announce(&controller, config.first_run_file.as_deref());
        let is_over = tokio::select! {
            () = stop.asked() => true,
            // Another state, of another time: everything begins anew.
            () = controller.replaced() => false,
        };
        if !is_over {
            controller.shutdown().await;
            continue;
        }
        foghorn_telemetry::end_within(0, controller.drains_within() + END_WITHIN);
        let is_urgent = tokio::select! {
            () = controller.drain() => false,
            () = stop.asked() => true,
        };
        foghorn_telemetry::end_soon(0);
        let rest = controller.shutdown();
        if is_urgent {
            tracing::warn!("told to stop once more: ending at once");
            let _whatever_is_left = tokio::time::timeout(AT_ONCE, rest).await;
        } else {
            rest.await;
        }
        return Ok(());
    }
}

/// The signals that ask for the end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// The next one. Cancel safe.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How to get the first credentials, where they are not shown: what a service prints is read by
/// everybody who may see its log.
const HOW_TO_GET_THEM: &str = "\
    The first user and its tokens are not shown here, because this is not a terminal.\n  \
    to do: give --first-run-file FILE; or run `foghorn-controller first-run`, with the embedded\n  \
    store while this program is stopped; or give the credentials: [first_run] in the configuration\n";

/// Shows where the controller is and, until they are used, its first credentials: in the file, or on
/// a terminal.
fn announce(controller: &Controller, file: Option<&Path>) {
    let shown = match controller.first_run() {
        None => Ok(()),
        Some(_) if file.is_none() && !std::io::stdout().is_terminal() => {
            show(HOW_TO_GET_THEM).context("could not write to standard output")
        }
        Some(first) => hand_out(first, Some(controller.ca_fingerprint()), file),
    };
    if let Err(error) = shown {
        tracing::error!(
            error = format!("{error:#}"),
            "could not show the first credentials; they are kept until they are used: the next start or `foghorn-controller first-run` shows them again"
        );
    }
    let addresses = format!(
        "REST {}\nlink {}\n",
        controller.rest_url(),
        controller.link_address()
    );
    if let Err(error) = show(&addresses) {
        tracing::warn!(error = %foghorn_types::chain(&error), "could not write to standard output");
    }
}

/// Ports chosen by the system, because another controller may use the same etcd at the same time.
async fn first_run(mut config: Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.given.is_none(),
        "the credentials of the first user are given by the configuration (first_run), so none are \
         made"
    );
    config.rest.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.link.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let file = config.first_run_file.clone();
    let controller = Controller::start(config).await?;
    match controller.first_run() {
        Some(first) => hand_out(first, Some(controller.ca_fingerprint()), file.as_deref())
            .context("the first credentials were not shown; they are kept, so run this again")?,
        None => anyhow::bail!(
            "the first user and its tokens have been used; `foghorn-controller reset-admin` makes new ones"
        ),
    }
    controller.shutdown().await;
    Ok(())
}

/// `authority`: the fingerprint by which `foghorn login` knows the controller, if it runs.
fn hand_out(first: &FirstRun, authority: Option<&str>, file: Option<&Path>) -> anyhow::Result<()> {
    let mut json = serde_json::json!({
        "user": first.user,
        "password": first.password,
        "api_token": first.api_token,
        "user_token": first.user_token,
    });
    if let Some(authority) = authority {
        json["ca_fingerprint"] = authority.into();
    }
    let text = serde_json::to_string_pretty(&json).context("credentials are plain strings")?;
    match file {
        None => show(&format!("{text}\n")).context("could not write to standard output"),
        Some(path) => write_whole(path, format!("{text}\n").as_bytes()).with_context(|| {
            format!(
                "could not write the first credentials to {}",
                path.display()
            )
        }),
    }
}

fn show(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whoever waits for the file never reads half of it. A file with other content is left alone.
fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::read(path) {
        Ok(found) if found == content => return Ok(()),
        Ok(found) if found.is_empty() => std::fs::remove_file(path)?,
        Ok(_) => {
            return Err(std::io::Error::new(
                std::io::ErrorKind::AlreadyExists,
                "it exists and holds something else: move it away",
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let next = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&next)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&next, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&next);
    }
    written
}
