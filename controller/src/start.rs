//! Builds the parts, owns their tasks, drains them.

mod addresses;
mod bare;
mod check;
mod credentials;
mod error;
mod ground;
mod leave;
mod offline;
mod parts;
mod ports;
mod state_files;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{NodeName, StorageNodeId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::addresses::{advertised_gateway, advertised_link, own, reachable};
use self::credentials::first;
use self::ground::load;
use self::parts::{context, settings, spawn_drivers};
use self::ports::Ports;
use crate::app::accounts::FirstRun;
use crate::app::enrolment;
use crate::config::{Config, StoreConfig};
use crate::ctx::Ctx;
use crate::plugins::Plugins;
use crate::state::Refusal;
use crate::{peers, recorder};

pub use self::bare::{Bare, Carried};
pub use self::check::{CheckFilesError, check_files};
pub use self::error::StartError;
pub use self::offline::{reset_admin, restore};
pub use self::state_files::{Kept, StateFileError, export_state, export_state_kept, import_state};

/// Time limit for all tasks to end after the listeners have drained.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// A running controller. Dropping it cancels its tasks without waiting; [`Controller::shutdown`]
/// waits.
pub struct Controller {
    ctx: Arc<Ctx>,
    rest: SocketAddr,
    link: SocketAddr,
    gateway: Option<SocketAddr>,
    first_run: Option<FirstRun>,
    tasks: TaskTracker,
    /// The server of REST.
    requests: TaskTracker,
    /// How long requests are answered after the beginning of the end.
    notice: Duration,
    cancel: CancellationToken,
}

/// What an operator must know of [`Config::is_exposed`].
pub const EXPOSED: &str = "plain HTTP is on: everybody on the network can read and change what \
    callers send, with tokens and passwords. Use it only in a network that you trust, or put a \
    proxy with TLS before it";

impl Controller {
    /// Starts every part. When this returns, all ports are open and the state is loaded.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let cancel = CancellationToken::new();
        let stop_on_error = cancel.clone().drop_guard();
        recorder::handle();
        let tasks = TaskTracker::new();
        let (state, keeping, trust) = load(&config, &tasks, &cancel).await?;
        let ports = Ports::open(&config, &trust).await?;
        let (rest, link) = (ports.rest.1, ports.link.1);
        let link_everywhere =
            (config.link.advertise.is_none() && link.ip().is_unspecified()).then(|| link.port());
        // After everything that can fail because of a wrong setting: the credentials are shown
        // once, and only if all this succeeds.
        let first = first(&state, &config).await?;
        let link_addresses = (advertised_link(&config, link), link_everywhere);
        let gateway = ports.gateway();
        let told = gateway.map(|bound| advertised_gateway(&config, bound));
        let settings = settings(&config, keeping, link_addresses, rest, told);
        let plugins = Plugins::new(state.clone(), Some(config.plugins_folder()));
        let ctx = context(&config, state, (trust, plugins), settings).await;
        spawn_drivers(&ctx, &config, &tasks, &cancel);
        let first_run = first.follow((&ctx, &config), &tasks, &cancel);
        if matches!(config.store, StoreConfig::Etcd(_)) {
            let own = own(&config, &ctx, link);
            let calls = (own, Arc::new(peers::OverTls) as Arc<dyn peers::Dial>);
            let peers = peers::run(ctx.clone(), calls, tasks.clone(), cancel.child_token());
            tasks.spawn(peers);
        }
        let requests = ports.serve(&config, &ctx, &tasks, &cancel);
        if config.is_exposed() {
            warn!("{EXPOSED}");
        }
        let plain_http = config.rest.plain_http;
        info!(%rest, %link, ?gateway, plain_http, "controller started");
        stop_on_error.disarm();
        Ok(Self {
            ctx,
            rest: reachable(rest),
            link: reachable(link),
            gateway: gateway.map(reachable),
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

    /// Address to which an agent in this process connects.
    #[must_use]
    pub const fn link_here(&self) -> SocketAddr {
        self.link
    }

    /// Address at which devices of this machine reach their gateway, if there is one.
    #[must_use]
    pub const fn gateway_here(&self) -> Option<SocketAddr> {
        self.gateway
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

    /// User and tokens created by this start; `None` if the store already had some, or they are
    /// given.
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
