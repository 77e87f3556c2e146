//! The context of all handlers, and what works without a request.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use foghorn_types::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::files::Files;
use crate::agents::jobs::Jobs;
use crate::agents::links::Links;
use crate::agents::live::Live;
use crate::agents::mirror::Mirror;
use crate::agents::peers::Peers;
use crate::api::native::telemetry;
use crate::app::devices::rings;
use crate::app::{further, replication, snapin_files};
use crate::background::Background;
use crate::backups::Backups;
use crate::config::{Config, StoreConfig, machines_url};
use crate::ctx::{Ctx, Settings};
use crate::downloads::Downloads;
use crate::events::{self, Hub};
use crate::kubernetes::Cluster;
use crate::leaving::Leaving;
use crate::link::follow;
use crate::logins::Doors;
use crate::plugins::Plugins;
use crate::state::State;
use crate::trust::{CONTROLLER_TLS_NAME, Keeping, Trust};
use crate::uploads::Uploads;
use crate::{api, awake, dispatch, gateway, notify, scheduler, upkeep};

/// Maximum lifetime of a client certificate, whatever the deadline of its task.
const CLIENT_CERTIFICATE_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

pub(super) async fn context(
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
            settings.keeping.own_folder().map(Path::to_owned),
            state.store().clone(),
        )),
        plugins,
        background: Arc::new(Background::default()),
        sightings: Arc::default(),
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
        cluster: config.kubernetes.clone().map(Cluster::new),
    })
}

/// Starts what works by itself, without a request.
pub(super) fn spawn_drivers(
    ctx: &Arc<Ctx>,
    config: &Config,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) {
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
    tasks.spawn(notify::queues(
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
    tasks.spawn(rings::run(ctx.clone(), cancel.child_token()));
    tasks.spawn(further::run(ctx.clone(), cancel.child_token()));
    tasks.spawn(snapin_files::run(
        ctx.clone(),
        config.snapins.file_grace,
        cancel.child_token(),
    ));
}

pub(super) fn router(ctx: &Arc<Ctx>) -> Router {
    api::router(ctx.clone()).layer(axum::middleware::from_fn(telemetry::observe))
}

/// What devices may ask for.
pub(super) fn gateway(ctx: &Arc<Ctx>) -> Router {
    gateway::router(ctx.clone()).layer(axum::middleware::from_fn(telemetry::observe))
}

pub(super) fn settings(
    config: &Config,
    keeping: Keeping,
    (link_address, link_everywhere): (String, Option<u16>),
    rest: SocketAddr,
    gateway_address: Option<String>,
) -> Settings {
    Settings {
        keeping,
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
        gateway_address,
        machines_url: machines_url(&config.rest.names, rest),
        foundries: config.dialects.foundries,
        boot_token_ttl: config.tokens.boot_ttl,
        join_token_ttl: config.tokens.join_ttl,
        client_certificate_lifetime: CLIENT_CERTIFICATE_LIFETIME,
    }
}
