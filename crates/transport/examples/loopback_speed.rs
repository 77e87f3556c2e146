//! How fast chunks move from an agent to a client over loopback, both in this process, and what
//! that costs: `cargo run --release -p foghorn-transport --example loopback_speed -- [MiB]
//! [lanes]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use foghorn_transport::client::Fetched;
use foghorn_transport::server::FetchLane;
use foghorn_transport::{
    AgentConnection, Hello, Identity, Listener, Request, Session, SessionKind, Source,
};
use foghorn_types::{ChunkId, ManifestId, TaskId};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// About what a chunk of ordinary files compresses to.
const CHUNK: usize = 512 << 10;
const NODE: &str = "speed.node.foghorn.internal";

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mib: usize = arguments.next().map_or(Ok(2048), |text| text.parse())?;
    let lanes: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let (agent, client) = identities()?;
    let mut listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &agent)?;
    let source = Source {
        address: listener.local_address()?.to_string(),
        server_name: NODE.to_owned(),
    };
    let task = TaskId::new(1).ok_or("1 is a task id")?;
    let serving = tokio::spawn(async move {
        let incoming = listener.accept().await.ok_or("the listener has closed")?;
        serve(
            incoming
                .welcome(SessionKind::Deploy {
                    manifest: ManifestId::of(b""),
                })
                .await?,
        )
        .await
    });
    let hello = Hello {
        task,
        software: "loopback_speed".to_owned(),
        traceparent: String::new(),
    };
    let connection = AgentConnection::connect(&source, &client, hello).await?;

    let (wall, cpu) = (Instant::now(), cpu_seconds()?);
    let share = (mib << 20) / CHUNK / lanes;
    let mut fetching = tokio::task::JoinSet::new();
    for _ in 0..lanes {
        let (mut requests, mut chunks) = connection.fetch_lane().await?;
        fetching.spawn(async move {
            requests
                .request(&vec![ChunkId::of(b"speed"); share])
                .await?;
            drop(requests);
            let mut bytes = 0;
            while let Some(fetched) = chunks.next().await {
                if let Fetched::Chunk(chunk) = fetched? {
                    bytes += chunk.compressed.len();
                }
            }
            Outcome::Ok(bytes)
        });
    }
    let mut bytes = 0;
    while let Some(fetched) = fetching.join_next().await {
        bytes += fetched??;
    }
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let mib = bytes as f64 / f64::from(1 << 20);
    println!(
        "{mib:.0} MiB in {wall:.2} s: {:.0} MiB/s, {:.2} core-seconds per GiB",
        mib / wall,
        cpu / mib * 1024.0
    );
    drop(connection);
    serving.await?
}

async fn serve(mut session: Session) -> Outcome<()> {
    let data = Bytes::from(vec![0x5a; CHUNK]);
    let mut lanes = tokio::task::JoinSet::new();
    while let Ok(request) = session.next_request().await {
        let Request::Fetch(FetchLane {
            mut wanted,
            mut chunks,
        }) = request
        else {
            continue;
        };
        let data = data.clone();
        lanes.spawn(async move {
            while let Some(ids) = wanted.next().await {
                for id in ids? {
                    chunks.send(id, 1 << 20, data.clone()).await?;
                }
            }
            chunks.finish();
            Outcome::Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    Ok(())
}

fn identities() -> Outcome<(Identity, Identity)> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let issue = |uri: &str, dns: Option<&str>| -> Outcome<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        if let Some(name) = dns {
            params
                .subject_alt_names
                .push(SanType::DnsName(name.try_into()?));
        }
        let certificate = params.signed_by(&key, &authority)?;
        Ok(Identity::from_pem(
            &authority.pem(),
            &certificate.pem(),
            &key.serialize_pem(),
        )?)
    };
    Ok((
        issue("foghorn://node/speed", Some(NODE))?,
        issue("foghorn://client/host/1/task/1", None)?,
    ))
}

/// Of this process, all threads, in user and kernel.
fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat
        .rsplit_once(')')
        .ok_or("/proc/self/stat has no name")?
        .1;
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse().unwrap_or(0))
        .sum();
    Ok(ticks as f64 / 100.0)
}
