//! Builds the parts, owns their tasks, drains them.

mod bare;
mod leave;
mod state_files;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use foghorn_types::{NodeName, StorageNodeId, Timestamp, chain};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::agents::files::Files;
use crate::agents::jobs::Jobs;
use crate::agents::links::Links;
use crate::agents::live::Live;
use crate::agents::mirror::Mirror;
use crate::agents::peers::Peers;
use crate::api;
use crate::api::native::telemetry;
use crate::app::accounts::{self, AccountError, FirstRun, first_run};
use crate::app::authority::{self, AuthorityError};
use crate::app::enrolment;
use crate::app::snapin_files;
use crate::app::{further, replication};
use crate::background::Background;
use crate::backups::{AUTHORITY_FOLDER, Backups, RestoreError, Restored, STORE_FILE};
use crate::config::{Config, StoreConfig, machines_url};
use crate::ctx::{Ctx, Settings};
use crate::downloads::Downloads;
use crate::events::{self, Hub};
use crate::leaving::Leaving;
use crate::link::follow;
use crate::link::service::LinkService;
use crate::logins::Doors;
use crate::peers::service::PeerService;
use crate::plugins::Plugins;
use crate::state::{Refusal, State};
use crate::store::embedded::OpenEmbeddedError;
use crate::store::measured::MeasuredStore;
use crate::store::open::{self, OpenStoreError};
use crate::trust::{CONTROLLER_TLS_NAME, ServerConfigError, ServerNames, Trust};
use crate::uploads::Uploads;
use crate::{
    awake, backups, descriptors, dispatch, notify, peers, recorder, scheduler, serve, upkeep,
};

pub use self::bare::{Bare, Carried};
pub use self::state_files::{StateFileError, export_state, import_state};

/// Maximum lifetime of a client certificate, whatever the deadline of its task.
const CLIENT_CERTIFICATE_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Time limit for all tasks to end after the listeners have drained.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// A running controller. Dropping it cancels its tasks without waiting; [`Controller::shutdown`]
/// waits.
pub struct Controller {
    ctx: Arc<Ctx>,
    rest: SocketAddr,
    first_run: Option<FirstRun>,
    tasks: TaskTracker,
    /// The server of REST.
    requests: TaskTracker,
    /// How long requests are answered after the beginning of the end.
    notice: Duration,
    cancel: CancellationToken,
}

/// Why the controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not create the data directory {path}", path = path.display())]
    DataDir {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("could not open the state store")]
    Store(#[from] OpenStoreError),
    #[error("could not load the state")]
    State(#[source] Refusal),
    #[error("there is no installation in {path}", path = path.display())]
    NoInstallation { path: PathBuf },
    #[error("{path} is missing or empty, but this controller has been set up before, because there is {authority}: restore a backup, see docs/operations/backup.md; to begin anew without hosts and images, move the whole state directory away", path = path.display(), authority = authority.display())]
    LostStore { path: PathBuf, authority: PathBuf },
    #[error(
        "the store is in etcd: restore a snapshot of etcd, and copy ca/ of the data directory back"
    )]
    NotHere,
    #[error("nothing was restored, and everything is as before")]
    Restore(#[source] RestoreError),
    #[error("could not create the first user and its tokens")]
    FirstRun(#[source] AccountError),
    #[error("could not load the certificate authority")]
    Trust(#[from] AuthorityError),
    #[error("could not set up TLS")]
    Tls(#[from] ServerConfigError),
    #[error("could not listen on {address} ({purpose})")]
    Listen {
        purpose: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
}

impl StartError {
    /// What whoever starts the program can do about it.
    #[must_use]
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::DataDir { .. } => Some("give a directory that this user may write to"),
            Self::Store(OpenStoreError::Embedded(OpenEmbeddedError::InUse { .. })) => {
                Some("stop the other process first, which is a server with this directory")
            }
            Self::Store(OpenStoreError::Etcd(_)) => Some(
                "check the addresses and the certificates of etcd in the configuration, and that it is running",
            ),
            Self::NoInstallation { .. } => {
                Some("give the directory of the server; a new server is made by starting it once")
            }
            Self::Listen { .. } => {
                Some("stop the program that uses this address, or choose another address or port")
            }
            _ => None,
        }
    }
}

/// What an operator must know of [`Config::is_exposed`].
pub const EXPOSED: &str = "plain HTTP is on: everybody on the network can read and change what \
    callers send, with tokens and passwords. Use it only in a network that you trust, or put a \
    proxy with TLS before it";

impl Controller {
    /// Starts every part. When this returns, both ports are open and the state is loaded.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let cancel = CancellationToken::new();
        let stop_on_error = cancel.clone().drop_guard();
        recorder::handle();
        create_data_dir(&config.data_dir)?;
        let tasks = TaskTracker::new();
        let engine = engine(&config);
        refuse_lost_store(&engine, &config.data_dir)?;
        let store = Arc::new(MeasuredStore::new(open::open(&engine).await?));
        let (state, follower) = State::start(store, cancel.child_token())
            .await
            .map_err(StartError::State)?;
        tasks.spawn(async move {
            if let Err(error) = follower.await {
                warn!(error = %chain(&error), "the watch cache ended");
            }
        });
        let trust = Arc::new(
            authority::open(
                &state,
                &config.data_dir.join(AUTHORITY_FOLDER),
                config.new_authority,
            )
            .await?
            .with_lifetimes(config.lifetimes),
        );
        let rest = listen("REST", config.rest.listen).await?;
        let link = listen("agents", config.link.listen).await?;
        let names = certificate_names(&config);
        let rest_tls = trust.rest_config(names.clone())?;
        let link_tls = trust.link_config(names)?;
        let link_address = advertised_link(&config, link.1);
        let link_everywhere = (config.link.advertise.is_none() && link.1.ip().is_unspecified())
            .then(|| link.1.port());
        // After everything that can fail because of a wrong setting: the credentials are shown
        // once, and only if all this succeeds.
        let first_run = first_run(&state).await.map_err(StartError::FirstRun)?;
        let settings = settings(&config, link_address, link_everywhere, rest.1);
        let plugins = Plugins::new(state.clone(), Some(config.plugins_folder()));
        let ctx = context(&config, state, (trust, plugins), settings).await;
        spawn_drivers(&ctx, &config, &tasks, &cancel);
        if matches!(config.store, StoreConfig::Etcd(_)) {
            let own = own(&config, &ctx, link.1);
            let calls = (own, Arc::new(peers::OverTls) as Arc<dyn peers::Dial>);
            let peers = peers::run(ctx.clone(), calls, tasks.clone(), cancel.child_token());
            tasks.spawn(peers);
        }
        let services = (
            LinkService::new(ctx.clone(), tasks.clone(), cancel.child_token()),
            PeerService::new(ctx.clone(), tasks.clone(), cancel.child_token()),
        );
        tasks.spawn(serve::link(
            link.0,
            link_tls,
            services,
            cancel.child_token(),
        ));
        let limits = serve::RestLimits {
            connections: descriptors::room_for(config.rest.max_connections),
            connections_each: config.rest.max_connections_per_address,
            proxies: config.login.trusted_proxies.clone(),
            patience: config.rest.patience,
        };
        let requests = TaskTracker::new();
        requests.spawn(serve::rest(
            rest.0,
            serve::Security {
                tls: rest_tls,
                plain_too: config.rest.plain_http,
            },
            router(&ctx),
            limits,
            serve::End {
                leaving: ctx.leaving.clone(),
                cancel: cancel.child_token(),
            },
        ));
        requests.close();
        if config.is_exposed() {
            warn!("{EXPOSED}");
        }
        let plain_http = config.rest.plain_http;
        info!(rest = %rest.1, link = %link.1, plain_http, "controller started");
        stop_on_error.disarm();
        Ok(Self {
            ctx,
            rest: reachable(rest.1),
            first_run,
            tasks,
            requests,
            notice: config.rest.drain,
            cancel,
        })
    }

    /// URL of the REST API for this machine, without a trailing slash.
    #[must_use]
    pub fn rest_url(&self) -> String {
        format!("https://{}", self.rest)
    }

    /// `host:port` to which agents connect.
    #[must_use]
    pub fn link_address(&self) -> &str {
        &self.ctx.settings.link_address
    }

    /// The authority that verifies this controller.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.ctx.trust.ca_pem()
    }

    /// SHA-256 of that authority's certificate, as tokens and `foghorn login` have it.
    #[must_use]
    pub fn ca_fingerprint(&self) -> &str {
        self.ctx.trust.ca_fingerprint()
    }

    /// User and tokens created by this start; `None` if the store already had some.
    #[must_use]
    pub fn first_run(&self) -> Option<&FirstRun> {
        self.first_run.as_ref()
    }

    /// A join token for the storage node `name`, which is created in the default group if it does
    /// not exist.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn join_token_for(&self, name: &NodeName) -> Result<String, Refusal> {
        let ttl = self.ctx.settings.join_token_ttl;
        Ok(enrolment::join_token(&self.ctx, name, None, ttl)
            .await?
            .text)
    }

    /// A join token for a storage node that has joined before, under its present name; `None` if it
    /// was revoked or deleted. A store that was put back to a backup may be from before its
    /// enrolment: then the node joins anew.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rejoin_token_for(&self, node: StorageNodeId) -> Result<Option<String>, Refusal> {
        let name = self.ctx.state.read(|tables| {
            let enrolled = tables.enrolled_nodes().get(&node);
            let is_revoked = enrolled.is_some_and(|enrolled| enrolled.is_revoked());
            let row = tables.storage_nodes().get(node.get())?;
            row.name.parse::<NodeName>().ok().filter(|_| !is_revoked)
        });
        match name {
            Some(name) => self.join_token_for(&name).await.map(Some),
            None => Ok(None),
        }
    }

    /// The context of the handlers, for a process that contains the controller.
    #[must_use]
    pub fn ctx(&self) -> &Arc<Ctx> {
        &self.ctx
    }

    /// Waits until an import has replaced the state: this controller has to be shut down and started
    /// again then.
    pub async fn replaced(&self) {
        self.ctx.state.replaced().await;
        warn!("the state was replaced by an import: this controller ends, and has to start again");
    }

    /// Stops accepting requests, finishes the active ones, ends all tasks.
    pub async fn shutdown(self) {
        info!("stopping the controller");
        self.ctx.leaving.close();
        self.cancel.cancel();
        self.tasks.close();
        let ended = async { tokio::join!(self.tasks.wait(), self.requests.wait()) };
        if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
            warn!(
                tasks = self.tasks.len(),
                "some background tasks did not end in time"
            );
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.ctx.leaving.close();
        self.cancel.cancel();
    }
}

/// Makes new credentials for an administrator, on the machine of a controller that is not running:
/// see [`accounts::reset_admin`].
///
/// # Errors
/// When the store cannot be opened, such as while the controller uses it, or written.
pub async fn reset_admin(config: &Config, name: &str) -> Result<FirstRun, StartError> {
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let engine = engine(config);
    if let open::StoreConfig::Embedded { path } = &engine
        && !path.exists()
    {
        return Err(StartError::NoInstallation {
            path: config.data_dir.clone(),
        });
    }
    let store = open::open(&engine).await?;
    let (state, follower) = State::start(store, cancel.child_token())
        .await
        .map_err(StartError::State)?;
    let follower = tokio::spawn(follower);
    let reset = accounts::reset_admin(&state, name).await;
    cancel.cancel();
    let _ended = follower.await;
    reset.map_err(StartError::FirstRun)
}

/// Puts a backup back, on the machine of a controller that is not running.
///
/// # Errors
/// With etcd, which restores its own backups; otherwise as [`backups::restore`].
pub fn restore(config: &Config, backup: &Path) -> Result<Restored, StartError> {
    match &config.store {
        StoreConfig::Etcd(_) => Err(StartError::NotHere),
        StoreConfig::Embedded => backups::restore(&config.data_dir, backup, Timestamp::now())
            .map_err(StartError::Restore),
    }
}

async fn context(
    config: &Config,
    state: Arc<State>,
    (trust, plugins): (Arc<Trust>, Arc<Plugins>),
    settings: Settings,
) -> Arc<Ctx> {
    let hub = Hub::new(state.read_at(|_, revision| revision));
    plugins.reload().await;
    let others = matches!(config.store, StoreConfig::Etcd(_));
    let mirror = Arc::new(Mirror::new(others));
    Arc::new(Ctx {
        backups: Arc::new(Backups::new(
            config.backups_folder(),
            config.data_dir.join(AUTHORITY_FOLDER),
            state.store().clone(),
        )),
        plugins,
        background: Arc::new(Background::default()),
        state,
        live: Arc::new(Live::default()),
        trust,
        links: Arc::new(Links::new(mirror.clone())),
        mirror,
        peers: Arc::new(Peers::default()),
        files: Arc::new(Files::default()),
        jobs: Arc::new(Jobs::new(Timestamp::now())),
        events: Arc::new(hub),
        leaving: Arc::new(Leaving::default()),
        uploads: Arc::new(Uploads::new(
            config.data_dir.join("uploads"),
            config.snapins.largest_file,
        )),
        downloads: Downloads::new(config.clients_folder()),
        settings,
        doors: Doors::new(&config.login),
    })
}

/// This controller as it presents itself to others.
fn own(config: &Config, ctx: &Ctx, link: SocketAddr) -> peers::Own {
    let advertised = config.peers_advertise.clone();
    let peers = advertised.unwrap_or_else(|| match foghorn_reach::reached_at(link.ip()).first() {
        Some(ip) if link.ip().is_unspecified() => SocketAddr::new(*ip, link.port()).to_string(),
        _ => reachable(link).to_string(),
    });
    peers::Own {
        id: format!("{:016x}", getrandom::u64().unwrap_or_default()),
        peers,
        link: ctx.settings.link_address.clone(),
    }
}

/// Starts what works by itself, without a request.
fn spawn_drivers(ctx: &Arc<Ctx>, config: &Config, tasks: &TaskTracker, cancel: &CancellationToken) {
    tasks.spawn(dispatch::run(
        ctx.clone(),
        config.limits,
        cancel.child_token(),
    ));
    tasks.spawn(follow::run(ctx.clone(), cancel.child_token()));
    let stop = cancel.child_token();
    tasks.spawn(async move { stop.run_until_cancelled(awake::watch()).await });
    tasks.spawn(scheduler::run(ctx.clone(), cancel.child_token()));
    tasks.spawn(notify::run(
        ctx.clone(),
        config.notifications,
        cancel.child_token(),
    ));
    tasks.spawn(notify::watch(
        ctx.clone(),
        config.notifications,
        config.limits.node_grace,
        cancel.child_token(),
    ));
    tasks.spawn(
        ctx.plugins
            .clone()
            .follow(ctx.background.clone(), cancel.child_token()),
    );
    tasks.spawn(upkeep::run(
        ctx.clone(),
        config.audit_keep,
        cancel.child_token(),
    ));
    tasks.spawn(upkeep::removals::run(ctx.clone(), cancel.child_token()));
    if matches!(config.store, StoreConfig::Embedded) {
        tasks.spawn(upkeep::backups::run(
            ctx.clone(),
            config.backup.clone(),
            cancel.child_token(),
        ));
    }
    let (hub, state, live) = (ctx.events.clone(), ctx.state.clone(), ctx.live.clone());
    tasks.spawn(events::run(
        hub,
        state,
        live,
        ctx.background.clone(),
        cancel.child_token(),
    ));
    tasks.spawn(replication::run(ctx.clone(), cancel.child_token()));
    tasks.spawn(further::run(ctx.clone(), cancel.child_token()));
    tasks.spawn(snapin_files::run(
        ctx.clone(),
        config.snapins.file_grace,
        cancel.child_token(),
    ));
}

fn router(ctx: &Arc<Ctx>) -> Router {
    api::router(ctx.clone()).layer(axum::middleware::from_fn(telemetry::observe))
}

fn settings(
    config: &Config,
    link_address: String,
    link_everywhere: Option<u16>,
    rest: SocketAddr,
) -> Settings {
    Settings {
        task_deadline: config.limits.task_deadline,
        node_grace: config.limits.node_grace,
        started: Timestamp::now(),
        began: awake::now(),
        multicast: config.multicast.clone(),
        sources_per_client: config.limits.sources_per_client,
        versions: config.versions,
        backup_every: match config.store {
            StoreConfig::Embedded => config.backup.every,
            StoreConfig::Etcd(_) => None,
        },
        link_address,
        link_everywhere,
        link_server_name: CONTROLLER_TLS_NAME.to_owned(),
        machines_url: machines_url(&config.rest.names, rest),
        boot_token_ttl: config.tokens.boot_ttl,
        join_token_ttl: config.tokens.join_ttl,
        client_certificate_lifetime: CLIENT_CERTIFICATE_LIFETIME,
    }
}

/// An authority is made after its store. Without the store it would be the authority of an empty site
/// that nobody has ordered, with storage nodes that are not known there.
fn refuse_lost_store(engine: &open::StoreConfig, data_dir: &Path) -> Result<(), StartError> {
    let open::StoreConfig::Embedded { path } = engine else {
        return Ok(());
    };
    let authority = data_dir.join(AUTHORITY_FOLDER);
    let is_set_up = std::fs::read_dir(&authority).is_ok_and(|mut files| files.next().is_some());
    let is_empty = std::fs::metadata(path).map_or(true, |file| file.len() == 0);
    if is_set_up && is_empty {
        return Err(StartError::LostStore {
            path: path.clone(),
            authority,
        });
    }
    Ok(())
}

fn engine(config: &Config) -> open::StoreConfig {
    match &config.store {
        StoreConfig::Embedded => open::StoreConfig::Embedded {
            path: config.data_dir.join(STORE_FILE),
        },
        StoreConfig::Etcd(options) => open::StoreConfig::Etcd(options.clone()),
    }
}

/// Readable by its owner only: it contains the authority's key and all password hashes.
fn create_data_dir(path: &std::path::Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|source| StartError::DataDir {
        path: path.to_owned(),
        source,
    })
}

async fn listen(
    purpose: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let fail = |source| StartError::Listen {
        purpose,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}

/// The address to which agents connect: the setting, otherwise the listening address, otherwise the
/// first of the controller's names, otherwise the first address of this machine.
fn advertised_link(config: &Config, bound: SocketAddr) -> String {
    if let Some(advertise) = &config.link.advertise {
        return advertise.clone();
    }
    if !bound.ip().is_unspecified() {
        return bound.to_string();
    }
    match config.rest.names.first() {
        Some(name) if name.contains(':') => format!("[{name}]:{}", bound.port()),
        Some(name) => format!("{name}:{}", bound.port()),
        None => match foghorn_reach::reached_at(bound.ip()).first() {
            Some(ip) => SocketAddr::new(*ip, bound.port()).to_string(),
            None => {
                warn!(
                    "agents are told to connect to the loopback address, because this machine has no other: set link.advertise or rest.names for other machines"
                );
                reachable(bound).to_string()
            }
        },
    }
}

/// An address to which this machine can connect: the loopback one for the unspecified address.
fn reachable(mut bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() {
        bound.set_ip(if bound.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    bound
}

/// All names under which the controller can be reached, and while it listens on every address, all
/// addresses of this machine.
fn certificate_names(config: &Config) -> ServerNames {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    names.extend(config.rest.names.iter().cloned());
    let listened = [config.rest.listen, config.link.listen].map(|address| address.ip());
    names.extend(
        listened
            .iter()
            .filter(|ip| !ip.is_unspecified())
            .map(ToString::to_string),
    );
    names.extend(
        config
            .link
            .advertise
            .iter()
            .filter_map(|text| Some(text.rsplit_once(':')?.0.trim_matches(['[', ']']).to_owned())),
    );
    let ip = config.rest.listen.ip();
    if ip.is_unspecified() {
        ServerNames::following(names, move || foghorn_reach::reached_at(ip))
    } else {
        names.as_slice().into()
    }
}
