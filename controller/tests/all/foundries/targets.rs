//! Targets.

use serde_json::{Value, json};

use super::{Factory, assert_refused};
use crate::engine::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_found_tagged_followed_and_pruned() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let path = factory.at("targets/");
        assert_eq!(factory.get(&path).await.json(), json!({}));
        factory.image().await;
        let names = |query: &str| {
            let (factory, path) = (&factory, format!("{path}{query}"));
            async move {
                let all = factory.get(&path).await.json();
                all.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
            }
        };
        assert_eq!(names("").await, ["disk-1", "disk-2"]);
        assert_eq!(names("?version=").await, ["disk-1", "disk-2"]);
        assert_eq!(names("?version=1").await, ["disk-1"]);
        assert!(names("?version=01").await.is_empty() && names("?version=x").await.is_empty());
        // The client asks for one without a slash.
        for spelling in ["disk-2", "disk-2/"] {
            let one = factory.get(&format!("{path}{spelling}")).await;
            assert_eq!(one.json()["custom"]["version"], "2", "{}", one.text);
        }
        assert_refused(&factory.get(&format!("{path}disk-3")).await, 404);

        let change = |name: &str, custom: Value| json!({"targets": {name: {"custom": custom}}});
        let lab = change(
            "disk-1",
            json!({"tags": ["lab"], "hardwareIds": ["any", "pc"]}),
        );
        let tagged = factory.call("PATCH", &path, lab).await;
        assert_eq!(tagged.status, 200, "{kind:?}: {}", tagged.text);
        let job = tagged.json();
        let job = job["jobserv-url"].as_str().unwrap();
        assert!(job.ends_with('/'), "{job}");
        assert!(tagged.json()["web-url"].is_string());
        let log = format!("{job}runs/UpdateTargets/console.log");
        let log = log
            .strip_prefix("https://fog.example:8443")
            .unwrap()
            .to_owned();
        let offset = |offset: &str| vec![("x-offset".to_owned(), offset.to_owned())];
        let whole = factory
            .server
            .send("GET", &log, &offset("0"), Vec::new())
            .await;
        assert_eq!(
            (whole.status.as_u16(), whole.header("x-run-status")),
            (200, "PASSED")
        );
        let end = whole.text.len().to_string();
        let rest = factory
            .server
            .send("GET", &log, &offset(&end), Vec::new())
            .await;
        assert_eq!(
            (rest.text.as_str(), rest.header("x-run-status")),
            ("", "PASSED")
        );

        let one = factory.get(&format!("{path}disk-1")).await.json();
        assert_eq!(one["custom"]["tags"], json!(["lab"]));
        assert_eq!(one["custom"]["hardwareIds"], json!(["pc"]));
        // Only what is given changes.
        factory
            .call("PATCH", &path, change("disk-1", json!({"tags": []})))
            .await;
        let one = factory.get(&format!("{path}disk-1")).await.json();
        assert_eq!(one["custom"]["hardwareIds"], json!(["pc"]));
        let any = change("disk-1", json!({"tags": ["lab"], "hardwareIds": ["any"]}));
        factory.call("PATCH", &path, any).await;

        let uuid = factory.device(1, "disk-1", "lab").await.uuid;
        let up_to_date = || async {
            let shown = factory.get(&format!("/ota/devices/{uuid}/")).await;
            shown.json()["up-to-date"].clone()
        };
        assert_eq!(up_to_date().await, true);
        let newer = change("disk-2", json!({"tags": ["lab"]}));
        factory.call("PATCH", &path, newer).await;
        assert_eq!(up_to_date().await, false);

        for (body, status) in [
            (change("disk-7", json!({"tags": ["lab"]})), 404),
            (change("disk-1", json!({"tags": ["a,b"]})), 400),
            (change("disk-1", json!({"uri": "x"})), 400),
            (json!({"targets": {}}), 400),
        ] {
            assert_refused(&factory.call("PATCH", &path, body).await, status);
        }
        let prune = |names: Value| json!({"targets": names});
        for (names, status) in [
            (json!(["disk-2"]), 409),
            (json!(["disk-1", "disk-7"]), 404),
            (json!([]), 400),
        ] {
            assert_refused(&factory.call("DELETE", &path, prune(names)).await, status);
        }
        let pruned = factory
            .call("DELETE", &path, prune(json!(["disk-1"])))
            .await;
        assert_eq!(pruned.status, 200, "{}", pruned.text);
        assert_eq!(names("").await, ["disk-2"]);
    }
}
