//! Builds the parts of the agent, owns their tasks, and stops them in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use foghorn_chunk_store::{ListManifestsError, OpenStoreError, Options, Store};
use foghorn_transport::server::{BindError, Listener};
use foghorn_types::{NodeName, Timestamp, chain};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::address::{Advertised, FindAddressError};
use crate::backoff::Backoff;
use crate::cold::{self, Cold, OpenColdError};
use crate::config::{Config, JoiningError};
use crate::disk::Disk;
use crate::files::Files;
use crate::healing::Healing;
use crate::health::{self, Health, Up};
use crate::identity::{self, EnrolError, LoadIdentityError, NodeIdentity, ObtainError};
use crate::jobs::patrol::Patrol;
use crate::jobs::{Jobs, upkeep};
use crate::journal::{Journal, OpenJournalError};
use crate::link::{ControllerLink, Controllers};
use crate::marks::Marks;
use crate::outbox::Outbox;
use crate::replicas::{self, Replicas};
use crate::sessions::{self, Sessions};
use crate::status::StatusReporter;
use crate::wake::Waker;

/// How long parts may take to end once they were asked to.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(3);

/// A running storage node. Dropping it stops it at once; [`Agent::shutdown`] is the orderly way.
pub struct Agent {
    node: NodeName,
    listening: SocketAddr,
    jobs: Arc<Jobs>,
    files: Arc<Files>,
    sessions: Arc<Sessions>,
    replicas: Arc<Replicas>,
    marks: Arc<Marks>,
    serving: TaskGroup,
    reporting: TaskGroup,
    answering: Answering,
}

/// What answers whoever asks how the node is, from before its start until after its end.
struct Answering {
    health: Arc<Health>,
    listening: Option<SocketAddr>,
    tasks: TaskGroup,
}

impl From<ObtainError> for StartError {
    fn from(error: ObtainError) -> Self {
        match error {
            ObtainError::Load(error) => Self::Identity(error),
            ObtainError::NotEnrolled => Self::NotEnrolled,
            ObtainError::Joining(error) => Self::Joining(error),
            ObtainError::Enrol(error) => Self::Enrol(error),
        }
    }
}

/// Tasks that end together.
struct TaskGroup {
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not load this node's identity")]
    Identity(#[from] LoadIdentityError),
    #[error(
        "this node has no identity yet: it needs the controller's address, and a join token or the token of a service account"
    )]
    NotEnrolled,
    #[error("it is not clear how this node is to be let in")]
    Joining(#[from] JoiningError),
    #[error("could not enrol this node")]
    Enrol(#[from] EnrolError),
    #[error("this node's certificate and key cannot be used")]
    KeyMaterial(#[from] foghorn_transport::IdentityError),
    #[error("could not open the chunk store in {}", path.display())]
    Store {
        path: PathBuf,
        source: OpenStoreError,
    },
    #[error("could not list the images of this node")]
    List(#[source] ListManifestsError),
    #[error(transparent)]
    Cold(#[from] OpenColdError),
    #[error(transparent)]
    Journal(#[from] OpenJournalError),
    #[error(
        "could not listen for clients: stop the program that uses this port, or choose another one"
    )]
    Bind(#[from] BindError),
    #[error("could not determine which address clients should use; set `advertise`")]
    Advertise(#[from] FindAddressError),
    #[error("could not determine the local address of the socket")]
    LocalAddress(#[source] std::io::Error),
    #[error(
        "could not listen on {address} (`health.listen`): stop the program that uses this port, or choose another one"
    )]
    Health {
        address: SocketAddr,
        source: std::io::Error,
    },
}

impl Agent {
    /// Starts a node: enrols it if it has no identity yet, opens its store, listens for clients,
    /// and dials the controller. Returns once clients are listened for; the link may come up
    /// later, and comes back by itself.
    ///
    /// # Errors
    /// When the node cannot enrol, or its store or port cannot be had. Nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // To enrol and to open a large store take their time, in which the node lives.
        let answering = Answering::start(config.health_listen).await?;
        let identity = obtain_identity(&config).await?;
        let store = open_store(&config).await?;
        let journal = open_journal(&config).await?;
        let marks = open_marks(&config, store.clone()).await?;
        let serving = TaskGroup::new();
        let cold = open_cold(&config, &identity.node, &store, &serving.cancel).await?;
        let listener = Listener::bind(config.listen, &identity.for_transport()?)?;
        let listening = listener.local_address().map_err(StartError::LocalAddress)?;
        let advertised = advertise(&config, listening, identity.link_address.clone()).await?;
        info!(node = %identity.node, %listening, advertised = advertised.first(), "storage node is up");
        let at = (listener, listening, advertised);
        let kept = (store, journal, marks, cold);
        let groups = (serving, answering);
        Ok(Self::assemble(config, identity, kept, at, groups))
    }

    fn assemble(
        config: Config,
        identity: NodeIdentity,
        (store, journal, marks, cold): (Arc<Store>, Journal, Arc<Marks>, Option<Arc<Cold>>),
        (listener, listening, advertised): (Listener, SocketAddr, Advertised),
        (mut serving, answering): (TaskGroup, Answering),
    ) -> Self {
        let node = identity.node.clone();
        let mut reporting = TaskGroup::new();
        let disk = Disk::new(store.clone(), config.limits.disk_operations, cold.clone());
        let outbox = Arc::new(Outbox::default());
        let store_changed = Arc::new(Notify::new());
        let healing = Healing::new(store_changed.clone(), config.timing.heal_within);
        let sessions = Sessions::new(
            disk.clone(),
            outbox.clone(),
            node.clone(),
            config.limits.clone(),
            config.timing.clone(),
            (journal, healing.clone()),
        );
        let jobs = Arc::new(Jobs::new(
            store.clone(),
            outbox.clone(),
            cold.clone(),
            config.upkeep.grace,
            (store_changed.clone(), marks.clone()),
            serving.cancel.child_token(),
        ));
        let files = Arc::new(Files::new(
            store.clone(),
            store_changed.clone(),
            serving.cancel.child_token(),
        ));
        let identity = watch::Sender::new(Arc::new(identity));
        let replicas = Replicas::new(replicas::Parts {
            disk,
            outbox: outbox.clone(),
            identity: identity.subscribe(),
            store_changed: store_changed.clone(),
            healing,
            marks: marks.clone(),
            progress_every: config.timing.progress_every,
            admission_wait: config.timing.admission_wait,
            cancel: serving.cancel.child_token(),
        });

        if let Some(cold) = &cold {
            serving.spawn(cold.clone().run());
        }
        let up = Up {
            identity: identity.subscribe(),
            store: store.clone(),
            deaf: serving.cancel.child_token(),
            linked: Arc::new(AtomicBool::new(false)),
        };
        let linked = up.linked.clone();
        let met = (sessions.clone(), replicas.clone(), listener);
        accept_clients(&mut serving, met, &up);
        answering.health.up(up);
        look_after_store(&mut serving, &config, (&store, &marks), &store_changed);
        reporting.spawn(sessions::run_ticker(
            sessions.clone(),
            reporting.cancel.child_token(),
        ));
        let status = StatusReporter {
            advertised: advertised.clone(),
            identity: identity.subscribe(),
            store,
            cold: cold.clone(),
            sessions: sessions.clone(),
            outbox: outbox.clone(),
            wake: store_changed.clone(),
            every: config.timing.status_every,
            keep_free: config.limits.keep_free,
            marks: marks.clone(),
            upkeep: config.upkeep,
        };
        reporting.spawn(status.run(reporting.cancel.child_token()));
        let (waker, sending) = Waker::new(config.wake);
        reporting.spawn(sending.run(reporting.cancel.child_token()));
        let link = ControllerLink {
            controllers: Controllers::load(&config.state_dir, config.link_beside.clone()),
            dialled: AtomicU64::default(),
            linked,
            state_dir: config.state_dir,
            identity,
            quic_address: advertised.first().to_owned(),
            outbox,
            sessions: sessions.clone(),
            jobs: jobs.clone(),
            waker,
            files: files.clone(),
            replicas: replicas.clone(),
            redial: config.timing.redial,
            process: getrandom::u64().unwrap_or(0),
            cancel: reporting.cancel.child_token(),
        };
        reporting.spawn(link_after_a_look(
            link,
            cold,
            reporting.cancel.child_token(),
        ));
        Self {
            node,
            listening,
            jobs,
            files,
            sessions,
            replicas,
            marks,
            serving,
            reporting,
            answering,
        }
    }

    /// The name that the controller gave this node.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Where clients are listened for (UDP).
    #[must_use]
    pub fn quic_address(&self) -> SocketAddr {
        self.listening
    }

    /// Where `/healthz` and `/readyz` are answered (TCP), if they are.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.answering.listening
    }

    /// Stops in an orderly way, usually within a second: clients are told to come back later (their
    /// sessions stay open with the controller), what is being written is finished, and the link
    /// closes last.
    pub async fn shutdown(mut self) {
        self.serving.end().await;
        self.sessions.multicasts.end().await;
        if tokio::time::timeout(SHUTDOWN_WITHIN, self.jobs.stopped())
            .await
            .is_err()
        {
            warn!("a job did not stop in time");
        }
        if tokio::time::timeout(SHUTDOWN_WITHIN, self.replicas.stopped())
            .await
            .is_err()
        {
            warn!("a copy of an image did not stop in time");
        }
        if tokio::time::timeout(SHUTDOWN_WITHIN, self.files.stopped())
            .await
            .is_err()
        {
            warn!("a file transfer did not stop in time");
        }
        self.reporting.end().await;
        if tokio::time::timeout(SHUTDOWN_WITHIN, self.sessions.settled())
            .await
            .is_err()
        {
            warn!("the disk did not take in time what is to be remembered of the sessions");
        }
        let marks = self.marks.clone();
        // Nothing writes to the store any more.
        if tokio::task::spawn_blocking(move || marks.end())
            .await
            .is_err()
        {
            warn!("could not write down that this node has ended in an orderly way");
        }
        self.answering.tasks.end().await;
        info!(node = %self.node, "storage node is down");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // The tasks are aborted with their sets; jobs run on threads of their own and need to be
        // told.
        self.serving.cancel.cancel();
        self.reporting.cancel.cancel();
        self.answering.tasks.cancel.cancel();
    }
}

impl Answering {
    async fn start(at: Option<SocketAddr>) -> Result<Self, StartError> {
        let health = Arc::new(Health::default());
        let (mut tasks, mut listening) = (TaskGroup::new(), None);
        if let Some(address) = at {
            let opened = health::listen(address).await;
            let (listener, found) =
                opened.map_err(|source| StartError::Health { address, source })?;
            listening = Some(found);
            let cancel = tasks.cancel.child_token();
            tasks.spawn(health::serve(listener, health.clone(), cancel));
        }
        Ok(Self {
            health,
            listening,
            tasks,
        })
    }
}

impl TaskGroup {
    fn new() -> Self {
        Self {
            cancel: CancellationToken::new(),
            tasks: JoinSet::new(),
        }
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    async fn end(&mut self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(SHUTDOWN_WITHIN, async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(problem) = ended {
                    warn!(error = %chain(&problem), "a part of the node failed");
                }
            }
        });
        if ended.await.is_err() {
            warn!("a part of the node did not end in time");
            self.tasks.shutdown().await;
        }
    }
}

async fn obtain_identity(config: &Config) -> Result<NodeIdentity, StartError> {
    let until = tokio::time::Instant::now() + config.timing.enrol_within;
    let mut backoff = Backoff::new(config.timing.redial.0, config.timing.redial.1);
    loop {
        let (state_dir, offer) = (config.state_dir.clone(), config.offer());
        let may_ask_again = matches!(&offer, Ok(Some(offer)) if offer.ticket.is_good_again());
        let obtained = tokio::task::spawn_blocking(move || {
            identity::obtain(&state_dir, offer, Timestamp::now())
        });
        match obtained.await.expect("enrolling does not panic") {
            // A controller that is started at the same time may not be there yet.
            Err(ObtainError::Enrol(error))
                if may_ask_again && error.may_pass() && tokio::time::Instant::now() < until =>
            {
                warn!(error = %chain(&error), "could not enrol yet; trying again");
                let random = getrandom::u32().unwrap_or(u32::MAX / 2);
                tokio::time::sleep(backoff.next(random)).await;
            }
            obtained => {
                let identity = obtained?;
                if let Some(name) = config.name.as_ref().filter(|name| **name != identity.node) {
                    warn!(%name, node = %identity.node, "this node has another name than the configuration says, because its identity or its token has it");
                }
                return Ok(identity);
            }
        }
    }
}

async fn open_store(config: &Config) -> Result<Arc<Store>, StartError> {
    let path = config.state_dir.join("chunks");
    let options = Options {
        keep_free: config.limits.keep_free,
        ..Options::default()
    };
    let opened = tokio::task::spawn_blocking(move || {
        Store::open(&path, options)
            .map(Arc::new)
            .map_err(|source| StartError::Store { path, source })
    });
    opened.await.expect("opening the store does not panic")
}

/// Takes clients, and says when no more are taken.
fn accept_clients(
    serving: &mut TaskGroup,
    (sessions, replicas, listener): (Arc<Sessions>, Arc<Replicas>, Listener),
    up: &Up,
) {
    let listens = up.deaf.clone().drop_guard();
    let accepting = sessions::accept_all(
        sessions,
        replicas,
        listener,
        up.identity.clone(),
        serving.cancel.child_token(),
    );
    serving.spawn(async move {
        // However it ends, also by a panic.
        let _listens = listens;
        accepting.await;
    });
}

/// Sweeps what nothing needs, and checks what is there.
fn look_after_store(
    serving: &mut TaskGroup,
    config: &Config,
    (store, marks): (&Arc<Store>, &Arc<Marks>),
    store_changed: &Arc<Notify>,
) {
    serving.spawn(upkeep::run(
        store.clone(),
        config.upkeep.clone(),
        store_changed.clone(),
        serving.cancel.child_token(),
    ));
    let patrol = Patrol {
        store: store.clone(),
        marks: marks.clone(),
        upkeep: config.upkeep.clone(),
        store_changed: store_changed.clone(),
        cancel: serving.cancel.child_token(),
    };
    serving.spawn(patrol.run());
}

/// A node with a bucket says that it is there once it has looked into it.
async fn link_after_a_look(
    link: ControllerLink,
    cold: Option<Arc<Cold>>,
    cancel: CancellationToken,
) {
    if let Some(cold) = cold {
        cancel.run_until_cancelled(cold.looked()).await;
    }
    link.run().await;
}

async fn open_cold(
    config: &Config,
    node: &NodeName,
    store: &Arc<Store>,
    cancel: &CancellationToken,
) -> Result<Option<Arc<Cold>>, OpenColdError> {
    let Some(section) = config.cold.clone() else {
        return Ok(None);
    };
    let parts = cold::Parts {
        config: section,
        node: node.clone(),
        state_dir: config.state_dir.clone(),
        store: store.clone(),
        grace: config.upkeep.grace,
        cancel: cancel.child_token(),
    };
    let runtime = tokio::runtime::Handle::current();
    let opened = tokio::task::spawn_blocking(move || Cold::open(parts, runtime));
    opened
        .await
        .expect("opening files does not panic")
        .map(Some)
}

async fn open_journal(config: &Config) -> Result<Journal, StartError> {
    let path = config.state_dir.clone();
    let opened = tokio::task::spawn_blocking(move || Journal::open(&path));
    Ok(opened.await.expect("reading files does not panic")?)
}

async fn open_marks(config: &Config, store: Arc<Store>) -> Result<Arc<Marks>, StartError> {
    let state_dir = config.state_dir.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let held = store.readable_manifests().map_err(StartError::List)?;
        let mut held: Vec<_> = held.images.into_iter().map(|(_, id)| id).collect();
        held.sort_unstable();
        held.dedup();
        Ok(Marks::open(
            &state_dir,
            store.path(),
            &held,
            Timestamp::now(),
        ))
    });
    opened.await.expect("reading files does not panic")
}

async fn advertise(
    config: &Config,
    listening: SocketAddr,
    controller: String,
) -> Result<Advertised, StartError> {
    if let Some(advertise) = &config.advertise {
        return Ok(Advertised::set(advertise.clone()));
    }
    let found = tokio::task::spawn_blocking(move || Advertised::find(listening, &controller));
    Ok(found.await.expect("looking up a route does not panic")?)
}
