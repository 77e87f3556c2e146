//! Hosts, groups, images, tasks and nodes in Foghorn's own words: what they say, how lists are
//! filtered and paged, and what bad parameters are told.

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::{Failed, session_ended};
use foghorn_types::{ManifestId, TaskId};
use serde_json::{Value, json};

use crate::engine::{BOTH, Kind};
use crate::native::agent::{Agent, opened};
use crate::native::fleet::{Fleet, id};
use crate::native::whole_path::{captured, ended, recorded};

fn mac(number: usize) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

/// The members `name` of a list.
fn names<'v>(list: &'v Value, collection: &str) -> Vec<&'v str> {
    let items = list[collection].as_array().unwrap().iter();
    items.map(|item| item["name"].as_str().unwrap()).collect()
}

fn ids(list: &Value) -> Vec<u64> {
    let items = list["tasks"].as_array().unwrap().iter();
    items.map(|item| item["id"].as_u64().unwrap()).collect()
}

impl Fleet {
    async fn get(&self, path: &str) -> Value {
        self.good("GET", &format!("/foghorn/v1/{path}"), None).await
    }

    async fn group(&self, name: &str, hosts: &[u32]) -> u32 {
        let body = json!({"name": name, "hosts": hosts});
        id(&self.good("POST", "/fog/group", Some(body)).await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_say_what_they_are_and_are_listed_by_name_in_pages() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let image = fleet.image("win").await;
        let mut hosts = Vec::new();
        for (number, name) in ["PC-b", "pc-a", "pc-c"].into_iter().enumerate() {
            let image = if name == "pc-c" { 0 } else { image };
            hosts.push(fleet.host(name, &mac(number), image).await);
        }
        let lab = fleet.group("lab", &[hosts[0], hosts[2]]).await;

        let list = fleet.get("hosts").await;
        assert_eq!(names(&list, "hosts"), ["pc-a", "PC-b", "pc-c"], "{kind:?}");
        assert_eq!(list["next"], Value::Null);
        let first = fleet.get("hosts?limit=2").await;
        assert_eq!(names(&first, "hosts"), ["pc-a", "PC-b"]);
        let next = first["next"].as_str().unwrap();
        // The place to continue need not exist any more.
        fleet
            .good("DELETE", &format!("/fog/host/{}/delete", hosts[1]), None)
            .await;
        let rest = fleet.get(&format!("hosts?limit=2&after={next}")).await;
        assert_eq!(
            (names(&rest, "hosts"), &rest["next"]),
            (vec!["pc-c"], &Value::Null)
        );
        assert_eq!(
            names(&fleet.get("hosts?after=pc-bb").await, "hosts"),
            ["pc-c"]
        );

        let in_lab = fleet.get(&format!("hosts?group={lab}")).await;
        assert_eq!(names(&in_lab, "hosts"), ["PC-b", "pc-c"]);
        let both = fleet.get(&format!("hosts?group={lab}&image={image}")).await;
        assert_eq!(names(&both, "hosts"), ["PC-b"]);
        assert!(names(&fleet.get("hosts?group=99").await, "hosts").is_empty());

        let task = fleet.task(hosts[0], 2).await;
        let host = fleet.get(&format!("hosts/{}", hosts[0])).await;
        assert_eq!(
            (&host["id"], &host["name"], &host["macs"]),
            (&json!(hosts[0]), &json!("PC-b"), &json!([mac(0)]))
        );
        assert_eq!(host["image"], json!({"id": image, "name": "win"}));
        assert_eq!(host["groups"], json!([{"id": lab, "name": "lab"}]));
        assert_eq!(
            (&host["tasks"][0]["id"], &host["tasks"][0]["work"]),
            (&json!(task), &json!("capture"))
        );
        assert_eq!(
            (&host["deployed"], &host["disk_rule"]),
            (&Value::Null, &Value::Null)
        );
        assert!(
            host["created"].as_str().is_some_and(|at| at.ends_with('Z')),
            "{host}"
        );
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_shown_with_members_images_and_tasks() {
    let fleet = Fleet::on(Kind::Embedded, |_| {}).await;
    let image = fleet.image("win").await;
    let host = fleet.host("pc", &mac(1), image).await;
    let other = fleet.host("Also", &mac(2), 0).await;
    let lab = fleet.group("lab", &[host, other]).await;
    fleet.group("attic", &[]).await;
    let task = fleet.task(host, 2).await;

    let list = fleet.get("groups").await;
    assert_eq!(names(&list, "groups"), ["attic", "lab"]);
    let listed = &list["groups"][1];
    assert_eq!(
        (&listed["host_count"], &listed["hosts"]),
        (&json!(2), &Value::Null)
    );
    let page = fleet.get("groups?limit=1").await;
    assert_eq!(page["next"], "attic");
    assert_eq!(
        names(&fleet.get("groups?after=attic").await, "groups"),
        ["lab"]
    );

    let group = fleet.get(&format!("groups/{lab}")).await;
    assert_eq!(
        group["hosts"],
        json!([{"id": other, "name": "Also"}, {"id": host, "name": "pc"}])
    );
    assert_eq!(group["images"], json!([{"id": image, "name": "win"}]));
    assert_eq!(group["tasks"][0]["id"], json!(task));
    assert_eq!(group["tasks"][0]["host"]["name"], "pc");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_nodes_say_what_is_where() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let image = fleet.image("win").await;
        let empty = fleet.image("Empty").await;
        let (keys, enrolled) = fleet.joined("north").await;
        let before = fleet.get(&format!("nodes/{}", enrolled.node_id)).await;
        assert_eq!(
            (&before["online"], &before["certificate_ends"]),
            (&json!(false), &Value::Null)
        );
        let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
        let host = fleet.host("golden", &mac(1), image).await;
        let task = fleet.task(host, 2).await;
        agent.order(opened).await;
        let token = fleet.boot_token(host).await;
        fleet.check_in(&mac(1), &token).await;
        agent.send(captured(task, ManifestId::of(b"one"))).await;
        recorded(&mut agent, task).await;

        let list = fleet.get("images").await;
        assert_eq!(names(&list, "images"), ["Empty", "win"], "{kind:?}");
        assert_eq!(
            (&list["images"][0]["id"], &list["images"][0]["content"]),
            (&json!(empty), &Value::Null)
        );
        let content = &list["images"][1]["content"];
        assert_eq!(
            (
                &content["logical_bytes"],
                &content["stored_bytes"],
                &content["version"]
            ),
            (&json!(40), &json!(20), &json!(1))
        );
        assert_eq!(content["nodes"][0]["name"], "north");
        assert_eq!(content["captured_from"]["name"], "golden");
        assert_eq!(
            (&content["notes"], &content["more_notes"]),
            (&json!([]), &json!(2)),
            "lists count notes"
        );
        let shown = fleet.get(&format!("images/{image}")).await;
        assert_eq!(shown["content"]["notes"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            (&shown["version_count"], &shown["enabled"]),
            (&json!(1), &json!(true))
        );
        let page = fleet.get("images?limit=1").await;
        assert_eq!(page["next"], "Empty");
        assert_eq!(
            names(&fleet.get("images?after=Empty").await, "images"),
            ["win"]
        );

        let nodes = fleet.get("nodes").await["nodes"].clone();
        let north = nodes
            .as_array()
            .unwrap()
            .iter()
            .find(|node| node["name"] == "north");
        let north = north.unwrap();
        assert_eq!(
            (&north["image_count"], &north["images"]),
            (&json!(1), &Value::Null)
        );
        let node = fleet.get(&format!("nodes/{}", enrolled.node_id)).await;
        assert_eq!(node["images"], json!([{"id": image, "name": "win"}]));
        assert_eq!(
            (
                &node["address"],
                &node["software"],
                &node["disk_free_bytes"]
            ),
            (&json!("127.0.0.1:4433"), &json!("test agent"), &json!(60))
        );
        for time in ["last_seen", "enrolled", "certificate_ends"] {
            assert!(
                node[time].as_str().is_some_and(|at| at.ends_with('Z')),
                "{time}: {node}"
            );
        }
        let ends = node["certificate_ends"].as_str().unwrap();
        assert!(ends > node["enrolled"].as_str().unwrap(), "{node}");
        let page = fleet.get("nodes?limit=1").await;
        let after = page["next"].as_str().map(str::to_owned);
        if let Some(after) = after {
            let rest = fleet.get(&format!("nodes?after={after}")).await;
            assert_ne!(rest["nodes"][0]["id"], page["nodes"][0]["id"]);
        }
        fleet
            .good(
                "POST",
                &format!("/foghorn/v1/nodes/{}/revoke", enrolled.node_id),
                None,
            )
            .await;
        let node = fleet.get(&format!("nodes/{}", enrolled.node_id)).await;
        assert_eq!(node["revoked"], true);
        fleet.stop().await;
    }
}

/// A fleet with a captured image and a task of each kind: a capture that is complete, a deploy that
/// failed, a deploy that waits, and a wake-up.
async fn with_tasks(kind: Kind) -> (Fleet, [u32; 2], [TaskId; 3]) {
    let fleet = Fleet::on(kind, |_| {}).await;
    let image = fleet.image("win").await;
    let (keys, enrolled) = fleet.joined("north").await;
    let mut agent = Agent::connect(&fleet, &keys, &enrolled).await;
    let hosts = [
        fleet.host("a", &mac(1), image).await,
        fleet.host("b", &mac(2), image).await,
    ];
    let capture = fleet.task(hosts[0], 2).await;
    agent.order(opened).await;
    let token = fleet.boot_token(hosts[0]).await;
    fleet.check_in(&mac(1), &token).await;
    agent.send(captured(capture, ManifestId::of(b"one"))).await;
    recorded(&mut agent, capture).await;
    let fails = fleet.task(hosts[0], 1).await;
    while agent.order(opened).await.task_id != fails.get() {}
    let token = fleet.boot_token(hosts[0]).await;
    fleet.check_in(&mac(1), &token).await;
    let failed = Failed {
        reason: "the disk is too small".into(),
        ..Failed::default()
    };
    let message: Message = ended(fails, session_ended::Outcome::Failed(failed));
    agent.send(message).await;
    recorded(&mut agent, fails).await;
    let waits = fleet.task(hosts[1], 1).await;
    let wake = json!({"taskTypeID": 14});
    fleet
        .good("POST", &format!("/fog/host/{}/task", hosts[0]), Some(wake))
        .await;
    (fleet, hosts, [capture, fails, waits])
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_filtered_paged_and_say_why_they_failed() {
    for kind in BOTH {
        let (fleet, hosts, [capture, fails, waits]) = with_tasks(kind).await;
        let [capture, fails, waits] = [capture, fails, waits].map(|task| u64::from(task.get()));
        let get = async |query: &str| ids(&fleet.get(&format!("tasks?{query}")).await);

        assert_eq!(
            get("").await,
            [waits],
            "{kind:?}: imaging tasks that have not ended"
        );
        assert_eq!(get("state=all").await, [capture, fails, waits]);
        assert_eq!(get("state=all&order=newest").await, [waits, fails, capture]);
        assert_eq!(get("state=failed").await, [fails]);
        assert_eq!(get("state=complete").await, [capture]);
        assert_eq!(get("state=ended&work=deploy").await, [fails]);
        assert_eq!(
            get(&format!("state=all&host={}", hosts[0])).await,
            [capture, fails]
        );
        assert_eq!(get(&format!("host={}", hosts[1])).await, [waits]);
        assert!(get("state=all&image=99").await.is_empty());
        assert!(get("state=all&since=2100-01-01T00:00:00Z").await.is_empty());
        assert_eq!(
            get("state=all&since=2020-01-01T00:00:00Z").await,
            [capture, fails, waits]
        );
        let group = fleet.group("lab", &hosts[1..]).await;
        assert_eq!(get(&format!("state=all&group={group}")).await, [waits]);
        let ids_of = format!("ids={fails},{capture},999");
        assert_eq!(get(&ids_of).await, [fails, capture], "in their order");

        let first = fleet.get("tasks?state=all&limit=2&order=newest").await;
        assert_eq!(ids(&first), [waits, fails]);
        let next = first["next"].as_str().unwrap();
        let rest = fleet
            .get(&format!(
                "tasks?state=all&limit=2&order=newest&after={next}"
            ))
            .await;
        assert_eq!((ids(&rest), &rest["next"]), (vec![capture], &Value::Null));

        let failed = fleet.get(&format!("tasks/{fails}")).await;
        let reason = failed["reason"].as_str().unwrap();
        assert!(reason.contains("the disk is too small"), "{failed}");
        assert_eq!(
            (&failed["state"], &failed["work"], &failed["image"]["name"]),
            (&json!("failed"), &json!("deploy"), &json!("win"))
        );
        assert_eq!(failed["task_type"]["id"], 1);
        assert!(
            failed["finished"].is_string() && failed["created"].is_string(),
            "{failed}"
        );
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_image_no_disk_are_shown_too() {
    let fleet = Fleet::on(Kind::Embedded, |_| {}).await;
    let host = fleet.host("a", &mac(1), 0).await;
    let inventory = json!({"taskTypeID": 10});
    fleet
        .good("POST", &format!("/fog/host/{host}/task"), Some(inventory))
        .await;
    let usual = ids(&fleet.get("tasks").await);
    assert!(usual.is_empty(), "the default is imaging tasks");
    let list = fleet.get("tasks?work=all&state=all").await;
    let task = &list["tasks"][0];
    assert_eq!(
        (&task["work"], &task["image"]),
        (&json!("inventory"), &Value::Null),
        "{list}"
    );
    assert_eq!(
        (&task["state"], &task["deadline"]),
        (&json!("queued"), &Value::Null)
    );
    let shown = fleet.get(&format!("tasks/{}", task["id"])).await;
    assert_eq!(shown["host"]["name"], "a");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_are_named_and_what_is_missing_is_said_so() {
    let fleet = Fleet::new().await;
    for (path, field) in [
        ("hosts?limit=0", "limit"),
        ("hosts?limit=1001", "limit"),
        ("hosts?limit=many", "limit"),
        ("hosts?group=0", "group"),
        ("hosts?image=x", "image"),
        ("hosts?grup=1", "grup"),
        ("hosts/0", "id"),
        ("groups?limit=0", "limit"),
        ("groups?name=x", "name"),
        ("groups/x", "id"),
        ("images?limit=-1", "limit"),
        ("images/0", "id"),
        ("nodes?after=north", "after"),
        ("nodes?limit=0", "limit"),
        ("nodes/x", "id"),
        ("tasks?state=broken", "state"),
        ("tasks?work=nothing", "work"),
        ("tasks?host=0", "host"),
        ("tasks?since=yesterday", "since"),
        ("tasks?order=random", "order"),
        ("tasks?limit=5000", "limit"),
        ("tasks?after=x", "after"),
        ("tasks?ids=1&state=all", "ids"),
        ("tasks?ids=1,x", "ids"),
    ] {
        let (status, answer) = fleet.api("GET", &format!("/foghorn/v1/{path}"), None).await;
        assert_eq!(
            (status, &answer["field"]),
            (400, &json!(field)),
            "{path}: {answer}"
        );
    }
    for path in ["hosts/99", "groups/99", "images/99", "nodes/99", "tasks/99"] {
        let (status, answer) = fleet.api("GET", &format!("/foghorn/v1/{path}"), None).await;
        assert_eq!(status, 404, "{path}: {answer}");
        let (status, _) = fleet
            .anonymous("GET", &format!("/foghorn/v1/{path}"), None)
            .await;
        assert_eq!(status, 403, "{path} without credentials");
    }
    fleet.stop().await;
}
