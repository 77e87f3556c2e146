//! Durable writes per second of both engines: `cargo run --release --example store_speed
//! [SECONDS]`.
//!
//! Every write is one transaction of one key with 200 bytes, acknowledged when it is on disk. etcd
//! is started on free ports of loopback if it is in the path, with its data in the same temporary
//! folder as the embedded file.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use foghorn_controller::store::etcd::EtcdOptions;
use foghorn_controller::store::open::{StoreConfig, open};
use foghorn_controller::store::{Op, Store, Txn};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds = std::env::args()
        .nth(1)
        .map_or(Ok(3), |text| text.parse())
        .context("SECONDS is a number")?;
    let length = Duration::from_secs(seconds);
    let folder = tempfile::tempdir()?;
    println!(
        "{:<10} {:>8} {:>12} {:>10}",
        "engine", "writers", "writes/s", "mean ms"
    );
    let embedded = open(&StoreConfig::Embedded {
        path: folder.path().join("store.redb"),
    })
    .await?;
    measure("embedded", &embedded, length).await?;
    match Etcd::start(folder.path()) {
        Ok(etcd) => {
            let options = EtcdOptions {
                endpoints: vec![etcd.endpoint.clone()],
                tls: None,
                login: None,
            };
            let store = open(&StoreConfig::Etcd(options)).await?;
            while store.get("/nothing").await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            measure("etcd", &store, length).await?;
        }
        Err(error) => println!("etcd: not measured ({error})"),
    }
    Ok(())
}

async fn measure(name: &str, store: &Arc<dyn Store>, length: Duration) -> anyhow::Result<()> {
    for writers in [1_u32, 64] {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            let store = store.clone();
            tasks.spawn(async move {
                let mut writes = 0_u64;
                while start.elapsed() < length {
                    let key = format!("/speed/{writer}/{}", writes % 1000);
                    let op = Op::Put {
                        key,
                        value: Bytes::from(vec![b'x'; 200]),
                    };
                    store
                        .commit(Txn {
                            compares: Vec::new(),
                            ops: vec![op],
                        })
                        .await?;
                    writes += 1;
                }
                Ok::<u64, anyhow::Error>(writes)
            });
        }
        let mut total = 0;
        while let Some(done) = tasks.join_next().await {
            total += done??;
        }
        let elapsed = start.elapsed().as_secs_f64();
        let (rate, mean) = (
            total as f64 / elapsed,
            elapsed * 1000.0 * f64::from(writers) / total as f64,
        );
        println!("{name:<10} {writers:>8} {rate:>12.0} {mean:>10.2}");
    }
    Ok(())
}

struct Etcd {
    process: Child,
    endpoint: String,
}

impl Etcd {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let url = || {
            Ok::<_, std::io::Error>(format!(
                "http://{}",
                TcpListener::bind("127.0.0.1:0")?.local_addr()?
            ))
        };
        let (client, peer) = (url()?, url()?);
        let process = Command::new("etcd")
            .arg("--data-dir")
            .arg(folder.join("etcd"))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args([
                "--initial-cluster",
                &format!("default={peer}"),
                "--logger",
                "zap",
                "--log-level",
                "error",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            process,
            endpoint: client,
        })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Gone already is as good as killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
