//! Waking hosts: what comes out of an agent is what a network card understands.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_agent::WakeConfig;
use foghorn_proto::link::WakeHosts;
use foghorn_proto::link::controller_message::Message;
use tokio::net::UdpSocket;

use crate::support::controller::Controller;
use crate::support::{Node, PATIENCE};

#[tokio::test]
async fn every_card_is_called_three_times() {
    let card = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = card.local_addr().unwrap();
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let node = Node::start_with(controller, |config| {
        config.wake = WakeConfig {
            interfaces: Some(vec![]),
            targets: vec![target],
        };
    })
    .await;
    let macs = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
    // What is no address is passed over.
    let order = WakeHosts {
        macs: [macs[0].to_vec(), vec![1, 2], macs[1].to_vec()].into(),
    };
    node.controller.send(Message::Wake(order)).await;

    let mut called: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut buffer = [0; 256];
    let all = async {
        while called.values().sum::<usize>() < 6 {
            let (length, _) = card.recv_from(&mut buffer).await.unwrap();
            assert_eq!((length, &buffer[..6]), (102, &[0xFF; 6][..]));
            let mac = buffer[6..12].to_vec();
            assert!(buffer[6..102].chunks(6).all(|part| part == mac));
            *called.entry(mac).or_default() += 1;
        }
    };
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("every packet came");
    let expected = macs.iter().map(|mac| (mac.to_vec(), 3)).collect();
    assert_eq!(called, expected);
    node.agent.shutdown().await;
}
