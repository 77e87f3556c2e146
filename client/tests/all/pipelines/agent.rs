//! An agent with its store in memory, over the real QUIC protocol on loopback. Its store can be
//! told to misbehave.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use foghorn_client::link::{LinkConfig, TaskLink};
use foghorn_image::{ManifestPart, ManifestRoot};
use foghorn_multicast::{Epoch, KeyMaterial, SessionTag, Suite};
use foghorn_transport::multicast::SessionTerms;
use foghorn_transport::server::{MemberRequest, MulticastLane};
use foghorn_transport::{
    ClientOutcome, Hello, Identity, Listener, Request, Session, SessionKind, Source,
};
use foghorn_types::{CertificateName, ChunkId, HostId, ManifestId, PartId, TaskId};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// What the agent holds and has seen.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) chunks: Mutex<HashMap<ChunkId, (u32, Bytes)>>,
    pub(crate) manifests: Mutex<HashMap<ManifestId, Bytes>>,
    pub(crate) parts: Mutex<HashMap<PartId, Bytes>>,
    pub(crate) outcomes: Mutex<Vec<ClientOutcome>>,
    /// Restart when a client says that it is through, once: what was only in memory is gone.
    pub(crate) restart_at_end: AtomicBool,
    /// Manifests stored since the last restart; without one, no capture is complete.
    pub(crate) captured: AtomicU64,
    /// Chunks sent to clients.
    pub(crate) fetched: AtomicU64,
    /// Chunks that clients sent.
    pub(crate) stored: AtomicU64,
    /// Sends a damaged chunk this many more times.
    pub(crate) damage: Mutex<HashMap<ChunkId, u32>>,
    /// At this many fetched or stored chunks, do that; once each.
    pub(crate) at_chunk: Mutex<Option<(u64, Misdeed)>>,
    /// Whether a multicast session is offered, and what becomes of who joins.
    pub(crate) multicast: Mutex<Option<Offer>>,
    /// Why clients left it.
    pub(crate) left: Mutex<Vec<String>>,
    /// The misdeed has happened.
    pub(crate) struck: CancellationToken,
}

/// A multicast session that does not work out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offer {
    /// Nobody may join.
    Refused,
    /// Nothing is ever sent to the group.
    Silent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Misdeed {
    /// Interrupt the session, as an agent that restarts.
    Interrupt,
    /// Cancel the task.
    Cancel,
    /// Send nothing more on any lane, until the client goes away.
    Stall,
}

impl Store {
    fn misdeed_at(&self, count: u64) -> Option<Misdeed> {
        let mut planned = self.at_chunk.lock().unwrap();
        match *planned {
            Some((at, what)) if count >= at => {
                if what != Misdeed::Stall {
                    *planned = None;
                }
                self.struck.cancel();
                Some(what)
            }
            _ => None,
        }
    }

    pub(crate) fn forget_counts(&self) {
        self.fetched.store(0, Ordering::Relaxed);
        self.stored.store(0, Ordering::Relaxed);
    }
}

/// Who signs the certificates of agents and clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

pub(crate) struct TestAgent {
    pub(crate) store: Arc<Store>,
    authority: Arc<Authority>,
    source: Source,
    client: Identity,
    kind: Arc<Mutex<SessionKind>>,
    serving: JoinHandle<()>,
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl TestAgent {
    pub(crate) fn start() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(ca, ca_key);
        let authority = Arc::new(Authority { issuer, pem });
        let client = CertificateName::Client {
            host: HostId::new(7).unwrap(),
            task: TaskId::new(42).unwrap(),
        };
        let client = identity(
            &authority,
            &[SanType::URI(client.to_string().try_into().unwrap())],
        );
        let kind = Arc::new(Mutex::new(SessionKind::Capture));
        Self::start_as("north", authority, client, kind, Store::default())
    }

    /// Another one that holds what this one holds now.
    pub(crate) fn beside(&self, name: &str) -> Self {
        let store = Store::default();
        store
            .chunks
            .lock()
            .unwrap()
            .clone_from(&self.store.chunks.lock().unwrap());
        store
            .manifests
            .lock()
            .unwrap()
            .clone_from(&self.store.manifests.lock().unwrap());
        let (authority, client) = (self.authority.clone(), self.client.clone());
        Self::start_as(name, authority, client, self.kind.clone(), store)
    }

    fn start_as(
        name: &str,
        authority: Arc<Authority>,
        client: Identity,
        kind: Arc<Mutex<SessionKind>>,
        store: Store,
    ) -> Self {
        let server_name = format!("{name}.node.foghorn.internal");
        let node = CertificateName::Node(name.parse().unwrap());
        let names = [
            SanType::DnsName(server_name.as_str().try_into().unwrap()),
            SanType::URI(node.to_string().try_into().unwrap()),
        ];
        let mut listener = Listener::bind(
            (Ipv4Addr::LOCALHOST, 0).into(),
            &identity(&authority, &names),
        )
        .unwrap();
        let source = Source {
            address: listener.local_address().unwrap().to_string(),
            server_name,
        };
        let store = Arc::new(store);
        let serving = tokio::spawn({
            let (store, kind) = (store.clone(), kind.clone());
            async move {
                let mut sessions = JoinSet::new();
                while let Some(incoming) = listener.accept().await {
                    let kind = *kind.lock().unwrap();
                    let offered = store.multicast.lock().unwrap().is_some();
                    let welcomed = match offered {
                        true => incoming.welcome_to_multicast(kind).await,
                        false => incoming.welcome(kind).await,
                    };
                    if let Ok(session) = welcomed {
                        sessions.spawn(serve(session, store.clone()));
                    }
                }
            }
        });
        Self {
            store,
            authority,
            source,
            client,
            kind,
            serving,
        }
    }

    /// Where it is.
    pub(crate) fn source(&self) -> Source {
        self.source.clone()
    }

    /// A client's session for this kind of task.
    pub(crate) fn link(&self, kind: SessionKind, stop: CancellationToken) -> TaskLink {
        *self.kind.lock().unwrap() = kind;
        let sources = vec![self.source()];
        let hello = Hello {
            task: TaskId::new(42).unwrap(),
            software: "test".into(),
            traceparent: String::new(),
        };
        let identity = self.client.clone();
        TaskLink::new(
            LinkConfig {
                sources,
                identity,
                hello,
                kind,
                patience: Duration::from_secs(20),
            },
            stop,
        )
    }

    pub(crate) fn fetched(&self) -> u64 {
        self.store.fetched.load(Ordering::Relaxed)
    }

    pub(crate) fn stored(&self) -> u64 {
        self.store.stored.load(Ordering::Relaxed)
    }
}

fn identity(authority: &Authority, names: &[SanType]) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    Identity::from_pem(&authority.pem, &certificate.pem(), &key.serialize_pem()).unwrap()
}

async fn serve(mut session: Session, store: Arc<Store>) {
    let mut lanes = JoinSet::new();
    let (misdeeds, mut misdeed) = tokio::sync::mpsc::channel(8);
    loop {
        let request = tokio::select! {
            request = session.next_request() => request,
            Some(what) = misdeed.recv() => {
                match what {
                    Misdeed::Interrupt => session.interrupt("restarting"),
                    Misdeed::Cancel => session.cancel("the operator said so"),
                    Misdeed::Stall => continue,
                }
                return;
            }
        };
        let Ok(request) = request else { return };
        let (store, misdeeds) = (store.clone(), misdeeds.clone());
        match request {
            Request::FetchManifest(reply) => {
                let manifest = store.manifests.lock().unwrap().values().next().cloned();
                // Tests hold one manifest at a time.
                let _ = reply.send(manifest.unwrap()).await;
            }
            Request::Fetch(lane) => {
                lanes.spawn(fetch(lane, store, misdeeds));
            }
            Request::WhichAreStored(ids, reply) => {
                let stored = ids
                    .iter()
                    .map(|id| store.chunks.lock().unwrap().contains_key(id))
                    .collect();
                let _ = reply.send(stored).await;
            }
            Request::Store(lane) => {
                lanes.spawn(take(lane, store, misdeeds));
            }
            Request::StoreManifest(bytes, reply) => {
                let id = ManifestId::of(&bytes);
                let mut manifests = HashMap::new();
                manifests.insert(id, bytes);
                *store.manifests.lock().unwrap() = manifests;
                store.captured.fetch_add(1, Ordering::Relaxed);
                let _ = reply.stored(id).await;
            }
            Request::StorePart(_, bytes, reply) => {
                let part = ManifestPart::new(bytes);
                let id = part.id;
                store.parts.lock().unwrap().insert(id, part.bytes);
                let _ = reply.stored(id).await;
            }
            Request::FetchPart(number, reply) => {
                let encoded = store.manifests.lock().unwrap().values().next().cloned();
                let root = ManifestRoot::decode(&encoded.unwrap()).unwrap();
                let id = root.parts()[number as usize].id;
                let part = store.parts.lock().unwrap()[&id].clone();
                let _ = reply.send(part).await;
            }
            Request::Progress(_) | Request::Elsewhere(_) | Request::MulticastReport(_) => {}
            Request::JoinMulticast(lane) => {
                lanes.spawn(take_in(lane, store));
            }
            Request::Finished(..) if store.restart_at_end.swap(false, Ordering::Relaxed) => {
                store.captured.store(0, Ordering::Relaxed);
                return session.interrupt("restarting");
            }
            Request::Finished(ClientOutcome::Complete, reply)
                if store.captured.load(Ordering::Relaxed) == 0 =>
            {
                let _ = reply.refuse("no manifest was stored").await;
            }
            Request::Finished(outcome, reply) => {
                store.outcomes.lock().unwrap().push(outcome);
                let _ = reply.recorded().await;
            }
        }
    }
}

type Misdeeds = tokio::sync::mpsc::Sender<Misdeed>;

async fn take_in(mut lane: MulticastLane, store: Arc<Store>) {
    let offer = *store.multicast.lock().unwrap();
    if offer != Some(Offer::Silent) {
        let _ = lane.notices.refuse("the room is full").await;
        return;
    }
    let port = foghorn_test_ports::free_udp_port().unwrap();
    let key = KeyMaterial {
        session: SessionTag(1),
        epoch: Epoch(0),
        suite: Suite::Aes128Gcm,
        secret: [1; 32],
    };
    let terms = SessionTerms {
        group: ([239, 255, 79, 1], port).into(),
        source: Ipv4Addr::LOCALHOST.into(),
        source_specific: false,
        symbol_size: 1400,
        key,
    };
    lane.notices.joined(&terms).await.unwrap();
    while let Some(Ok(said)) = lane.requests.next().await {
        if let MemberRequest::Leave { reason } = said {
            store.left.lock().unwrap().push(reason);
        }
    }
}

async fn fetch(
    mut lane: foghorn_transport::server::FetchLane,
    store: Arc<Store>,
    misdeeds: Misdeeds,
) {
    while let Some(Ok(ids)) = lane.wanted.next().await {
        for id in ids {
            let count = store.fetched.fetch_add(1, Ordering::Relaxed) + 1;
            if let Some(what) = store.misdeed_at(count) {
                let _ = misdeeds.send(what).await;
                return std::future::pending().await;
            }
            let Some((plain_len, mut compressed)) = store.chunks.lock().unwrap().get(&id).cloned()
            else {
                let _ = lane.chunks.unavailable(id, "never had it").await;
                continue;
            };
            if let Some(left) = store
                .damage
                .lock()
                .unwrap()
                .get_mut(&id)
                .filter(|left| **left > 0)
            {
                *left -= 1;
                let mut bytes = compressed.to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                compressed = bytes.into();
            }
            if lane.chunks.send(id, plain_len, compressed).await.is_err() {
                return;
            }
        }
    }
    lane.chunks.finish();
}

async fn take(
    mut lane: foghorn_transport::server::StoreLane,
    store: Arc<Store>,
    misdeeds: Misdeeds,
) {
    let mut once = HashSet::new();
    while let Some(Ok(chunk)) = lane.chunks.next().await {
        let count = store.stored.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(what) = store.misdeed_at(count) {
            let _ = misdeeds.send(what).await;
            return std::future::pending().await;
        }
        let plain = zstd::bulk::decompress(&chunk.compressed, 1 << 20).unwrap();
        assert_eq!(ChunkId::of(&plain), chunk.id);
        assert!(once.insert(chunk.id), "a chunk was sent twice on one lane");
        store
            .chunks
            .lock()
            .unwrap()
            .insert(chunk.id, (chunk.plain_len, chunk.compressed));
        if lane.acks.durable(&[chunk.id]).await.is_err() {
            return;
        }
    }
    lane.acks.finish();
}
