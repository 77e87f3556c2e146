//! Tests that ran on devices, as operators see them; and that registering needs a gateway.

use bytes::Bytes;
use foghorn_controller::app::devices::tests::{self, Begun, Told};
use serde_json::{Value, json};

use super::{Factory, assert_refused};
use crate::engine::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn tests_of_a_device_are_listed_shown_and_their_artefacts_downloaded() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let state = &factory.server.state;
        let uuid = factory.device(1, "disk-1", "lab").await.uuid;
        let mut ids = Vec::new();
        for number in 1..=2 {
            let begun = Begun {
                name: "reboot".to_owned(),
                target: "disk-1".to_owned(),
                test_id: format!("reboot_{number}"),
            };
            ids.push(tests::begin(state, uuid, &begun).await.unwrap());
        }
        let told = Told {
            status: "PASSED".to_owned(),
            details: "it did".to_owned(),
            artifacts: vec!["out.log".to_owned(), "never.bin".to_owned()],
        };
        tests::tell(state, uuid, &ids[0], &told).await.unwrap();
        let content = Bytes::from(vec![b'x'; 600_000]);
        let place = (&*ids[0], "out.log");
        tests::put_artifact(state, uuid, place, content.clone())
            .await
            .unwrap();

        let path = format!("/ota/devices/{uuid}/tests/");
        let list = factory.get(&path).await;
        assert_eq!(list.status, 200, "{kind:?}: {}", list.text);
        let list = list.json();
        assert_eq!((&list["total"], &list["next"]), (&json!(2), &Value::Null));
        let newest = &list["tests"][0];
        assert_eq!(newest["test-id"], json!(ids[1]));
        assert_eq!(
            (&newest["status"], &newest["completed-on"]),
            (&json!("RUNNING"), &json!(0))
        );
        let paged = factory.get(&format!("{path}?limit=1")).await.json();
        let next = format!("https://fog.example:8443{path}?limit=1&page=2");
        assert_eq!(paged["next"], json!(next));

        let one = format!("{path}{}", ids[0]);
        let shown = factory.get(&one).await.json();
        assert_eq!(shown, list["tests"][1]);
        for (key, value) in [
            ("name", json!("reboot")),
            ("ordered-as", json!("reboot_1")),
            ("status", json!("PASSED")),
            ("details", json!("it did")),
            ("target-name", json!("disk-1")),
            ("device-uuid", json!(uuid.to_string())),
            ("artifacts", json!(["out.log"])),
        ] {
            assert_eq!(shown[key], value, "{key}");
        }
        assert!(shown["completed-on"].as_i64() >= shown["created-on"].as_i64());
        let log = factory.get(&format!("{one}/out.log")).await;
        assert_eq!(
            (log.status.as_u16(), &*log.content_type),
            (200, "text/plain")
        );
        assert!(log.bytes == content, "{} bytes", log.bytes.len());
        for missing in [
            format!("{one}/never.bin"),
            format!("{one}/other"),
            format!("{path}0000"),
            "/ota/devices/nobody/tests/".to_owned(),
        ] {
            assert_refused(&factory.get(&missing).await, 404);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_nothing_is_registered() {
    let factory = Factory::start().await;
    for path in ["/ota/devices/", "/ota/devices"] {
        let reply = factory.call("POST", path, json!({"csr": "x"})).await;
        assert_refused(&reply, 501);
        assert!(reply.text.contains("dialects.foundries.gateway"));
    }
}
