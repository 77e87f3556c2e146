//! Clients: the real protocol, with chunks from memory instead of a disk.

use foghorn_image::CHUNK_SIZE;
use foghorn_transport::client::{Ack, ConnectError, Fetched};
use foghorn_transport::{
    AgentConnection, ClientOutcome, ClientProgress, Hello, Identity, Source, StreamError,
};
use foghorn_types::{ByteCount, ChunkId, ManifestId, TaskId};

use super::Node;
use super::authority::Issued;
use super::controller::{capture, deploy, node_name};
use super::image::{Chunk, Image};

pub async fn connect_as(
    node: &Node,
    issued: &Issued,
    task: u32,
) -> Result<AgentConnection, ConnectError> {
    connect_at(
        &node.agent.quic_address().to_string(),
        &node.controller.authority.pem,
        issued,
        task,
    )
    .await
}

pub async fn connect_at(
    address: &str,
    ca: &str,
    issued: &Issued,
    task: u32,
) -> Result<AgentConnection, ConnectError> {
    let identity = Identity::from_pem(ca, &issued.chain, &issued.key).unwrap();
    let source = Source {
        address: address.to_owned(),
        server_name: node_name().tls_name(),
    };
    let hello = Hello {
        task: TaskId::new(task).unwrap(),
        software: "test 1".to_owned(),
        traceparent: String::new(),
    };
    AgentConnection::connect(&source, &identity, hello).await
}

/// Orders a capture and connects its client.
pub async fn start_capture(node: &Node, task: u32) -> (AgentConnection, Issued) {
    let issued = node.controller.authority.client(task + 10, task);
    node.controller
        .order(capture(task, issued.fingerprint))
        .await;
    (connect_as(node, &issued, task).await.unwrap(), issued)
}

/// Orders a deploy and connects its client.
pub async fn start_deploy(
    node: &Node,
    task: u32,
    manifest: ManifestId,
) -> (AgentConnection, Issued) {
    let issued = node.controller.authority.client(task + 10, task);
    node.controller
        .order(deploy(task, manifest, issued.fingerprint))
        .await;
    (connect_as(node, &issued, task).await.unwrap(), issued)
}

/// Captures the whole image, to its recorded end.
pub async fn capture_image(node: &Node, task: u32, image: &Image) {
    let (connection, _) = start_capture(node, task).await;
    store_chunks(&connection, &image.chunks).await.unwrap();
    assert_eq!(
        connection
            .store_manifest(image.encoded.clone())
            .await
            .unwrap(),
        image.manifest
    );
    connection.finish(ClientOutcome::Complete).await.unwrap();
}

/// Says how far the client is.
pub fn report(connection: &AgentConnection, done: u64, total: u64) {
    let (bytes_done, bytes_total) = (ByteCount::from_bytes(done), ByteCount::from_bytes(total));
    connection.report(ClientProgress {
        bytes_done,
        bytes_total,
        ..Default::default()
    });
}

/// Sends chunks over one lane and waits until each is durable.
pub async fn store_chunks(connection: &AgentConnection, chunks: &[Chunk]) -> Result<(), String> {
    let (mut sender, mut acks) = connection
        .store_lane()
        .await
        .map_err(|error| error.to_string())?;
    let send = async {
        for chunk in chunks {
            sender
                .send(chunk.id, CHUNK_SIZE as u32, chunk.compressed.clone())
                .await?;
        }
        sender.finish();
        Ok::<_, StreamError>(())
    };
    let receive = async {
        let mut durable = 0;
        while let Some(ack) = acks.next().await {
            match ack.map_err(|error| error.to_string())? {
                Ack::Durable(ids) => durable += ids.len(),
                Ack::Refused { reason, .. } => return Err(reason),
            }
        }
        Ok(durable)
    };
    // A refusal ends the lane, so sending may fail for it; the refusal itself says more.
    let (sent, durable) = tokio::join!(send, receive);
    let durable = durable?;
    sent.map_err(|error| error.to_string())?;
    if durable == chunks.len() {
        Ok(())
    } else {
        Err(format!("{durable} of {} acknowledged", chunks.len()))
    }
}

/// Fetches chunks over one lane and verifies each; the first that is unavailable is the error.
pub async fn fetch_chunks(connection: &AgentConnection, ids: &[ChunkId]) -> Result<u64, String> {
    let (mut requests, mut chunks) = connection
        .fetch_lane()
        .await
        .map_err(|error| error.to_string())?;
    let ask = async move {
        requests.request(ids).await?;
        drop(requests);
        Ok::<_, StreamError>(())
    };
    let take = async {
        let mut bytes = 0;
        for expected in ids {
            let Some(fetched) = chunks.next().await else {
                return Err("the lane ended early".to_owned());
            };
            match fetched.map_err(|error| error.to_string())? {
                Fetched::Chunk(chunk) => {
                    let plain = zstd::bulk::decompress(&chunk.compressed, chunk.plain_len as usize)
                        .unwrap();
                    assert_eq!((chunk.id, ChunkId::of(&plain)), (*expected, *expected));
                    bytes += plain.len() as u64;
                }
                Fetched::Unavailable { id, reason } => return Err(format!("{id}: {reason}")),
            }
        }
        Ok(bytes)
    };
    let (asked, taken) = tokio::join!(ask, take);
    let taken = taken?;
    asked.map_err(|error| error.to_string())?;
    Ok(taken)
}
