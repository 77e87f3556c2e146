//! `foghorn-controller`: arguments, logs, signals. Everything else is in the library.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use foghorn_controller::app::accounts::FirstRun;
use foghorn_controller::{Config, Controller};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    name = "foghorn-controller",
    version,
    about = "The controller of a Foghorn fleet"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until SIGTERM or SIGINT. Prints the first user and tokens until they are used.
    Run(Options),
    /// Create the first user and tokens, or print them again if nobody has used them, and exit.
    FirstRun(Options),
    /// Make new credentials for an administrator, print them once, and exit. With the embedded
    /// store the controller must be stopped.
    ResetAdmin {
        /// The user; created if it does not exist.
        #[arg(long, default_value = "fog")]
        user: String,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Args)]
struct Options {
    /// TOML file; the flags below take precedence over it.
    #[arg(long, env = "FOGHORN_CONTROLLER_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of the certificate authority and the embedded store.
    #[arg(long, env = "FOGHORN_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the REST API.
    #[arg(long, env = "FOGHORN_REST_LISTEN")]
    rest_listen: Option<SocketAddr>,
    /// Address for the links of agents.
    #[arg(long, env = "FOGHORN_LINK_LISTEN")]
    link_listen: Option<SocketAddr>,
    /// Take plain HTTP beside HTTPS, on the same port. On any but a loopback address, everybody on
    /// the network can read tokens and passwords.
    #[arg(long)]
    plain_http: bool,
    /// Address of a proxy whose `X-Forwarded-For` is believed; may be given several times.
    #[arg(long = "trusted-proxy", value_name = "ADDRESS")]
    trusted_proxies: Vec<IpAddr>,
    /// Write the first user and tokens to this file (JSON, mode 0600) instead of printing them.
    #[arg(long)]
    first_run_file: Option<PathBuf>,
    /// Take the certificate authority of this data directory, or a new one, although the store
    /// belongs to another. Every agent must be enrolled again. For one start, after a loss.
    #[arg(long)]
    new_authority: bool,
}

impl Options {
    fn into_config(self) -> anyhow::Result<Config> {
        let mut config = match (&self.config, &self.data_dir) {
            (Some(path), _) => Config::load(path)?,
            (None, Some(dir)) => Config::local(dir),
            (None, None) => anyhow::bail!("either --config or --data-dir is required"),
        };
        if let Some(dir) = self.data_dir {
            config.data_dir = dir;
        }
        if let Some(address) = self.rest_listen {
            config.rest.listen = address;
        }
        if let Some(address) = self.link_listen {
            config.link.listen = address;
        }
        config.new_authority = self.new_authority;
        config.rest.plain_http |= self.plain_http;
        config.first_run_file = self.first_run_file.or(config.first_run_file);
        config.login.trusted_proxies.extend(self.trusted_proxies);
        Ok(config)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime =
        tokio::runtime::Runtime::new().context("could not start the threads of the process")?;
    let done = runtime.block_on(carry_out(arguments));
    runtime.shutdown_timeout(foghorn_telemetry::BLOCKING_CALLS);
    done
}

async fn carry_out(arguments: Arguments) -> anyhow::Result<()> {
    let _flush = foghorn_telemetry::init("foghorn-controller", None)?;
    match arguments.command {
        Command::Run(options) => run(options.into_config()?).await,
        Command::FirstRun(options) => first_run(options.into_config()?).await,
        Command::ResetAdmin { user, options } => {
            let config = options.into_config()?;
            let made = foghorn_controller::reset_admin(&config, &user).await?;
            hand_out(&made, config.first_run_file.as_deref())
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let file = config.first_run_file.clone();
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        foghorn_telemetry::end_soon(0);
    };
    tokio::pin!(stop);
    let controller = tokio::select! {
        controller = Controller::start(config) => controller?,
        () = &mut stop => return Ok(()),
    };
    if let Some(first) = controller.first_run()
        && let Err(error) = hand_out(first, file.as_deref())
    {
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
    stop.await;
    controller.shutdown().await;
    Ok(())
}

/// Ports chosen by the system, because another controller may use the same etcd at the same time.
async fn first_run(mut config: Config) -> anyhow::Result<()> {
    config.rest.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.link.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let file = config.first_run_file.clone();
    let controller = Controller::start(config).await?;
    match controller.first_run() {
        Some(first) => hand_out(first, file.as_deref())
            .context("the first credentials were not shown; they are kept, so run this again")?,
        None => anyhow::bail!(
            "the first user and its tokens have been used; `foghorn-controller reset-admin` makes new ones"
        ),
    }
    controller.shutdown().await;
    Ok(())
}

fn hand_out(first: &FirstRun, file: Option<&Path>) -> anyhow::Result<()> {
    let json = serde_json::json!({
        "user": first.user,
        "password": first.password,
        "api_token": first.api_token,
        "user_token": first.user_token,
    });
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
