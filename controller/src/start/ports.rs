//! The two ports of a controller: REST, and the link for agents and other controllers.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::addresses::{certificate_names, listen};
use super::error::StartError;
use super::parts::router;
use crate::config::Config;
use crate::ctx::Ctx;
use crate::link::service::LinkService;
use crate::peers::service::PeerService;
use crate::trust::Trust;
use crate::{descriptors, serve};

/// Open, but nobody is answered yet.
pub(super) struct Ports {
    pub(super) rest: (TcpListener, SocketAddr),
    pub(super) link: (TcpListener, SocketAddr),
    rest_tls: ServerConfig,
    link_tls: ServerConfig,
}

impl Ports {
    pub(super) async fn open(config: &Config, trust: &Arc<Trust>) -> Result<Self, StartError> {
        let rest = listen("REST", config.rest.listen).await?;
        let link = listen("agents", config.link.listen).await?;
        let names = certificate_names(config);
        Ok(Self {
            rest,
            link,
            rest_tls: trust.rest_config(names.clone())?,
            link_tls: trust.link_config(names)?,
        })
    }

    /// Answers; what serves requests of REST is tracked by what is returned.
    pub(super) fn serve(
        self,
        config: &Config,
        ctx: &Arc<Ctx>,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> TaskTracker {
        let services = (
            LinkService::new(ctx.clone(), tasks.clone(), cancel.child_token()),
            PeerService::new(ctx.clone(), tasks.clone(), cancel.child_token()),
        );
        tasks.spawn(serve::link(
            self.link.0,
            self.link_tls,
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
            self.rest.0,
            serve::Security {
                tls: self.rest_tls,
                plain_too: config.rest.plain_http,
            },
            router(ctx),
            limits,
            serve::End {
                leaving: ctx.leaving.clone(),
                cancel: cancel.child_token(),
            },
        ));
        requests.close();
        requests
    }
}
