//! Who is not let in.

use foghorn_controller::app::devices::{denied, edit};
use foghorn_controller::trust::{DeviceName, DeviceRequest, Trust};
use foghorn_types::MachineUuid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::machine::{Machine, factory_name};
use super::{fleet, with_gateway};
use crate::devices::factory;
use crate::engine::{BOTH, Kind};
use crate::native::agent::Agent;
use crate::native::fleet::{Fleet, Keys, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_of_the_authority_there_is_no_connection() {
    let fleet = fleet(Kind::Embedded).await;
    let uuid = MachineUuid::from_bits(1);
    let nobody = Machine::holding(&fleet, uuid, "", "");
    assert!(nobody.try_call("GET", "/device", &[], "").await.is_err());

    let folder = tempfile::tempdir().unwrap();
    let other = Trust::load_or_create(folder.path()).unwrap();
    let keys = Keys::new();
    let name = DeviceName {
        uuid,
        factory: factory_name(&fleet),
        is_prod: false,
    };
    let request = DeviceRequest::read(&keys.csr_pem).unwrap();
    let issued = other.issue_device(&name, &request).unwrap();
    let foreign = Machine::holding(&fleet, uuid, &issued.chain_pem, &keys.key_pem);
    assert!(foreign.try_call("GET", "/device", &[], "").await.is_err());
    assert!(foreign.stored(&fleet).is_none());

    // Plain HTTP is told what is wrong.
    let gateway = fleet.controller.gateway_here().unwrap();
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let ask = b"GET /device HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_connections() {
    let fleet = Fleet::with(|config| {
        with_gateway(config);
        config.rest.max_connections_per_address = 2;
    })
    .await;
    let machine = Machine::new(&fleet, 1);
    let gateway = fleet.controller.gateway_here().unwrap();
    assert_eq!(machine.get("/device").await.status, 200);
    // What was closed just now may still count for a moment, so more are opened until none is left.
    let (start, mut open) = (std::time::Instant::now(), Vec::new());
    while machine.get("/device").await.status != 429 {
        assert!(start.elapsed() < PATIENCE, "more connections are served");
        open.push(TcpStream::connect(gateway).await.unwrap());
    }
    drop(open);
    while machine.get("/device").await.status != 200 {
        assert!(start.elapsed() < PATIENCE * 2, "it is never served again");
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_devices_do_not_pass_for_each_other() {
    let fleet = fleet(Kind::Embedded).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let uuid = MachineUuid::from_bits(1);
    let node = Machine::holding(&fleet, uuid, &enrolled.chain_pem, &keys.key_pem);
    let answer = node.get("/device").await;
    assert_eq!(answer.status, 403);
    let said = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(said.contains("foghorn://node/north"), "{said}");

    let machine = Machine::new(&fleet, 2);
    let link = Agent::try_connect(&fleet, &machine.chain_pem, &machine.key_pem).await;
    let refused = link.err().expect("a device has opened the link of a node");
    assert!(refused.contains("only storage nodes"), "{refused}");
    fleet.stop().await;
}

/// A second certificate for the same device.
fn renewed(fleet: &Fleet, machine: &Machine, keys: &Keys) -> Machine {
    let name = DeviceName {
        uuid: machine.uuid,
        factory: factory_name(fleet),
        is_prod: true,
    };
    let request = DeviceRequest::read(&keys.csr_pem).unwrap();
    let issued = fleet.controller.ctx().trust.issue_device(&name, &request);
    let chain = issued.unwrap().chain_pem;
    Machine::holding(fleet, machine.uuid, &chain, &keys.key_pem)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_a_deleted_device_and_one_of_no_factory_are_refused() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let machine = Machine::new(&fleet, 1);
        assert_eq!(machine.get("/device").await.json()["is-prod"], false);
        let before = machine.stored(&fleet).unwrap();
        let other = renewed(&fleet, &machine, &Keys::new());
        for path in ["/device", "/config"] {
            assert_eq!(other.get(path).await.status, 403);
        }
        assert_eq!(
            machine.stored(&fleet).unwrap(),
            before,
            "nothing of it is taken over"
        );

        let ctx = fleet.controller.ctx();
        edit::delete(&ctx.state, &ctx.sightings, machine.uuid, 1)
            .await
            .unwrap();
        for method in ["GET", "PATCH"] {
            let answer = machine.call(method, "/config", &[], "{}").await;
            assert_eq!(answer.status, 403);
            assert!(
                answer.json()["message"]
                    .as_str()
                    .unwrap()
                    .contains("deleted")
            );
        }
        assert!(machine.stored(&fleet).is_none());
        denied::allow(&ctx.state, Some(factory()), machine.uuid)
            .await
            .unwrap();
        assert_eq!(machine.get("/device").await.status, 200);

        let nowhere = Machine::with(&fleet, 2, "nowhere");
        let answer = nowhere.get("/device").await;
        assert_eq!(answer.status, 403);
        assert!(nowhere.stored(&fleet).is_none());
        fleet.stop().await;
    }
}
