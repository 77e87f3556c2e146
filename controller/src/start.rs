//! Builds the parts, owns their tasks, drains them.

mod addresses;
mod bare;
mod error;
mod ground;
mod leave;
mod offline;
mod parts;
mod state_files;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{NodeName, StorageNodeId, chain};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::addresses::{advertised_link, certificate_names, listen, own, reachable};
use self::ground::{create_data_dir, engine, load, refuse_lost_store};
use self::parts::{context, router, settings, spawn_drivers};
use crate::app::accounts::{FirstRun, first_run};
use crate::app::authority;
use crate::app::enrolment;
use crate::backups::AUTHORITY_FOLDER;
use crate::config::{Config, StoreConfig};
use crate::ctx::Ctx;
use crate::link::service::LinkService;
use crate::peers::service::PeerService;
use crate::plugins::Plugins;
use crate::state::Refusal;
use crate::store::measured::MeasuredStore;
use crate::store::open;
use crate::{descriptors, peers, recorder, serve};

pub use self::bare::{Bare, Carried};
pub use self::error::StartError;
pub use self::offline::{reset_admin, restore};
pub use self::state_files::{StateFileError, export_state, import_state};

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
        let (state, follower) = load(store, &cancel).await.map_err(StartError::State)?;
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
