//! A fresh controller, served on loopback as in an installation, in the state in which recordings
//! begin.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use data_encoding::BASE64;
use foghorn_controller::app::accounts::{self, FirstRun, NewUser};
use foghorn_controller::config::StoreConfig;
use foghorn_controller::state::classes::{Service, StorageNode};
use foghorn_controller::state::content::ImageContent;
use foghorn_controller::state::notes::Notes;
use foghorn_controller::state::{Draft, Refusal};
use foghorn_controller::store::etcd::EtcdOptions;
use foghorn_controller::{Config, Controller};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, start_etcd};
use foghorn_types::{ByteCount, ImageId, ManifestId, Timestamp};
use serde_json::Value;

use super::http::{Connection, Reply};
use super::recording::{self, Exchange};

pub(crate) struct Server {
    controller: Controller,
    connection: Connection,
    first: FirstRun,
    words: BTreeMap<String, String>,
    /// Ends after the controller.
    _etcd: Option<Process>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// A server with the users and the storage node that recordings take for granted.
    pub(crate) async fn start(engine: Engine) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("foghorn-replay-")
            .tempdir()?;
        let mut config = Config::local(folder.path());
        config.rest.plain_http = true;
        let etcd = match engine {
            Engine::Embedded => None,
            Engine::Etcd => Some(run_etcd(folder.path(), &mut config)?),
        };
        let controller = Controller::start(config)
            .await
            .context("could not start the controller")?;
        let first = controller
            .first_run()
            .context("the store was not empty")?
            .clone();
        let apioff = "b".repeat(128);
        add_users(&controller, &apioff).await?;
        install(&controller).await?;
        let address: SocketAddr = controller
            .rest_url()
            .trim_start_matches("https://")
            .parse()?;
        let connection = Connection::open(address).await?;
        let words = placeholders(&first, &apioff);
        Ok(Self {
            controller,
            connection,
            first,
            words,
            _etcd: etcd,
            _folder: folder,
        })
    }

    /// Sends a recorded request, to `path`.
    pub(crate) async fn replay(&mut self, record: &Exchange, path: &str) -> Result<Reply> {
        let resolve = |value: &String| recording::resolve(value, &self.words, &self.first.password);
        let mut headers: Vec<_> = record
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), resolve(value)))
            .collect();
        headers.push(("foghorn-secrets".to_owned(), "show".to_owned()));
        let reply = self
            .connection
            .send(&record.method, path, &headers, record.body.clone())
            .await?;
        self.fill_new_image(record, &reply).await?;
        Ok(reply)
    }

    /// A request of our own as the first user; no body for null.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &Value) -> Result<Reply> {
        let headers = [
            ("fog-api-token".to_owned(), self.first.api_token.clone()),
            ("fog-user-token".to_owned(), self.first.user_token.clone()),
        ];
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.connection.send(method, path, &headers, body).await
    }

    pub(crate) async fn stop(self) {
        self.controller.shutdown().await;
    }

    /// A FOG server deploys an image without looking whether it has content; ours looks, so every
    /// image gets some.
    async fn fill_new_image(&self, record: &Exchange, reply: &Reply) -> Result<()> {
        if record.method != "POST" || record.object().0 != "image" || reply.status != 200 {
            return Ok(());
        }
        let created: Value = serde_json::from_str(&reply.text)?;
        let id = created["id"]
            .as_str()
            .and_then(|id| ImageId::new(id.parse().ok()?))
            .context("an image without id")?;
        let content = ImageContent {
            image: id,
            manifest: ManifestId::of(b"manifest"),
            part: Default::default(),
            logical_bytes: ByteCount::from_mib(8),
            used_bytes: ByteCount::from_mib(4),
            stored_bytes: ByteCount::from_mib(2),
            new_bytes: ByteCount::from_mib(2),
            captured_at: Timestamp::now(),
            nodes: Vec::new(),
            notes: Notes::default(),
            disks: Vec::new(),
            partitions: Vec::new(),
            version: 1,
            newest: None,
            from: None,
            previous: Vec::new(),
            minimum: ByteCount::from_mib(8),
            modified: 0,
        };
        let write = |draft: &mut Draft<'_>| {
            draft.store(&content);
            Ok::<_, Refusal>(())
        };
        Ok(self.controller.ctx().state.write(write).await?)
    }
}

fn run_etcd(folder: &Path, config: &mut Config) -> Result<Process> {
    let (process, port) = start_etcd(folder)?;
    let endpoints = vec![format!("http://127.0.0.1:{port}")];
    config.store = StoreConfig::Etcd(EtcdOptions {
        endpoints,
        tls: None,
        login: None,
    });
    Ok(process)
}

async fn add_users(controller: &Controller, apioff: &str) -> Result<()> {
    let user = |name: &str, password: &str, token: &str, api, kind| NewUser {
        name: name.to_owned(),
        password: password.to_owned(),
        token: token.to_owned(),
        api,
        kind,
    };
    let state = &controller.ctx().state;
    accounts::add_user(state, user("apioff", "apioffpw", apioff, false, 0)).await?;
    accounts::add_user(state, user("mobile", "mobilepw", "", true, 1)).await?;
    Ok(())
}

/// Settings of the recorded installation, by id.
const INSTALLED: &[(u32, &str)] = &[
    (1, "127.0.0.1"),
    (2, "fogproject"),
    (3, "fogprojectpw"),
    (17, "127.0.0.1"),
    (25, "eth0"),
    (26, "eth0"),
    (59, "./plugins"),
    (78, "6b02168448ff85.37081289"),
];

/// What FOG's installer writes into the settings and the first node; through the API the node's
/// paths would lose their last slash.
async fn install(controller: &Controller) -> Result<()> {
    let installed = |node: &StorageNode| StorageNode {
        ip: "127.0.0.1".to_owned(),
        user: "fogproject".to_owned(),
        pass: "fogprojectpw".to_owned(),
        interface: "eth0".to_owned(),
        ..node.clone()
    };
    let write = |draft: &mut Draft<'_>| {
        let tables = draft.tables();
        if let Some(row) = tables.storage_nodes().get(1) {
            draft.update(row, &installed(row))?;
        }
        for (id, value) in INSTALLED {
            if let Some(row) = tables.of::<Service>().get(*id) {
                draft.update(
                    row,
                    &Service {
                        value: (*value).to_owned(),
                        ..Service::clone(row)
                    },
                )?;
            }
        }
        Ok::<_, Refusal>(())
    };
    Ok(controller.ctx().state.write(write).await?)
}

fn placeholders(first: &FirstRun, apioff: &str) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    for (name, token) in [
        ("API", first.api_token.as_str()),
        ("USER", &first.user_token),
        ("APIOFF_USER", apioff),
    ] {
        words.insert(format!("<{name}_TOKEN_RAW>"), token.to_owned());
        words.insert(
            format!("<{name}_TOKEN_B64>"),
            BASE64.encode(token.as_bytes()),
        );
    }
    words
}
