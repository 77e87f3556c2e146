//! A controller without listeners: whoever starts it carries what others say to it, and what it says
//! to them. For a simulation, in which the network, the store and several controllers are in one
//! process; all that is inside is the same as in [`Controller`](super::Controller).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use foghorn_proto::link::{AgentMessage, ControllerMessage, PeerEvent, PeerOrder};
use foghorn_types::NodeName;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::StartError;
use super::parts::{context, router, settings, spawn_drivers};
use crate::config::Config;
use crate::ctx::Ctx;
use crate::link::service::LinkService;
use crate::peers::service::PeerService;
use crate::peers::{self, Dial};
use crate::plugins::Plugins;
use crate::state::State;
use crate::store::Store;
use crate::store::measured::MeasuredStore;
use crate::trust::{Keeping, Trust};

/// What somebody else has, on behalf of a [`Bare`] controller.
pub struct Carried {
    pub store: Arc<dyn Store>,
    pub trust: Arc<Trust>,
    /// Tells it from other controllers.
    pub id: String,
    /// Where agents and other controllers call it, as a name: nothing is resolved.
    pub address: String,
    pub dial: Arc<dyn Dial>,
}

/// See the module. Dropping it leaves its tasks to the runtime, as nothing else is left of a process
/// that was killed.
pub struct Bare {
    ctx: Arc<Ctx>,
    router: Router,
    links: LinkService,
    peers: Arc<PeerService>,
}

impl Bare {
    /// Starts everything but the listeners and plugins. The store must have its first users, and the
    /// authority must be that of the store.
    ///
    /// # Errors
    /// When the state cannot be loaded.
    pub async fn start(config: &Config, carried: Carried) -> Result<Self, StartError> {
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let store = Arc::new(MeasuredStore::new(carried.store));
        let (state, follower) = State::start(store, cancel.child_token())
            .await
            .map_err(StartError::State)?;
        tasks.spawn(follower);
        let nowhere = SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), 0);
        let keeping = Keeping::Own(config.data_dir.clone());
        let link = (carried.address.clone(), None);
        let settings = settings(config, keeping, link, nowhere, None);
        let plugins = Plugins::new(state.clone(), None);
        let ctx = context(config, state, (carried.trust, plugins), settings).await;
        spawn_drivers(&ctx, config, &tasks, &cancel);
        let own = peers::Own {
            id: carried.id,
            peers: carried.address.clone(),
            link: carried.address,
        };
        tasks.spawn(peers::run(
            ctx.clone(),
            (own, carried.dial),
            tasks.clone(),
            cancel.child_token(),
        ));
        Ok(Self {
            router: router(&ctx),
            links: LinkService::new(ctx.clone(), tasks.clone(), cancel.child_token()),
            peers: Arc::new(PeerService::new(ctx.clone(), tasks, cancel)),
            ctx,
        })
    }

    /// The context of its handlers.
    #[must_use]
    pub fn ctx(&self) -> &Arc<Ctx> {
        &self.ctx
    }

    /// REST.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// An agent opens a link, with a certificate that is in order.
    ///
    /// # Errors
    /// As the call of the agent: it is not enrolled, or the controller is about to end.
    pub fn link(
        &self,
        name: &NodeName,
        messages: BoxStream<'static, Result<AgentMessage, Status>>,
    ) -> Result<mpsc::Receiver<Result<ControllerMessage, Status>>, Status> {
        let node = self.links.enrolled(name)?;
        self.links.open((node, None), messages)
    }

    /// Another controller calls. The first order is its hello.
    ///
    /// # Errors
    /// As the call of the other controller.
    pub fn talk(
        &self,
        orders: BoxStream<'static, Result<PeerOrder, Status>>,
    ) -> BoxFuture<'static, Result<mpsc::Receiver<Result<PeerEvent, Status>>, Status>> {
        let peers = self.peers.clone();
        Box::pin(async move { peers.answer(orders).await })
    }
}
