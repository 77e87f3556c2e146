//! The real FOG dialect over a real engine, the embedded one in a temporary folder unless told
//! otherwise, called without a socket.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use data_encoding::BASE64;
use foghorn_controller::agents::files::Files;
use foghorn_controller::agents::jobs::Jobs;
use foghorn_controller::agents::links::Links;
use foghorn_controller::agents::live::Live;
use foghorn_controller::agents::mirror::Mirror;
use foghorn_controller::api;
use foghorn_controller::app::accounts::{self, NewUser};
use foghorn_controller::app::{self, FirstRun};
use foghorn_controller::ctx::{Ctx, Settings};
use foghorn_controller::events::{self, Hub};
use foghorn_controller::logins::Doors;
use foghorn_controller::plugins::Plugins;
use foghorn_controller::state::classes::User;
use foghorn_controller::state::content::{ImageContent, Previous};
use foghorn_controller::state::notes::Notes;
use foghorn_controller::state::{Refusal, State};
use foghorn_controller::store::Store;
use foghorn_controller::store::embedded::EmbeddedStore;
use foghorn_controller::trust::{Keeping, Trust};
use foghorn_types::{ByteCount, DiskPart, ImageId, ManifestId, Role, Timestamp};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A controller's REST side. Stops and cleans up when it is dropped.
pub(crate) struct Server {
    pub(crate) state: Arc<State>,
    pub(crate) router: Router,
    pub(crate) ctx: Arc<Ctx>,
    pub(crate) first: FirstRun,
    pub(crate) plugins: Arc<Plugins>,
    /// Where plugins are dropped; whoever changes it calls `plugins.reload()`.
    pub(crate) plugins_folder: PathBuf,
    cancel: CancellationToken,
    _follower: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) problem: String,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    /// The body as text; what is no text is replaced.
    pub(crate) text: String,
}

impl Reply {
    /// A header as text, empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON, `null` when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(
            EmbeddedStore::open(&folder.path().join("state.redb"))
                .await
                .unwrap(),
        );
        Self::start_in(folder, store).await
    }

    /// Without the FoundriesFactory dialect.
    pub(crate) async fn start_without_foundries() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("state.redb")).await;
        Self::start_with(folder, Arc::new(store.unwrap()), None, false).await
    }

    /// On an engine that somebody else keeps.
    pub(crate) async fn start_on(store: Arc<dyn Store>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), store).await
    }

    /// One more controller on an engine that `self` was started on, with the same authority.
    pub(crate) async fn beside(&self, store: Arc<dyn Store>) -> Self {
        Self::start_with(
            tempfile::tempdir().unwrap(),
            store,
            Some((self.first.clone(), self.ctx.trust.clone())),
            true,
        )
        .await
    }

    async fn start_in(folder: tempfile::TempDir, store: Arc<dyn Store>) -> Self {
        Self::start_with(folder, store, None, true).await
    }

    async fn start_with(
        folder: tempfile::TempDir,
        store: Arc<dyn Store>,
        beside: Option<(FirstRun, Arc<Trust>)>,
        foundries: bool,
    ) -> Self {
        let (first, trust) = beside.unzip();
        let cancel = CancellationToken::new();
        let (state, follower) = State::start(store, cancel.clone()).await.unwrap();
        let made = app::first_run(&state).await.unwrap();
        let first = made.or(first).expect("somebody has made the first user");
        let plugins_folder = folder.path().join("plugins");
        let plugins = Plugins::new(state.clone(), Some(plugins_folder.clone()));
        let ctx = Ctx {
            plugins: plugins.clone(),
            state: state.clone(),
            live: Arc::new(Live::default()),
            trust: trust.unwrap_or_else(|| Arc::new(Trust::load_or_create(folder.path()).unwrap())),
            links: Arc::new(Links::new(Arc::new(Mirror::new(false)))),
            mirror: Arc::new(Mirror::new(false)),
            peers: Arc::default(),
            files: Arc::new(Files::default()),
            background: Arc::default(),
            sightings: Arc::default(),
            uploads: Arc::new(foghorn_controller::uploads::Uploads::new(
                folder.path().join("uploads"),
                ByteCount::from_mib(1),
            )),
            backups: Arc::new(foghorn_controller::backups::Backups::new(
                folder.path().join("backups"),
                folder.path().join("ca"),
                state.store().clone(),
            )),
            downloads: foghorn_controller::downloads::Downloads::new(folder.path().join("clients")),
            jobs: Arc::new(Jobs::new(Timestamp::now())),
            doors: Doors::default(),
            cluster: None,
            events: Arc::new(Hub::new(state.read_at(|_, revision| revision))),
            leaving: Arc::default(),
            settings: Settings {
                keeping: Keeping::Own(folder.path().join("ca")),
                backup_every: None,
                task_deadline: Duration::from_secs(3600),
                node_grace: Duration::from_secs(15),
                started: Timestamp::now(),
                began: foghorn_controller::awake::now(),
                multicast: foghorn_controller::config::MulticastConfig::default(),
                sources_per_client: 3,
                versions: foghorn_controller::config::VersionConfig::default(),
                link_address: "127.0.0.1:1".to_owned(),
                link_everywhere: None,
                link_server_name: "controller".to_owned(),
                gateway_address: None,
                machines_url: None,
                foundries,
                boot_token_ttl: Duration::from_secs(60),
                join_token_ttl: Duration::from_secs(60),
                client_certificate_lifetime: Duration::from_secs(60),
            },
        };
        let ctx = Arc::new(ctx);
        let (hub, state_of, live) = (ctx.events.clone(), state.clone(), ctx.live.clone());
        tokio::spawn(events::run(
            hub,
            state_of,
            live,
            ctx.background.clone(),
            cancel.clone(),
        ));
        let router = api::router(ctx.clone());
        Self {
            state,
            router,
            ctx,
            first,
            plugins,
            plugins_folder,
            cancel,
            _follower: follower,
            _folder: folder,
        }
    }

    /// A request with any headers.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Vec<u8>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        let (status, content_type, problem) = (
            parts.status,
            header("content-type"),
            header("foghorn-problem"),
        );
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Reply {
            status,
            content_type,
            problem,
            headers: parts.headers,
            bytes: bytes.to_vec(),
            text,
        }
    }

    /// The first run's tokens as headers, as they are.
    pub(crate) fn tokens(&self) -> Vec<(String, String)> {
        let token = |name: &str, token: &str| (name.to_owned(), token.to_owned());
        vec![
            token("fog-api-token", &self.first.api_token),
            token("fog-user-token", &self.first.user_token),
        ]
    }

    /// The status of a request without a body, whose answer is not read: it may have no end.
    pub(crate) async fn send_head(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
    ) -> u16 {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    /// A request with the first run's tokens, one raw and one in base64.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        let headers = [
            ("fog-api-token".to_owned(), self.first.api_token.clone()),
            (
                "fog-user-token".to_owned(),
                BASE64.encode(self.first.user_token.as_bytes()),
            ),
        ];
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.send(method, path, &headers, body).await
    }

    /// A user with this role, and the headers with which it calls.
    pub(crate) async fn user(&self, name: &str, role: Role) -> [(String, String); 2] {
        let token = format!("{name}-token");
        let new = NewUser {
            name: name.to_owned(),
            password: "pw".to_owned(),
            token: token.clone(),
            api: true,
            kind: 0,
        };
        let id = accounts::add_user(&self.state, new).await.unwrap();
        self.state
            .write::<_, Refusal>(|draft| {
                let row = draft.tables().of::<User>().get(id).unwrap();
                draft.update(
                    row,
                    &User {
                        role: role.to_string(),
                        ..User::clone(row)
                    },
                )
            })
            .await
            .unwrap();
        [
            ("fog-api-token".to_owned(), self.first.api_token.clone()),
            ("fog-user-token".to_owned(), token),
        ]
    }

    /// Stores what a finished capture of the image stores. The capture itself is the end-to-end
    /// suite's business.
    pub(crate) async fn give_content(&self, image: u32) {
        self.store_content(content(image)).await;
    }

    /// The same, of an image that has been captured twice.
    pub(crate) async fn give_versions(&self, image: u32) {
        let first = content(image);
        self.store_content(ImageContent {
            manifest: ManifestId::of(b"second"),
            version: 2,
            previous: vec![Previous {
                replaced_at: Timestamp::now(),
                content: first.clone(),
            }],
            ..first
        })
        .await;
    }

    async fn store_content(&self, content: ImageContent) {
        self.state
            .write::<_, Refusal>(|draft| {
                draft.store(&content);
                Ok(())
            })
            .await
            .unwrap();
    }
}

/// What an image contains after a capture.
pub(crate) fn content(image: u32) -> ImageContent {
    let image = ImageId::new(image).unwrap();
    ImageContent {
        image,
        manifest: ManifestId::of(b"manifest"),
        part: DiskPart::Everything,
        logical_bytes: ByteCount::from_mib(8),
        used_bytes: ByteCount::from_mib(4),
        stored_bytes: ByteCount::from_mib(2),
        new_bytes: ByteCount::from_mib(2),
        captured_at: Timestamp::now(),
        nodes: Vec::new(),
        notes: Notes::default(),
        disks: Vec::new(),
        partitions: Vec::new(),
        minimum: ByteCount::from_mib(8),
        version: 1,
        newest: None,
        from: None,
        previous: Vec::new(),
        modified: 0,
    }
}
