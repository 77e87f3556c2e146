//! The installation from which every run begins, made once by a real controller on a real store:
//! an administrator, nodes that have joined, images, hosts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use foghorn_controller::app::{self, FirstRun, enrolment};
use foghorn_controller::config::StoreConfig;
use foghorn_controller::ctx::Ctx;
use foghorn_controller::peers::{Call, Dial, DialError};
use foghorn_controller::state::content::ImageContent;
use foghorn_controller::state::notes::Notes;
use foghorn_controller::state::{Refusal, State};
use foghorn_controller::store::embedded::EmbeddedStore;
use foghorn_controller::store::etcd::EtcdOptions;
use foghorn_controller::store::{Snapshot, Store};
use foghorn_controller::trust::Trust;
use foghorn_controller::{Bare, Carried, Config};
use foghorn_proto::http::EnrolRequest;
use foghorn_proto::link::PeerOrder;
use foghorn_types::{ByteCount, DiskPart, ImageId, ManifestId, NodeName, StorageNodeId, Timestamp};
use futures_util::future::BoxFuture;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Names and ids of what there is.
pub(crate) struct Template {
    pub(crate) store: Snapshot,
    pub(crate) trust: Arc<Trust>,
    pub(crate) config: Config,
    pub(crate) headers: [(String, String); 2],
    pub(crate) nodes: Vec<Node>,
    pub(crate) images: Vec<Image>,
    pub(crate) hosts: Vec<Host>,
    /// Requests for certificates, one of each machine.
    pub(crate) requests: Vec<String>,
    _folder: tempfile::TempDir,
}

pub(crate) struct Node {
    pub(crate) id: StorageNodeId,
    pub(crate) name: NodeName,
    pub(crate) places: u32,
}

pub(crate) struct Image {
    pub(crate) id: u32,
    pub(crate) manifest: ManifestId,
    /// Nodes (places in `nodes`) that hold it.
    pub(crate) on: Vec<usize>,
}

pub(crate) struct Host {
    pub(crate) id: u32,
    pub(crate) mac: String,
}

/// Wall-clock time at which a simulation begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_795_000_000_000);
/// `maxClients` of the nodes, in order.
const PLACES: [u32; 3] = [2, 1, 2];
const HOSTS: usize = 6;
pub(crate) const GRACE: Duration = Duration::from_secs(4);

/// Nobody to call.
struct NoDial;

impl Dial for NoDial {
    fn call<'a>(
        &'a self,
        _: &'a Ctx,
        _: &'a str,
        _: mpsc::Receiver<PeerOrder>,
    ) -> BoxFuture<'a, Result<Call, DialError>> {
        Box::pin(async { Err(DialError::Silent) })
    }
}

impl Template {
    /// # Errors
    /// When the real controller does not do what it should.
    pub(crate) fn make() -> Result<Self> {
        Timestamp::set_clock(Some(BEGIN - Duration::from_secs(3600)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let made = runtime.block_on(Self::make_in(tempfile::tempdir()?));
        Timestamp::set_clock(None);
        made
    }

    async fn make_in(folder: tempfile::TempDir) -> Result<Self> {
        let mut config = Config::local(folder.path());
        config.store = StoreConfig::Etcd(EtcdOptions::plain(["simulated:2379".to_owned()]));
        config.limits.node_grace = GRACE;
        config.limits.stall = Duration::from_secs(25);
        config.limits.task_deadline = Duration::from_secs(15 * 60);
        let store: Arc<dyn Store> =
            Arc::new(EmbeddedStore::open(&folder.path().join("template.redb")).await?);
        let first = first_run(store.clone()).await?;
        let trust = Arc::new(Trust::load_or_create(&folder.path().join("ca"))?);
        let carried = Carried {
            store: store.clone(),
            trust: trust.clone(),
            id: "template".to_owned(),
            address: "template:1".to_owned(),
            dial: Arc::new(NoDial),
        };
        let bare = Bare::start(&config, carried).await?;
        let headers = [
            ("fog-api-token".to_owned(), first.api_token),
            ("fog-user-token".to_owned(), first.user_token),
        ];
        let maker = Maker {
            bare: &bare,
            headers: &headers,
        };
        let requests: Vec<String> = std::iter::repeat_with(request)
            .take(HOSTS + PLACES.len())
            .collect::<Result<_>>()?;
        let nodes = maker.nodes(&requests[HOSTS..]).await?;
        let images = maker.images(&nodes).await?;
        let hosts = maker.hosts(&images).await?;
        Ok(Self {
            store: cleaned(store.list("/foghorn/v1/").await?),
            trust,
            config,
            headers,
            nodes,
            images,
            hosts,
            requests,
            _folder: folder,
        })
    }
}

/// Without what the controller did of itself while it was there, and numbered anew: how long all of
/// this took must not be seen.
fn cleaned(mut snapshot: Snapshot) -> Snapshot {
    const LEFT_OUT: [&str; 4] = ["controller/", "idem/", "notify-", "replica-job/"];
    snapshot.entries.retain(|entry| {
        let key = entry.key.trim_start_matches("/foghorn/v1/");
        !LEFT_OUT.iter().any(|prefix| key.starts_with(prefix))
    });
    for (entry, revision) in snapshot.entries.iter_mut().zip(1..) {
        (entry.created, entry.modified) = (revision, revision);
        snapshot.revision = revision;
    }
    snapshot
}

async fn first_run(store: Arc<dyn Store>) -> Result<FirstRun> {
    let cancel = CancellationToken::new();
    let (state, follower) = State::start(store, cancel.clone()).await?;
    let first = app::first_run(&state).await?;
    cancel.cancel();
    follower.await?;
    first.context("the store has users already")
}

fn request() -> Result<String> {
    let key = KeyPair::generate()?;
    let csr = CertificateParams::default().serialize_request(&key)?;
    Ok(csr.pem()?)
}

struct Maker<'a> {
    bare: &'a Bare,
    headers: &'a [(String, String); 2],
}

impl Maker<'_> {
    async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body.to_string()))?;
        let response = self.bare.router().oneshot(request).await?;
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await?;
        let text = String::from_utf8_lossy(&bytes);
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn nodes(&self, requests: &[String]) -> Result<Vec<Node>> {
        let ctx = self.bare.ctx();
        let mut nodes = Vec::new();
        for (at, (places, csr_pem)) in PLACES.into_iter().zip(requests).enumerate() {
            let name: NodeName = format!("node{at}").parse()?;
            let hour = Duration::from_secs(3600);
            let token = enrolment::join_token(ctx, &name, None, hour).await?;
            let request = EnrolRequest {
                join_token: token.text,
                csr_pem: csr_pem.clone(),
                ..EnrolRequest::default()
            };
            let joined = enrolment::enrol(ctx, &request).await?;
            let id = joined.node_id;
            let path = format!("/fog/storagenode/{id}");
            self.call("PUT", &path, json!({"maxClients": places}))
                .await?;
            nodes.push(Node { id, name, places });
        }
        Ok(nodes)
    }

    /// The first is on two nodes, the second on the master alone.
    async fn images(&self, nodes: &[Node]) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        for (name, on) in [("office", vec![0, 1]), ("school", vec![0])] {
            let body = json!({"name": name, "path": name, "osID": 50, "imageTypeID": 1,
                "imagePartitionTypeID": 1, "isEnabled": "1"});
            let image = id(&self.call("POST", "/fog/image", body).await?)?;
            let manifest = ManifestId::of(name.as_bytes());
            let holders = on.iter().map(|at| nodes[*at].id).collect();
            let content = content(image, manifest, holders)?;
            let stored = self.bare.ctx().state.write::<_, Refusal>(|draft| {
                draft.store(&content);
                Ok(())
            });
            stored.await?;
            images.push(Image {
                id: image,
                manifest,
                on,
            });
        }
        Ok(images)
    }

    async fn hosts(&self, images: &[Image]) -> Result<Vec<Host>> {
        let mut hosts = Vec::new();
        for at in 0..HOSTS {
            let (mac, image) = (format!("52:54:00:00:00:{at:02x}"), at % images.len());
            let body = json!({"name": format!("host{at}"), "macs": [mac],
                "imageID": images[image].id});
            let id = id(&self.call("POST", "/fog/host", body).await?)?;
            hosts.push(Host { id, mac });
        }
        Ok(hosts)
    }
}

fn id(object: &Value) -> Result<u32> {
    let id = &object["id"];
    let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
    let text = || id.as_str().and_then(|id| id.parse().ok());
    number.or_else(text).context("the answer has no id")
}

fn content(image: u32, manifest: ManifestId, nodes: Vec<StorageNodeId>) -> Result<ImageContent> {
    Ok(ImageContent {
        image: ImageId::new(image).context("an image has the number 0")?,
        manifest,
        part: DiskPart::default(),
        logical_bytes: ByteCount::from_mib(1024),
        used_bytes: ByteCount::from_mib(100),
        stored_bytes: ByteCount::from_mib(50),
        new_bytes: ByteCount::from_mib(50),
        captured_at: Timestamp::now(),
        nodes,
        notes: Notes::default(),
        disks: Vec::new(),
        partitions: Vec::new(),
        version: 1,
        newest: None,
        from: None,
        previous: Vec::new(),
        minimum: ByteCount::ZERO,
        modified: 0,
    })
}
