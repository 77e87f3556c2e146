//! The ports of a controller: REST, the link for agents and other controllers, and where it is wanted
//! the gateway of devices.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::addresses::{certificate_names, listen};
use super::error::StartError;
use super::parts::{gateway, router};
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
    gateway: Option<Gateway>,
}

/// The port of devices.
struct Gateway {
    listener: TcpListener,
    bound: SocketAddr,
    tls: ServerConfig,
}

impl Ports {
    pub(super) async fn open(config: &Config, trust: &Arc<Trust>) -> Result<Self, StartError> {
        let rest = listen("REST", config.rest.listen).await?;
        let link = listen("agents", config.link.listen).await?;
        let names = certificate_names(config);
        let gateway = match config.dialects.gateway {
            None => None,
            Some(address) => {
                let (listener, bound) = listen("devices", address).await?;
                let tls = trust.gateway_config(names.clone())?;
                Some(Gateway {
                    listener,
                    bound,
                    tls,
                })
            }
        };
        Ok(Self {
            rest,
            link,
            rest_tls: trust.rest_config(names.clone())?,
            link_tls: trust.link_config(names)?,
            gateway,
        })
    }

    /// Where devices are listened to.
    pub(super) fn gateway(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().map(|gateway| gateway.bound)
    }

    /// Answers; what serves requests of REST and of devices is tracked by what is returned.
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
        // Descriptors are for all ports together.
        let wanted = config.rest.max_connections;
        let ports = 1 + usize::from(self.gateway.is_some());
        let room = descriptors::room_for(wanted.saturating_mul(ports)) / ports;
        let limits = serve::RestLimits {
            connections: room.max(1),
            connections_each: config.rest.max_connections_per_address,
            proxies: config.login.trusted_proxies.clone(),
            patience: config.rest.patience,
        };
        let end = || serve::End {
            leaving: ctx.leaving.clone(),
            cancel: cancel.child_token(),
        };
        let requests = TaskTracker::new();
        if let Some(Gateway { listener, tls, .. }) = self.gateway {
            let security = serve::Security {
                tls,
                plain_too: false,
            };
            let serving = serve::rest(listener, security, gateway(ctx), limits.clone(), end());
            requests.spawn(serving);
        }
        requests.spawn(serve::rest(
            self.rest.0,
            serve::Security {
                tls: self.rest_tls,
                plain_too: config.rest.plain_http,
            },
            router(ctx),
            limits,
            end(),
        ));
        requests.close();
        requests
    }
}
