//! Configurations at three levels.

use foghorn_controller::app::devices::config;
use foghorn_controller::state::machines::config::Level;
use foghorn_controller::trust::Trust;
use serde_json::{Value, json};

use super::{Factory, assert_refused};
use crate::devices;
use crate::engine::BOTH;

fn file(name: &str, value: &str, unencrypted: bool) -> Value {
    json!({"reason": "a test", "files": [{"name": name, "value": value, "unencrypted": unencrypted}]})
}

fn names(version: &Value) -> Vec<String> {
    let files = version["files"].as_array().unwrap().iter();
    files
        .map(|file| file["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The collections of the three levels.
async fn levels(factory: &Factory) -> [String; 3] {
    let uuid = factory.device(1, "", "").await.uuid;
    let group = json!({"name": "room 3"});
    let made = factory
        .call("POST", &factory.at("device-groups/"), group)
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    [
        format!("/ota/devices/{uuid}/config/"),
        factory.at("device-groups/room%203/config/"),
        factory.at("config/"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_has_the_same_four_verbs() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        for path in levels(&factory).await {
            let none = factory.get(&path).await.json();
            assert_eq!(
                (&none["config"], &none["total"]),
                (&json!([]), &json!(0)),
                "{path}"
            );
            let forced = format!("{path}?force=1");
            let first = factory.call("PATCH", &forced, file("b", "1", true)).await;
            assert_eq!(first.status, 201, "{kind:?} {path}: {}", first.text);
            assert_eq!(first.json()["created-by"], "000000000000000000000001");
            let short = path.trim_end_matches('/');
            let both = factory
                .call("PATCH", short, file("vpn/wg0.conf", "2", true))
                .await;
            assert_eq!(names(&both.json()), ["b", "vpn/wg0.conf"], "{path}");
            let tried = format!("{path}?dry_run=true");
            let tried = factory.call("POST", &tried, file("x", "", true)).await;
            assert_eq!(
                (tried.status.as_u16(), tried.header("foghorn-dry-run")),
                (200, "true")
            );

            // The name of a file may have slashes in it, as they are or encoded.
            for spelling in ["vpn/wg0.conf/", "b"] {
                let gone = factory
                    .call("DELETE", &format!("{path}{spelling}"), Value::Null)
                    .await;
                assert_eq!(gone.status, 204, "{path}{spelling}: {}", gone.text);
            }
            let again = factory
                .call("DELETE", &format!("{path}vpn%2Fwg0.conf/"), Value::Null)
                .await;
            assert_refused(&again, 404);
            let exact = factory.call("POST", &path, file("c", "3", true)).await;
            assert_eq!(
                (exact.status.as_u16(), names(&exact.json())),
                (201, vec!["c".to_owned()])
            );
            let history = factory.get(&format!("{path}?limit=2")).await.json();
            assert_eq!(history["total"], 5);
            assert_eq!(names(&history["config"][0]), ["c"], "the newest first");
            assert!(
                history["next"]
                    .as_str()
                    .unwrap()
                    .ends_with("?limit=2&page=2")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_configuration_is_refused_and_nothing_is_stored() {
    let factory = Factory::start().await;
    for path in levels(&factory).await {
        for (body, field) in [
            (file("../etc/passwd", "", true), "files[0].name"),
            (file("/etc/passwd", "", true), "files[0].name"),
            (file("a\0b", "", true), "files[0].name"),
            (file("", "", true), "files[0].name"),
            (json!({"files": [{"name": "a"}, {"name": "a"}]}), "files"),
            (json!({"reason": 7}), "reason"),
        ] {
            for method in ["PATCH", "POST"] {
                let refused = factory.call(method, &path, body.clone()).await;
                assert_refused(&refused, 400);
                assert!(
                    refused.json()["errors"][field].is_string(),
                    "{}",
                    refused.text
                );
            }
        }
        for bytes in [1_100_000, 9 << 20] {
            let large = factory
                .call("PATCH", &path, file("a", &"x".repeat(bytes), true))
                .await;
            assert_refused(&large, 413);
        }
        assert_eq!(factory.get(&path).await.json()["total"], 0, "{path}");
        // Each of these bytes is six in JSON.
        let fits = factory
            .call("PATCH", &path, file("a", &"\u{1}".repeat(999_000), true))
            .await;
        assert_eq!(
            fits.status,
            201,
            "{path}: {}",
            &fits.text[..fits.text.len().min(200)]
        );
    }
    for path in [
        "/ota/devices/nobody/config/".to_owned(),
        factory.at("device-groups/nobody/config/"),
        "/ota/factories/nowhere/config/".to_owned(),
    ] {
        assert_refused(&factory.get(&path).await, 404);
        assert_refused(
            &factory.call("PATCH", &path, file("a", "", true)).await,
            404,
        );
        assert_refused(
            &factory
                .call("DELETE", &format!("{path}a/"), Value::Null)
                .await,
            404,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_groups_and_factories_are_in_no_answer() {
    let factory = Factory::start().await;
    let [device, group, all] = levels(&factory).await;
    for path in [&group, &all] {
        let made = factory
            .call("PATCH", path, file("password", "s3cret", false))
            .await;
        let read = factory.get(path).await;
        assert!(!made.text.contains("s3cret") && !read.text.contains("s3cret"));
        assert_eq!(read.json()["config"][0]["files"][0]["value"], "");
        assert_eq!(read.json()["config"][0]["files"][0]["unencrypted"], false);
    }
    // What is encrypted for a device is stored and shown as it came.
    let made = factory
        .call("PATCH", &device, file("password", "BJrwrqOX", false))
        .await;
    assert_eq!(made.json()["files"][0]["value"], "BJrwrqOX");
    let uuid = device.split('/').nth(3).unwrap();
    let shown = factory.get(&format!("/ota/devices/{uuid}/")).await.json();
    assert_eq!(shown["active-config"]["files"][0]["name"], "password");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_versions_of_each_level_are_kept() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        for path in levels(&factory).await {
            for number in 1..=12 {
                let name = format!("f{number}");
                let made = factory.call("PATCH", &path, file(&name, "", true)).await;
                assert_eq!(made.status, 201, "{kind:?} {path}: {}", made.text);
            }
            let history = factory.get(&path).await.json();
            let versions = history["config"].as_array().unwrap();
            assert_eq!(
                (&history["total"], versions.len()),
                (&json!(10), 10),
                "{kind:?} {path}"
            );
            let files: Vec<_> = versions.iter().map(|one| names(one).len()).collect();
            let expected: Vec<_> = (3..=12).rev().collect();
            assert_eq!(files, expected, "{kind:?} {path}: the oldest two went");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_secrets_that_cannot_be_read() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        // The secrets were stored under an authority of before.
        let folder = tempfile::tempdir().unwrap();
        let lost = Trust::load_or_create(folder.path()).unwrap();
        let level = Level::Factory(devices::factory());
        for name in ["vpn/key", "wifi"] {
            let secret = devices::file(name, "s3cret", false);
            config::merge(&factory.server.state, &lost, level, &secret, 1)
                .await
                .unwrap();
        }
        let path = factory.at("config/");
        let refused = factory.call("PATCH", &path, file("motd", "", true)).await;
        assert_eq!(refused.status, 409, "{kind:?}: {}", refused.text);
        assert!(refused.text.contains("vpn/key, wifi"), "{}", refused.text);
        let gone = factory
            .call("DELETE", &format!("{path}vpn/key/"), Value::Null)
            .await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        let given = factory
            .call("PATCH", &path, file("wifi", "n3w", false))
            .await;
        assert_eq!(given.status, 201, "{}", given.text);
        let more = factory.call("PATCH", &path, file("motd", "", true)).await;
        assert_eq!(names(&more.json()), ["motd", "wifi"], "{}", more.text);
    }
}
