//! Files of snapins that machines fetch: those of the task that their host runs now.

use foghorn_controller::state::Refusal;
use foghorn_controller::state::snapin_file::SnapinFile;
use foghorn_proto::http::EnrolResponse;
use foghorn_proto::link::agent_link_client::AgentLinkClient;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::file_order::Work;
use foghorn_proto::link::file_part::Part;
use foghorn_proto::link::{FileEnd, FilePart};
use foghorn_types::{ByteCount, FileId, SnapinId, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::fleet;
use super::host_work::{host, order_snapins, sure, work_of};
use crate::engine::BOTH;
use crate::native::agent::{Agent, channel};
use crate::native::fleet::{Fleet, Keys};

/// A storage node that gives this file whenever it is wanted.
async fn giving(
    fleet: &Fleet,
    (keys, enrolled): (&Keys, &EnrolResponse),
    content: &'static [u8],
) -> JoinHandle<()> {
    let mut agent = Agent::connect(fleet, keys, enrolled).await;
    let identity = (enrolled.chain_pem.as_str(), keys.key_pem.as_str());
    let channel = channel(fleet, Some(identity)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let transfer = agent.order(|order| match order {
                Order::File(file) => match file.work {
                    Some(Work::Send(_)) => Some(file.transfer_id),
                    _ => None,
                },
                _ => None,
            });
            let transfer = transfer.await;
            let (parts, receiver) = mpsc::channel(4);
            for part in [
                Part::TransferId(transfer),
                Part::Data(content.to_vec()),
                Part::End(FileEnd::default()),
            ] {
                let part = FilePart { part: Some(part) };
                parts.send(part).await.unwrap();
            }
            let mut client = AgentLinkClient::new(channel.clone());
            let call = client.file(ReceiverStream::new(receiver)).await;
            let mut answer = call.unwrap().into_inner();
            while let Ok(Some(_)) = answer.message().await {}
            drop(parts);
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_the_present_snapin_is_sent_and_no_other() {
    const CONTENT: &[u8] = b"#!/bin/sh\necho done\n";
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let (one, two) = (host(&fleet, 1).await, host(&fleet, 2).await);
        let (machine, other) = (sure(&fleet, one).await, sure(&fleet, two).await);
        order_snapins(&fleet, one, &["a", "b"]).await;
        let task = work_of(&machine).await["snapin"]["snapin_task"].clone();
        let (keys, enrolled) = fleet.joined("north").await;
        let stored = SnapinFile {
            snapin: SnapinId::new(1).unwrap(),
            file: FileId::of(CONTENT),
            sha512: "ab".repeat(64),
            size: ByteCount::from_bytes(CONTENT.len() as u64),
            uploaded_at: Timestamp::now(),
            nodes: vec![enrolled.node_id],
            modified: 0,
        };
        let state = &fleet.controller.ctx().state;
        let recorded = state.write::<_, Refusal>(|draft| {
            draft.store(&stored);
            Ok(())
        });
        recorded.await.unwrap();
        let path = format!("/host/snapins/{task}/file");
        let offline = machine.get(&path).await;
        assert_eq!((offline.status, offline.header("retry-after")), (503, "5"));
        let node = giving(&fleet, (&keys, &enrolled), CONTENT).await;
        let sent = machine.get(&path).await;
        assert_eq!((sent.status, &*sent.body), (200, CONTENT));
        assert_eq!(sent.header("content-type"), "application/octet-stream");
        assert_eq!(sent.header("etag"), format!("\"{}\"", stored.sha512));
        assert!(sent.header("repr-digest").starts_with("sha-512=:"));
        let (_, operators, _) = fleet.whole("GET", "/foghorn/v1/snapins/1/file", None).await;
        assert_eq!(sent.header("etag"), operators["etag"].to_str().unwrap());
        assert_eq!(other.get(&path).await.status, 404);
        let second = task.as_u64().unwrap() + 1;
        let waiting = machine.get(&format!("/host/snapins/{second}/file")).await;
        assert_eq!(waiting.status, 404, "its turn has not come");
        node.abort();
        fleet.stop().await;
    }
}
