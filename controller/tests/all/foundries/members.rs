//! Every member of every answer, as clients of the dialect read them: none is missing, none is more.

use foghorn_controller::app::devices::contact::{self, Headers, Identity};
use foghorn_controller::app::devices::report;
use foghorn_controller::app::devices::tests::{self, Begun};
use foghorn_controller::app::devices::updates::{self, Sent};
use foghorn_controller::state::machines::device::Network;
use foghorn_controller::state::machines::updates::UpdateEvent;
use foghorn_types::MachineUuid;
use serde_json::{Value, json};

use super::Factory;
use crate::devices::identity;
use crate::engine::BOTH;

/// Members by what they are: `s` text, `b` yes or no, `i` a whole number, `l` a list, `o` an object, `n` null.
type Members = [(&'static str, char)];

const PAGING: &Members = &[
    ("page", 'i'),
    ("pages", 'i'),
    ("limit", 'i'),
    ("total", 'i'),
    ("next", 'n'),
];
/// What lists and single devices have in common.
const DEVICE: &Members = &[
    ("uuid", 's'),
    ("owner", 's'),
    ("factory", 's'),
    ("name", 's'),
    ("created-at", 's'),
    ("last-seen", 's'),
    ("ostree-hash", 's'),
    ("target-name", 's'),
    ("current-update", 's'),
    ("device-tags", 'l'),
    ("tag", 's'),
    ("docker-apps", 'l'),
    ("network-info", 'o'),
    ("up-to-date", 'b'),
    ("public-key", 's'),
    ("is-prod", 'b'),
    ("is-wave", 'b'),
    ("status", 's'),
    ("change-meta", 'o'),
];
/// What single devices have beside it.
const FURTHER: &Members = &[
    ("group", 'o'),
    ("lmp-ver", 's'),
    ("hardware-info", 'o'),
    ("active-config", 'o'),
    ("aktualizr-toml", 's'),
    ("secondary-ecus", 'l'),
    ("apps-state", 'o'),
];
const GROUP: &Members = &[
    ("id", 'i'),
    ("name", 's'),
    ("description", 's'),
    ("change-meta", 'o'),
];
/// A version of a configuration that no device has fetched.
const ENTRY: &Members = &[
    ("created-at", 's'),
    ("applied-at", 'n'),
    ("created-by", 's'),
    ("reason", 's'),
    ("files", 'l'),
];
const FILE: &Members = &[
    ("name", 's'),
    ("value", 's'),
    ("unencrypted", 'b'),
    ("on-changed", 'l'),
];
const META: &Members = &[
    ("created-by", 's'),
    ("created-at", 's'),
    ("updated-by", 's'),
    ("updated-at", 's'),
];
const COUNTS: &Members = &[
    ("name", 's'),
    ("devices-total", 'i'),
    ("devices-online", 'i'),
    ("devices-on-latest", 'i'),
    ("devices-on-orphan", 'i'),
];

fn is(value: &Value, kind: char) -> bool {
    match kind {
        's' => value.is_string(),
        'b' => value.is_boolean(),
        'i' => value.is_i64() || value.is_u64(),
        'l' => value.is_array(),
        'o' => value.is_object(),
        'n' => value.is_null(),
        other => panic!("{other} is no kind"),
    }
}

/// The object has exactly these members.
#[track_caller]
fn assert_members(what: &str, object: &Value, members: &[&Members]) {
    let expected: Vec<_> = members.concat();
    let found = object.as_object();
    let found = found.unwrap_or_else(|| panic!("{what}: {object}"));
    for (name, kind) in &expected {
        let value = found.get(*name);
        let value = value.unwrap_or_else(|| panic!("{what} lacks {name}: {object}"));
        assert!(is(value, *kind), "{what}, {name}: {value}");
    }
    for name in found.keys() {
        let is_known = expected.iter().any(|(known, _)| *known == name.as_str());
        assert!(is_known, "{what} has {name}, too");
    }
}

/// A device of production in a group, of which everything is known.
async fn device(factory: &Factory) -> MachineUuid {
    let state = &factory.server.state;
    let who = Identity {
        is_prod: true,
        ..identity(state, 1)
    };
    let headers = Headers {
        target: Some("disk-1".to_owned()),
        tags: Some("lab".to_owned()),
        hash: Some("aa".repeat(32)),
        apps: Some("shop".to_owned()),
        boot: None,
    };
    let seen = &factory.server.ctx.sightings;
    let contact = contact::contact(state, seen, &who, &headers).await.unwrap();
    let uuid = contact.device.uuid;
    let network = Network {
        hostname: "pc".to_owned(),
        mac: "52:54:00:00:09:01".to_owned(),
        local_ipv4: "10.0.0.7".to_owned(),
    };
    report::network(state, uuid, &network).await.unwrap();
    let hardware = json!({"id": "board", "children": []});
    report::hardware(state, uuid, &hardware).await.unwrap();
    report::aktualizr_toml(state, uuid, "[pacman]\n")
        .await
        .unwrap();
    let apps = json!({"deviceTime": "2026-11-30T20:00:00Z", "ostree": "aa", "apps": {}});
    report::apps_state(state, uuid, &apps).await.unwrap();
    let event = Sent {
        correlation_id: "u-1".to_owned(),
        event: UpdateEvent {
            id: "1".to_owned(),
            kind: "EcuInstallationCompleted".to_owned(),
            device_time: "2026-11-30T20:00:00Z".to_owned(),
            version: "2".to_owned(),
            target: "disk-2".to_owned(),
            success: Some(true),
            details: "done".to_owned(),
        },
    };
    updates::record(state, uuid, &[event]).await.unwrap();
    let begun = Begun {
        name: "reboot".to_owned(),
        ..Begun::default()
    };
    tests::begin(state, uuid, &begun).await.unwrap();
    let groups = factory.at("device-groups/");
    let made = factory.call("POST", &groups, json!({"name": "room"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/ota/devices/{uuid}/");
    let grouped = factory.call("PATCH", &path, json!({"group": "room"})).await;
    assert_eq!(grouped.status, 200, "{}", grouped.text);
    uuid
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_has_every_member_in_both_forms() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        factory.image().await;
        let uuid = device(&factory).await;
        let path = format!("/ota/devices/{uuid}/");
        let file = json!({"reason": "a test", "files": [{
            "name": "a", "value": "b", "unencrypted": true, "on-changed": ["/bin/true"],
        }]});
        let made = factory.call("PATCH", &format!("{path}config/"), file).await;
        assert_members("a version", &made.json(), &[ENTRY]);
        assert_members("a file", &made.json()["files"][0], &[FILE]);

        let list = factory.get("/ota/devices/").await.json();
        assert_members("the list", &list, &[PAGING, &[("devices", 'l')]]);
        let row = &list["devices"][0];
        assert_members("a row", row, &[DEVICE, &[("device-group", 's')]]);
        let network: &Members = &[("hostname", 's'), ("local_ipv4", 's'), ("mac", 's')];
        assert_members("the network", &row["network-info"], &[network]);
        assert_members("who changed it", &row["change-meta"], &[META]);
        for (key, value) in [
            ("is-prod", json!(true)),
            ("device-group", json!("room")),
            ("docker-apps", json!(["shop"])),
            ("ostree-hash", json!("aa".repeat(32))),
        ] {
            assert_eq!(row[key], value, "{kind:?} {key}");
        }
        let one = factory.get(&path).await.json();
        assert_members("one", &one, &[DEVICE, FURTHER]);
        assert_members("its configuration", &one["active-config"], &[ENTRY]);
        assert_members("its group", &one["group"], &[GROUP]);
        assert_eq!(one["hardware-info"]["id"], "board", "as it was sent");
        let production = factory.get("/ota/devices/?prod=1&group=room").await;
        assert_eq!(production.json()["total"], 1, "{kind:?}");
        let others = factory.get("/ota/devices/?prod=0").await;
        assert_eq!(others.json()["total"], 0, "{kind:?}");
        assert_eq!(
            factory.get(&format!("{path}apps-states/")).await.json()["apps-states"],
            json!([one["apps-state"]]),
            "{kind:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_device_is_in_pages_with_every_member() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        let uuid = device(&factory).await;
        let path = format!("/ota/devices/{uuid}/");
        for (list, member) in [
            (format!("{path}updates/"), "updates"),
            (format!("{path}tests/"), "tests"),
            (format!("{path}config/"), "config"),
            (factory.at("config/"), "config"),
            (factory.at("device-groups/room/config/"), "config"),
            (factory.at("denied-devices/"), "devices"),
        ] {
            let answer = factory.get(&list).await.json();
            assert_members(&list, &answer, &[PAGING, &[(member, 'l')]]);
        }
        let updates = factory.get(&format!("{path}updates/")).await.json();
        let update: &Members = &[
            ("correlation-id", 's'),
            ("target", 's'),
            ("version", 's'),
            ("time", 's'),
        ];
        assert_members("an update", &updates["updates"][0], &[update]);
        let events = factory.get(&format!("{path}updates/u-1/")).await.json();
        let event: &Members = &[("deviceTime", 's'), ("eventType", 'o'), ("event", 'o')];
        assert_members("an event", &events[0], &[event]);
        assert_members("its kind", &events[0]["eventType"], &[&[("id", 's')]]);
        let about: &Members = &[
            ("version", 's'),
            ("targetName", 's'),
            ("success", 'b'),
            ("details", 's'),
        ];
        assert_members("what it says", &events[0]["event"], &[about]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn factories_have_every_member() {
    for kind in BOTH {
        let factory = Factory::start_on(kind).await;
        factory.image().await;
        let tags = json!({"targets": {"disk-2": {"custom": {"tags": ["lab"]}}}});
        let tagged = factory.call("PATCH", &factory.at("targets/"), tags).await;
        let job: &Members = &[("jobserv-url", 's'), ("web-url", 's')];
        assert_members("a job", &tagged.json(), &[job]);
        device(&factory).await;
        let target = factory.get(&factory.at("targets/disk-2")).await.json();
        let parts: &Members = &[("length", 'i'), ("hashes", 'o'), ("custom", 'o')];
        assert_members("a target", &target, &[parts]);
        assert_members("its hash", &target["hashes"], &[&[("sha256", 's')]]);
        let custom: &Members = &[
            ("name", 's'),
            ("version", 's'),
            ("hardwareIds", 'l'),
            ("tags", 'l'),
            ("targetFormat", 's'),
            ("arch", 's'),
            ("image-file", 's'),
            ("uri", 's'),
            ("createdAt", 's'),
            ("updatedAt", 's'),
            ("cliUploaded", 'b'),
        ];
        assert_members("what is said of it", &target["custom"], &[custom]);

        let status = factory.get(&factory.at("status/")).await.json();
        let all: &Members = &[
            ("total-devices", 'i'),
            ("tags", 'l'),
            ("prod-tags", 'l'),
            ("wave-tags", 'l'),
        ];
        assert_members("the status", &status, &[all]);
        assert_eq!(status["tags"], json!([]), "it is in production");
        let tag = &status["prod-tags"][0];
        let of_tag: &Members = &[
            ("latest-target", 'i'),
            ("targets", 'l'),
            ("device-groups", 'l'),
        ];
        assert_members("a tag", tag, &[COUNTS, of_tag]);
        let of_target: &Members = &[("version", 'i'), ("devices", 'i'), ("is-orphan", 'b')];
        assert_members("a version", &tag["targets"][0], &[of_target]);
        let room = &tag["device-groups"][0];
        assert_members("a group", room, &[COUNTS]);
        assert_eq!(
            (&room["name"], &room["devices-total"], &tag["latest-target"]),
            (&json!("room"), &json!(1), &json!(2)),
            "{kind:?}"
        );

        let user: &Members = &[("polis-id", 's'), ("name", 's'), ("role", 's')];
        let users = factory.get(&factory.at("users/")).await.json();
        assert_members("a user", &users[0], &[user]);
        let id = users[0]["polis-id"].as_str().unwrap();
        let path = factory.at(&format!("users/{id}/"));
        let one = factory.get(&path).await.json();
        let details: &Members = &[("teams-ext", 'l'), ("effective-scopes", 'l')];
        assert_members("one user", &one, &[user, details]);
        let queue = json!({"label": "erp", "type": "pull"});
        let path = factory.at("event-queues/");
        let made = factory.call("POST", &path, queue).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let list = factory.get(&path).await.json();
        for (key, value) in [("label", "erp"), ("type", "pull")] {
            assert_eq!(list[0][key], value, "{kind:?}");
        }
        assert_eq!(list[0].get("push-url"), None);
    }
}
