//! Devices by native routes, with the gateway alone: no dialect for operators is served.

use foghorn_controller::Config;
use foghorn_controller::app::devices::contact::{New, register};
use foghorn_types::MachineUuid;
use serde_json::{Value, json};

use super::machine::{Machine, factory_name};
use crate::devices::identity;
use crate::engine::{BOTH, Kind};
use crate::native::fleet::Fleet;

const ALL: &str = "/foghorn/v1/devices";
const DENIED: &str = "/foghorn/v1/denied-devices";

async fn fleet(kind: Kind) -> Fleet {
    let gateway_alone = |config: &mut Config| {
        config.dialects.foundries = false;
        config.dialects.gateway = Some(([127, 0, 0, 1], 0).into());
    };
    Fleet::on(kind, gateway_alone).await
}

fn uuid(number: u128) -> Value {
    json!(MachineUuid::from_bits(number).to_string())
}

/// The UUIDs of a page, and where it continues.
async fn page(fleet: &Fleet, query: &str) -> (Vec<Value>, Value) {
    let list = fleet.good("GET", &format!("{ALL}?{query}"), None).await;
    let devices = list["devices"].as_array().unwrap().iter();
    let uuids = devices.map(|device| device["uuid"].clone()).collect();
    (uuids, list["next"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_paged_and_filtered() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let image = fleet.image("lab").await;
        let host = fleet.host("pc1", "52:54:00:00:00:01", image).await;
        for number in [1, 2] {
            let machine = Machine::new(&fleet, number);
            assert_eq!(machine.get("/device").await.status, 200, "{kind:?}");
        }
        let two_machines = Machine::new(&fleet, 3);
        for boot in ["one", "two", "one"] {
            let headers = [("x-foghorn-boot", boot)];
            let answer = two_machines.call("GET", "/device", &headers, "").await;
            assert_eq!(answer.status, 200);
        }
        let state = &fleet.controller.ctx().state;
        let new = New {
            identity: identity(state, 4),
            name: String::new(),
            group: String::new(),
            hardware_id: None,
            host: Some(foghorn_types::HostId::new(host).unwrap()),
            owner: 1,
        };
        register(state, &new).await.unwrap();

        let (first, next) = page(&fleet, "limit=3").await;
        assert_eq!(first, [uuid(1), uuid(2), uuid(3)]);
        let (rest, end) = page(&fleet, &format!("limit=3&after={}", next.as_str().unwrap())).await;
        assert_eq!((rest, end), (vec![uuid(4)], Value::Null));
        for (query, found) in [
            ("status=online", vec![uuid(1), uuid(2)]),
            ("status=cloned", vec![uuid(3)]),
            ("status=new", vec![uuid(4)]),
            ("status=offline", Vec::new()),
            ("factory=1&status=new", vec![uuid(4)]),
            ("factory=77", Vec::new()),
            (format!("host={host}").as_str(), vec![uuid(4)]),
        ] {
            assert_eq!(page(&fleet, query).await.0, found, "{query}");
        }
        for (field, value) in [
            ("limit", "0"),
            ("after", "pc1"),
            ("status", "asleep"),
            ("factory", "north"),
        ] {
            let path = format!("{ALL}?{field}={value}");
            let (status, said) = fleet.api("GET", &path, None).await;
            assert_eq!((status, &said["field"]), (400, &json!(field)), "{said}");
        }

        let path = format!("{ALL}/{}", MachineUuid::from_bits(4));
        let shown = fleet.good("GET", &path, None).await;
        for (key, value) in [
            ("name", json!("pc1")),
            ("factory", json!({"id": 1, "name": factory_name(&fleet)})),
            ("host", json!({"id": host, "name": "pc1"})),
            ("bound_by", json!("certificate")),
            ("status", json!("new")),
            ("last_seen", Value::Null),
            ("production", json!(false)),
        ] {
            assert_eq!(shown[key], value, "{key} of {shown}");
        }
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_denied_and_let_in_again() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let machine = Machine::new(&fleet, 1);
        assert_eq!(machine.get("/device").await.status, 200, "{kind:?}");
        let one = format!("{ALL}/{}", machine.uuid);
        let ban = format!("{DENIED}/{}", machine.uuid);
        let (status, said) = fleet.api("DELETE", &ban, None).await;
        assert_eq!(status, 404, "{said}");

        fleet
            .good("DELETE", &format!("{one}?dry_run=true"), None)
            .await;
        assert_eq!(machine.get("/device").await.status, 200);
        fleet.good("DELETE", &one, None).await;
        assert_eq!(machine.get("/device").await.status, 403);
        for method in ["GET", "DELETE"] {
            let (status, said) = fleet.api(method, &one, None).await;
            assert_eq!(status, 404, "{method}: {said}");
        }

        let denied = fleet.good("GET", DENIED, None).await;
        let only = &denied["devices"][0];
        assert_eq!(only["uuid"], uuid(1));
        assert_eq!(only["name"], uuid(1));
        assert_eq!(only["factory"]["name"], factory_name(&fleet));
        assert!(only["denied_by"].is_string(), "{only}");
        let behind = format!("{DENIED}?after={}", machine.uuid);
        assert_eq!(fleet.good("GET", &behind, None).await["devices"], json!([]));

        fleet
            .good("DELETE", &format!("{ban}?dry_run=true"), None)
            .await;
        assert_eq!(machine.get("/device").await.status, 403);
        fleet.good("DELETE", &ban, None).await;
        assert_eq!(fleet.good("GET", DENIED, None).await["devices"], json!([]));
        assert_eq!(machine.get("/device").await.status, 200);
        assert_eq!(fleet.good("GET", &one, None).await["status"], "online");

        for path in [format!("{ALL}/pc1"), format!("{DENIED}/pc1")] {
            let (status, said) = fleet.api("DELETE", &path, None).await;
            assert_eq!((status, &said["field"]), (400, &json!("uuid")), "{said}");
        }
        fleet.stop().await;
    }
}
