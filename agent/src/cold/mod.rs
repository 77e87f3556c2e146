//! Cold copies: every image of the node lies in a bucket of S3-compatible storage as well, and the
//! node's own disk keeps as much of it as the configuration allows (decision 22).
//!
//! [`upload`] brings images into the bucket and verifies them there; [`evict`] takes chunks off the
//! disk that are whole there; [`read`] gets them back, through [`packs`]; [`remove`] deletes in the
//! bucket what was ordered to be deleted, after its grace; [`restore`] makes an empty node hold what
//! its bucket holds.
//!
//! Invariants:
//! * a chunk leaves the disk only when the bucket has it in a pack that was read there and was
//!   right, and the image that needs it is complete there;
//! * what comes from the bucket is given out only when it is what was written;
//! * nothing in the bucket is deleted because it is unknown here.

mod ahead;
mod bucket;
mod evict;
mod http;
mod index;
mod lru;
mod objects;
mod own;
mod packs;
mod read;
mod remove;
mod restore;
mod status;
mod upload;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foghorn_chunk_store::Store;
use foghorn_types::{ImageId, ManifestId, NodeName, Timestamp, chain};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use self::bucket::OpenBucketError;
pub(crate) use self::index::ColdIndexError;
pub(crate) use self::read::ReadColdError;

use self::ahead::Ahead;
use self::bucket::{Bucket, BucketError};
use self::index::Index;
use self::objects::Version;
use self::packs::Packs;
use crate::config::ColdConfig;

/// Between two attempts at a bucket that does not answer, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How long a node that starts looks into its bucket before it says that it is there: usually
/// moments; an empty one has many lists of chunks to fetch.
const LOOK: Duration = Duration::from_secs(10);
const LOOK_EMPTY: Duration = Duration::from_secs(600);

/// The cold copies of this node.
pub(crate) struct Cold {
    config: ColdConfig,
    node: NodeName,
    store: Arc<Store>,
    bucket: Bucket,
    index: Index,
    packs: Packs,
    ahead: Ahead,
    state: Mutex<State>,
    /// How long what was ordered to be deleted stays in the bucket.
    grace: Duration,
    runtime: Handle,
    wake: Notify,
    /// What the bucket has is an image of this node, or the bucket could not be used.
    looked: watch::Sender<bool>,
    cancel: CancellationToken,
}

/// How it is going, for people.
#[derive(Default)]
struct State {
    /// Images that are not whole in the bucket yet.
    progress: BTreeMap<Version, Progress>,
    trouble: Option<Trouble>,
    /// When bucket and prefix were last seen to be what they were.
    probed: Option<Instant>,
}

/// Of one image.
#[derive(Clone, Default)]
struct Progress {
    verified: u64,
    /// 0: not known yet.
    total: u64,
    /// Why it cannot become whole.
    problem: String,
}

/// Why the bucket cannot be used now.
#[derive(Clone)]
struct Trouble {
    since: Timestamp,
    problem: String,
}

/// What [`Cold::open`] is built from.
pub(crate) struct Parts {
    pub config: ColdConfig,
    pub node: NodeName,
    pub state_dir: PathBuf,
    pub store: Arc<Store>,
    pub grace: Duration,
    pub cancel: CancellationToken,
}

/// Cold copies cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum OpenColdError {
    #[error("could not use the bucket of the section `cold`")]
    Bucket(#[source] OpenBucketError),
    #[error("could not open the index of the cold copies in {}: if it is damaged, move the file away, it is made again from the bucket", path.display())]
    Index {
        path: PathBuf,
        source: ColdIndexError,
    },
    #[error("could not use the folder {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Something that is tried again by itself.
#[derive(Debug, thiserror::Error)]
enum ColdError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Index(#[from] ColdIndexError),
    #[error(transparent)]
    Claim(#[from] own::ClaimError),
    #[error("could not list the images of this node")]
    List(#[from] foghorn_chunk_store::ListManifestsError),
    #[error("could not read which chunks an image has")]
    Manifest(#[from] foghorn_chunk_store::ReadManifestError),
    #[error("could not take chunks off the disk that are in the bucket")]
    Evict(#[from] foghorn_chunk_store::SweepError),
    #[error("could not make content of the bucket an image of this node")]
    PutManifest(#[from] foghorn_chunk_store::PutManifestError),
    #[error("could not store a part of a list of chunks")]
    PutPart(#[from] foghorn_chunk_store::PutPartError),
    #[error("{object} in {bucket} cannot be used")]
    Object {
        object: String,
        bucket: String,
        source: objects::DecodeObjectError,
    },
    #[error(
        "{object} comes back from {bucket} with other bytes than were written: the storage, or the way to it, is broken"
    )]
    Altered { object: String, bucket: String },
    #[error("the program goes down")]
    Ending,
}

impl Cold {
    /// Opens what is on the disk of the node; the bucket is asked later. Blocking.
    ///
    /// # Errors
    /// When that cannot be used, or the settings cannot.
    pub(crate) fn open(parts: Parts, runtime: Handle) -> Result<Arc<Self>, OpenColdError> {
        let prefix = parts.config.prefix.clone();
        let prefix = prefix.unwrap_or_else(|| parts.node.to_string());
        let bucket = Bucket::new(&parts.config, &prefix).map_err(OpenColdError::Bucket)?;
        let folder = parts.state_dir.join("cold");
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| OpenColdError::Io { path, source }
        };
        std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let path = folder.join("index.redb");
        let index = Index::open(&path);
        let index = index.map_err(|source| OpenColdError::Index { path, source })?;
        let cache = folder.join("packs");
        let packs = Packs::open(cache.clone(), parts.config.cache.bytes());
        let packs = packs.map_err(failed(&cache))?;
        let cold = Arc::new(Self {
            config: parts.config,
            node: parts.node,
            store: parts.store.clone(),
            bucket,
            index,
            packs,
            ahead: Ahead::default(),
            state: Mutex::default(),
            grace: parts.grace,
            runtime,
            wake: Notify::new(),
            looked: watch::Sender::new(false),
            cancel: parts.cancel,
        });
        let hook = read::Hook(Arc::downgrade(&cold));
        parts.store.set_elsewhere(Arc::new(hook));
        Ok(cold)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The map is whole between any two statements here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings images into the bucket, and keeps to the limit of the disk, until cancelled. What
    /// fails is tried again; whatever was done until then stays.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::select! {
            () = self.drive() => {}
            () = self.fetch_ahead() => {}
        }
    }

    async fn drive(self: &Arc<Self>) {
        let (mut wait, mut is_ours) = (AGAIN.0, false);
        let cancel = self.cancel.clone();
        loop {
            let round = cancel.run_until_cancelled(self.round(&mut is_ours)).await;
            let pause = match round {
                None => return,
                Some(Ok(())) => {
                    self.works();
                    wait = AGAIN.0;
                    self.config.every
                }
                Some(Err(error)) => {
                    self.fails(&error);
                    self.looked.send_replace(true);
                    let pause = wait;
                    wait = (wait * 2).min(AGAIN.1);
                    pause
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
                () = cancel.cancelled() => return,
            }
        }
    }

    async fn round(self: &Arc<Self>, is_ours: &mut bool) -> Result<(), ColdError> {
        if !*is_ours {
            self.claim().await?;
            self.restore().await?;
            *is_ours = true;
            self.looked.send_replace(true);
        }
        self.probe_now_and_then().await?;
        self.remove().await?;
        self.upload_all().await?;
        self.keep_to_limit().await
    }

    /// Waits until what the bucket has is an image of this node, or cannot be for now. Whoever orders
    /// something of this node before that finds images missing.
    pub(crate) async fn looked(self: &Arc<Self>) {
        let is_empty = self.blocking(|cold| Ok(cold.store.manifests()?.is_empty()));
        let is_empty = is_empty.await.unwrap_or(false);
        let within = if is_empty { LOOK_EMPTY } else { LOOK };
        let mut looked = self.looked.subscribe();
        // The sender lives as long as this.
        let _ = tokio::time::timeout(within, looked.wait_for(|looked| *looked)).await;
    }

    fn works(&self) {
        if let Some(trouble) = self.state().trouble.take() {
            info!(bucket = self.bucket.name(), since = %trouble.since, "the bucket works again");
        }
    }

    /// Remembers what is wrong, and says it once.
    fn fails(&self, error: &(dyn std::error::Error + 'static)) {
        let problem = chain(error).to_string();
        let mut state = self.state();
        let since = match &state.trouble {
            Some(known) if known.problem == problem => return,
            Some(known) => known.since,
            None => Timestamp::now(),
        };
        state.trouble = Some(Trouble {
            since,
            problem: problem.clone(),
        });
        drop(state);
        warn!(
            error = problem,
            "the cold copies of this node wait; it is tried again"
        );
    }

    /// Work that blocks, off the threads of the runtime.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, ColdError> + Send + 'static,
    ) -> Result<T, ColdError> {
        let cold = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&cold)).await;
        done.unwrap_or(Err(ColdError::Ending))
    }

    /// The node was ordered to delete a version of an image. To be called before it does: the order
    /// is not repeated when the image is gone here.
    ///
    /// # Errors
    /// When it could not be written down.
    pub(crate) fn drop_ordered(
        &self,
        image: ImageId,
        manifest: ManifestId,
    ) -> Result<(), ColdIndexError> {
        let version = Version { image, manifest };
        self.index.drop_ordered(version, Timestamp::now())?;
        self.wake.notify_one();
        Ok(())
    }
}
