//! A real engine of each kind, in a temporary directory, that can be stopped and started again on
//! the same data.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_controller::store::Store;
use foghorn_controller::store::embedded::EmbeddedStore;
use foghorn_controller::store::etcd::{EtcdOptions, EtcdStore};
use foghorn_test_ports::free_port;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Embedded,
    Etcd,
}

pub(crate) const BOTH: [Kind; 2] = [Kind::Embedded, Kind::Etcd];

pub(crate) struct Engine {
    pub(crate) kind: Kind,
    /// `None` only while it restarts.
    store: Option<Arc<dyn Store>>,
    etcd: Option<Etcd>,
    dir: TempDir,
}

impl Engine {
    pub(crate) async fn start(kind: Kind) -> Self {
        let dir = TempDir::new().unwrap();
        let (etcd, store): (_, Arc<dyn Store>) = match kind {
            Kind::Embedded => (None, open_embedded(&dir.path().join("store.redb")).await),
            Kind::Etcd => {
                let etcd = Etcd::start(dir.path());
                let options = EtcdOptions {
                    endpoints: vec![etcd.endpoint()],
                    tls: None,
                    login: None,
                };
                let store = Arc::new(EtcdStore::connect(&options).await.unwrap());
                (Some(etcd), store)
            }
        };
        let engine = Self {
            kind,
            store: Some(store),
            etcd,
            dir,
        };
        engine.answers().await;
        engine
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.store.clone().expect("not restarting")
    }

    /// Where the process of etcd listens.
    pub(crate) fn endpoint(&self) -> String {
        self.etcd.as_ref().expect("this engine is etcd").endpoint()
    }

    /// The embedded file is closed and opened; etcd's process is killed and started, while the
    /// client stays the same.
    pub(crate) async fn restart(&mut self) {
        match self.kind {
            Kind::Embedded => {
                self.store = None;
                self.store = Some(open_embedded(&self.dir.path().join("store.redb")).await);
            }
            Kind::Etcd => {
                self.stop_etcd();
                self.start_etcd().await;
            }
        }
    }

    /// A client of its own to the same etcd.
    pub(crate) async fn another_client(&self) -> Arc<dyn Store> {
        Arc::new(
            EtcdStore::connect(&EtcdOptions {
                endpoints: vec![self.endpoint()],
                tls: None,
                login: None,
            })
            .await
            .unwrap(),
        )
    }

    pub(crate) fn stop_etcd(&mut self) {
        self.etcd.as_mut().expect("this engine is etcd").stop();
    }

    pub(crate) async fn start_etcd(&mut self) {
        self.etcd.as_mut().expect("this engine is etcd").run();
        self.answers().await;
    }

    /// Sends a signal to etcd's process.
    pub(crate) fn signal_etcd(&self, signal: &str) {
        let etcd = self.etcd.as_ref().expect("this engine is etcd");
        let pid = etcd.process.as_ref().expect("it runs").id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits until the engine answers.
    async fn answers(&self) {
        let start = Instant::now();
        while let Err(error) = self.store().get("/nothing").await {
            assert!(
                start.elapsed() < PATIENCE,
                "{:?} does not answer: {error:?}",
                self.kind
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) async fn open_embedded(file: &Path) -> Arc<EmbeddedStore> {
    let start = Instant::now();
    loop {
        match EmbeddedStore::open(file).await {
            Ok(store) => return Arc::new(store),
            // A read that nobody waits for any more may hold the closed file for a moment.
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A process of etcd.
pub(crate) struct Etcd {
    process: Option<Child>,
    arguments: Vec<String>,
    endpoint: String,
}

impl Etcd {
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, "http", Vec::new())
    }

    /// Takes only clients with a certificate of the authority in `ca`.
    pub(crate) fn start_with_tls(dir: &Path, certificate: &Path, key: &Path, ca: &Path) -> Self {
        let files = [
            ("cert-file", certificate),
            ("key-file", key),
            ("trusted-ca-file", ca),
        ];
        let mut arguments: Vec<_> = files
            .iter()
            .map(|(name, path)| format!("--{name}={}", path.display()))
            .collect();
        arguments.push("--client-cert-auth".to_owned());
        Self::start_with(dir, "https", arguments)
    }

    /// Takes no more changes when its database has this size.
    pub(crate) fn start_small(dir: &Path, bytes: u64) -> Self {
        Self::start_with(dir, "http", vec![format!("--quota-backend-bytes={bytes}")])
    }

    fn start_with(dir: &Path, scheme: &str, mut arguments: Vec<String>) -> Self {
        let (client_port, peer_port) = (free_port().unwrap(), free_port().unwrap());
        let (client, peer) = (
            format!("{scheme}://127.0.0.1:{client_port}"),
            format!("http://127.0.0.1:{peer_port}"),
        );
        let data = dir.join("etcd").display().to_string();
        let common = [
            ("name", "one"),
            ("data-dir", &data),
            ("listen-client-urls", &client),
            ("advertise-client-urls", &client),
            ("listen-peer-urls", &peer),
            ("initial-advertise-peer-urls", &peer),
            ("initial-cluster", &format!("one={peer}")),
            ("heartbeat-interval", "50"),
            ("election-timeout", "500"),
            ("logger", "zap"),
            ("log-level", "error"),
        ];
        arguments.extend(
            common
                .iter()
                .map(|(name, value)| format!("--{name}={value}")),
        );
        let mut etcd = Self {
            process: None,
            arguments,
            endpoint: client,
        };
        etcd.run();
        etcd
    }

    fn run(&mut self) {
        let mut etcd = Command::new("etcd");
        etcd.args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = etcd.spawn().unwrap_or_else(|error| {
            panic!(
                "could not start `etcd`, which this suite needs (Debian: apt install etcd-server): {error}"
            )
        });
        self.process = Some(process);
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop();
    }
}
