//! What earlier versions have stored must stay readable, and is written as it was.

use foghorn_types::{HostId, ImageId, StorageNodeId, TaskId};
use serde_json::json;

use super::Tables;
use super::enrolment::EnrolledNode;
use super::keyed::{Keyed, answer_in};
use super::schedule::Owner;
use super::shelf::Record;
use crate::store::cache::View;
use crate::store::{Change, Entry, Op};

/// Records as the first release has written them.
const STORED: &[(&str, &str)] = &[
    (
        "/foghorn/v1/run/0000000003",
        r#"{"v":1,"task":3,"kind":{"what":"deploy","manifest":"MANIFEST"},"host":2,"image":4,"storage_group":1,"created":5,"deadline":9005,"started":7,"state":{"is":"running","node":3},"former":[2],"faults":[[2,"gone"]],"traceparent":"00-ab-cd-01","client_fingerprint":DIGEST,"client_session":null}"#,
    ),
    (
        "/foghorn/v1/run/0000000004",
        r#"{"v":1,"task":4,"kind":{"what":"capture"},"host":2,"image":4,"storage_group":1,"created":5,"deadline":9005,"started":null,"state":{"is":"failed","reason":"no disk","node_at_fault":false,"at":8},"former":[],"faults":[],"traceparent":null,"client_fingerprint":null,"client_session":null}"#,
    ),
    (
        "/foghorn/v1/run/0000000005",
        r#"{"v":1,"task":5,"incarnation":18446744073709551615,"kind":{"what":"capture"},"host":2,"image":4,"storage_group":1,"created":5,"deadline":9005,"started":null,"state":{"is":"queued","checked_in":false},"former":[],"faults":[],"traceparent":null,"client_fingerprint":null,"client_session":null}"#,
    ),
    (
        "/foghorn/v1/run/0000000006",
        r#"{"v":1,"task":6,"kind":{"what":"deploy","manifest":"MANIFEST","version":2},"host":2,"image":4,"storage_group":1,"created":5,"deadline":9005,"started":null,"state":{"is":"queued","checked_in":false},"former":[],"faults":[],"traceparent":null,"client_fingerprint":null,"client_session":null}"#,
    ),
    (
        "/foghorn/v1/run/0000000007",
        r#"{"v":1,"task":7,"kind":{"what":"deploy"},"host":2,"image":4,"storage_group":1,"created":5,"deadline":9005,"started":null,"state":{"is":"queued","checked_in":false},"former":[],"faults":[],"traceparent":null,"client_fingerprint":null,"client_session":null}"#,
    ),
    (
        "/foghorn/v1/run/0000000008",
        r#"{"v":1,"task":8,"order":7,"kind":{"what":"capture"},"host":2,"image":4,"storage_group":1,"created":5,"deadline":9005,"started":null,"state":{"is":"queued","checked_in":false},"former":[],"faults":[],"traceparent":null,"client_fingerprint":null,"client_session":null}"#,
    ),
    (
        "/foghorn/v1/content/0000000004",
        r#"{"v":1,"image":4,"manifest":"MANIFEST","logical_bytes":10,"used_bytes":5,"stored_bytes":2,"new_bytes":1,"captured_at":9,"nodes":[1,2]}"#,
    ),
    (
        "/foghorn/v1/content/0000000005",
        r#"{"v":1,"image":5,"manifest":"MANIFEST","logical_bytes":10,"used_bytes":5,"stored_bytes":2,"new_bytes":1,"captured_at":9,"nodes":[1],"notes":{"list":[{"kind":"left_out","partition":2,"start":512,"end":1024,"text":"why"}],"more":3}}"#,
    ),
    (
        "/foghorn/v1/content/0000000006",
        r#"{"v":1,"image":6,"manifest":"MANIFEST","logical_bytes":10,"used_bytes":5,"stored_bytes":2,"new_bytes":1,"captured_at":9,"nodes":[1],"disks":[{"size":4,"sector_size":512,"start":0,"minimum":3,"name":"/dev/sda"},{"size":5,"sector_size":4096,"start":6,"minimum":2,"name":"/dev/sdb"}]}"#,
    ),
    (
        "/foghorn/v1/content/0000000007",
        r#"{"v":1,"image":7,"manifest":"MANIFEST","logical_bytes":10,"used_bytes":5,"stored_bytes":2,"new_bytes":1,"captured_at":9,"nodes":[1],"minimum":8}"#,
    ),
    (
        "/foghorn/v1/content/0000000008",
        r#"{"v":1,"image":8,"manifest":"MANIFEST","logical_bytes":10,"used_bytes":5,"stored_bytes":2,"new_bytes":1,"captured_at":9,"nodes":[1],"partitions":[1,3],"version":2,"newest":3,"from":{"host":2,"name":"golden"},"previous":[{"replaced_at":10,"content":{"image":8,"manifest":"MANIFEST","logical_bytes":10,"used_bytes":5,"stored_bytes":2,"new_bytes":1,"captured_at":9,"nodes":[1]}}]}"#,
    ),
    (
        "/foghorn/v1/snapinfile/0000000006",
        r#"{"v":1,"snapin":6,"file":"MANIFEST","sha512":"00ff","size":5,"uploaded_at":9,"nodes":[1]}"#,
    ),
    (
        "/foghorn/v1/wake/000000000000009-00000000000000ff",
        r#"{"v":1,"hosts":[1,2],"why":"by hand","at":9,"taken_by":[3]}"#,
    ),
    (
        "/foghorn/v1/wake/000000000000010-00000000000000ff",
        r#"{"v":1,"hosts":[1],"why":"by hand","at":10}"#,
    ),
    (
        "/foghorn/v1/controller/00000000000000ff",
        r#"{"v":1,"peers":"h:1","link":"h:2","software":"s","beat":9}"#,
    ),
    (
        "/foghorn/v1/notify-target/0000000001",
        r#"{"v":1,"name":"pager","enabled":true,"address":{"by":"webhook","web":{"shown":"https://h/","url":"SEALED"},"secret":"SEALED"},"kinds":["task-failed"],"groups":[2],"burst":5,"interval_seconds":60,"created":9}"#,
    ),
    (
        "/foghorn/v1/notify-target/0000000002",
        r#"{"v":1,"name":"room","enabled":false,"address":{"by":"chat","web":{"shown":"https://h/…","url":"SEALED","ca_pem":"pem"},"template":"{}"},"burst":5,"interval_seconds":60,"created":9}"#,
    ),
    (
        "/foghorn/v1/notify-target/0000000003",
        r#"{"v":1,"name":"anna","enabled":true,"address":{"by":"mail","to":["a@b"],"from":"f@b","server":"s","port":587,"security":"starttls","user":"u","password":"SEALED"},"burst":5,"interval_seconds":60,"created":9}"#,
    ),
    (
        "/foghorn/v1/notify-pending/0000000001/000000000000009-00000000000000ff",
        r#"{"v":1,"event":{"id":"e","kind":"task-failed","at":9,"text":"t","task":3,"host":{"id":1,"name":"pc"},"reason":"r"}}"#,
    ),
    (
        "/foghorn/v1/notify-message/0000000001/000000000000009-00000000000000ff",
        r#"{"v":1,"created":9,"events":[{"id":"e","kind":"group-finished","at":9,"text":"t","counts":{"total":2,"complete":1,"failed":1,"cancelled":0},"failures":[{"task":3,"host":"pc","reason":"r"}]}],"failed":1,"error":"why","fate":{"is":"waiting","due":9,"claim":{"by":7,"until":10}}}"#,
    ),
    (
        "/foghorn/v1/notify-message/0000000001/000000000000010-00000000000000ff",
        r#"{"v":1,"created":9,"events":[],"failed":0,"fate":{"is":"dead","at":9}}"#,
    ),
    ("/foghorn/v1/notify-pace/0000000001", r#"{"v":1,"paid":9}"#),
    (
        "/foghorn/v1/notify-alarm/damage-found/00000000000000000003",
        r#"{"v":1,"since":9,"images":[4]}"#,
    ),
    (
        "/foghorn/v1/notify-node/0000000003",
        r#"{"v":1,"up":true,"at":9}"#,
    ),
    (
        "/foghorn/v1/notify-order/18446744073709551615",
        r#"{"v":1}"#,
    ),
    (
        "/foghorn/v1/multicast/session/0000000007",
        r#"{"v":1,"session":7,"start":{"receivers":3,"at":5,"max_wait":{"secs":60,"nanos":0}},"max_rate_bits":800000000,"leases":{"2":"239.255.64.1:63100","12":"[ff18::1]:63100"}}"#,
    ),
    (
        "/foghorn/v1/multicast/session/0000000008",
        r#"{"v":1,"session":8,"start":{},"leases":{}}"#,
    ),
    (
        "/foghorn/v1/schedule/task/0000000009",
        r#"{"v":1,"through":5,"firing":{"due":9,"after_host":3,"tasks":2,"sessions":{"4":7}},"last":{"due":8,"after_host":0,"tasks":1},"outcome":"tasks created: 1"}"#,
    ),
    (
        "/foghorn/v1/schedule/task/0000000010",
        r#"{"v":1,"through":5,"firing":{"due":9,"after_host":3,"tasks":2,"left_out":"1 host got no task"}}"#,
    ),
    (
        "/foghorn/v1/schedule/power/0000000009",
        r#"{"v":1,"through":5}"#,
    ),
    (
        "/foghorn/v1/token/boot/HASH",
        r#"{"v":1,"purpose":{"for":"boot","host":1,"task":2},"expires":10,"used":7,"used_by":"key"}"#,
    ),
    (
        "/foghorn/v1/token/boot/OTHER",
        r#"{"v":1,"purpose":{"for":"boot","host":1,"task":2},"expires":10,"used":7,"used_by":"key","answer":{"salt":"salt","chain_pem":"pem"}}"#,
    ),
    (
        "/foghorn/v1/token/join/HASH",
        r#"{"v":1,"purpose":{"for":"join","node":1,"name":"north"},"expires":10,"used":null}"#,
    ),
    (
        "/foghorn/v1/node/0000000001",
        r#"{"v":1,"node":1,"name":"north","standing":{"is":"enrolled","at":6}}"#,
    ),
    (
        "/foghorn/v1/node/0000000003",
        r#"{"v":1,"node":3,"name":"west","standing":{"is":"enrolled","at":6},"key":"KEY"}"#,
    ),
    (
        "/foghorn/v1/join-many/0000000001",
        r#"{"v":1,"id":1,"hash":"HASH","names":"store-*","count":5,"used":2,"storage_group":2,"created":6,"expires":10}"#,
    ),
    (
        "/foghorn/v1/join-many/0000000002",
        r#"{"v":1,"id":2,"hash":"HASH","names":"*","count":5,"used":0,"created":6,"expires":10}"#,
    ),
    (
        "/foghorn/v1/node/0000000002",
        r#"{"v":1,"node":2,"name":"south","standing":{"is":"revoked","at":6}}"#,
    ),
    (
        "/foghorn/v1/node-hold/0000000001",
        r#"{"v":1,"node":1,"cordoned":{"at":6,"reason":"disks"},"cloned":7}"#,
    ),
    (
        "/foghorn/v1/site/0000000001",
        r#"{"v":1,"group":1,"subnets":["10.1.0.0/16"],"host_groups":[2],"fallbacks":[3]}"#,
    ),
    (
        "/foghorn/v1/idem/0000000001/HASH",
        r#"{"v":1,"fingerprint":"f","attempt":"a","at":9,"phase":{"is":"applied","until":10,"made":3}}"#,
    ),
    (
        "/foghorn/v1/removal/file/MANIFEST",
        r#"{"v":1,"ordered":9}"#,
    ),
    (
        "/foghorn/v1/removal/image/0000000004/MANIFEST",
        r#"{"v":1,"ordered":9}"#,
    ),
    (
        "/foghorn/v1/replica-job/0000000004/0000000002",
        r#"{"v":1,"image":4,"node":2,"manifest":"MANIFEST","copy":7,"sources":[{"node":1,"name":"north","addresses":["10.0.0.1:7462"]}],"since":9,"state":{"is":"copying"}}"#,
    ),
    (
        "/foghorn/v1/replica-job/0000000004/0000000003",
        r#"{"v":1,"image":4,"node":3,"manifest":"MANIFEST","copy":8,"heals":true,"sources":[],"since":9,"failures":2,"state":{"is":"failed","reason":"why","at":9,"retry_at":10}}"#,
    ),
    (
        "/foghorn/v1/replica-job/0000000005/0000000003",
        r#"{"v":1,"image":5,"node":3,"manifest":"MANIFEST","copy":9,"sources":[],"since":9,"state":{"is":"stopped","at":9}}"#,
    ),
    (
        "/foghorn/v1/replica-limit/node/0000000002",
        r#"{"v":1,"timetable":"22:00-06:00 unlimited, else 50m"}"#,
    ),
    (
        "/foghorn/v1/replica-limit/group/0000000001",
        r#"{"v":1,"timetable":"50m"}"#,
    ),
    (
        "/foghorn/v1/setting/authority",
        r#"{"v":1,"fingerprint":"sha"}"#,
    ),
    (
        "/foghorn/v1/setting/first-run",
        r#"{"v":1,"api_token":"a","user":"fog","user_token":"u","password":"p"}"#,
    ),
    (
        "/foghorn/v1/setting/given",
        r#"{"v":1,"api_tokens":["a"],"users":{"fog":{"tokens":["t"],"passwords":["p","q"]}}}"#,
    ),
    ("/foghorn/v1/setting/clock", r#"{"v":1,"seen":9}"#),
    (
        "/foghorn/v1/setting/api",
        r#"{"v":1,"enabled":false,"token_hash":"HASH"}"#,
    ),
    (
        "/foghorn/v1/device/0a1b2c3d-0000-4000-8000-00000000000f",
        r#"{"v":1,"uuid":"0a1b2c3d-0000-4000-8000-00000000000f","factory":1,"host":{"to":2,"by":"address"},"name":"pc","owner":3,"group":{"id":4,"since":5},"regrouped":5,"is_prod":true,"public_key":"pem","fingerprint":"ff","hardware_id":"pc","running":{"target":"disk-1","hash":"aa","tag":"lab","apps":["a"]},"update":"u","tried":{"hash":"bb","round":1,"at":7,"again":true},"meta":{"created_by":0,"created_at":1,"updated_by":3,"updated_at":2},"last_seen":9,"network":{"hostname":"pc","mac":"m","local_ipv4":"i"},"hardware":{"cpu":[1]},"aktualizr_toml":"t","apps_state":{},"applied":{"2":9,"10":11}}"#,
    ),
    (
        "/foghorn/v1/device/0a1b2c3d-0000-4000-8000-000000000010",
        r#"{"v":1,"uuid":"0a1b2c3d-0000-4000-8000-000000000010","factory":1,"public_key":"pem","fingerprint":"ff","meta":{"created_by":0,"created_at":1,"updated_by":0,"updated_at":1}}"#,
    ),
    (
        "/foghorn/v1/device/0a1b2c3d-0000-4000-8000-000000000011",
        r#"{"v":1,"uuid":"0a1b2c3d-0000-4000-8000-000000000011","factory":1,"public_key":"pem","fingerprint":"ff","meta":{"created_by":0,"created_at":1,"updated_by":0,"updated_at":1},"boots":{"last":"ab","former":[["cd",5]],"cloned":7}}"#,
    ),
    (
        "/foghorn/v1/device-denied/0a1b2c3d-0000-4000-8000-00000000000f",
        r#"{"v":1,"uuid":"0a1b2c3d-0000-4000-8000-00000000000f","factory":1,"name":"pc","by":3,"at":9}"#,
    ),
    (
        "/foghorn/v1/device-group/0000000004",
        r#"{"v":1,"id":4,"factory":1,"name":"room","description":"d","meta":{"created_by":3,"created_at":1,"updated_by":3,"updated_at":1}}"#,
    ),
    (
        "/foghorn/v1/device-config/device/0a1b2c3d-0000-4000-8000-00000000000f/0000000002",
        r#"{"v":1,"at":9000,"by":0,"files":"PACKED"}"#,
    ),
    (
        "/foghorn/v1/device-config/factory/0000000001/0000000001",
        r#"{"v":1,"at":9000,"by":3,"reason":"why","files":"PACKED","secrets":"SEALED"}"#,
    ),
    (
        "/foghorn/v1/device-config/group/0000000004/0000000001",
        r#"{"v":1,"at":9000,"by":3,"files":"PACKED"}"#,
    ),
    (
        "/foghorn/v1/device-updates/0a1b2c3d-0000-4000-8000-00000000000f",
        r#"{"v":1,"uuid":"0a1b2c3d-0000-4000-8000-00000000000f","list":[{"correlation_id":"u","target":"disk-2","version":"2","at":9,"events":[{"id":"e","kind":"k","device_time":"t","version":"2","target":"disk-2","success":false,"details":"d"}]}]}"#,
    ),
    (
        "/foghorn/v1/device-tests/0a1b2c3d-0000-4000-8000-00000000000f",
        r#"{"v":1,"uuid":"0a1b2c3d-0000-4000-8000-00000000000f","list":[{"id":"1","name":"n","created":9},{"id":"2","name":"n","target":"disk-2","test_id":"reboot_1","status":"PASSED","details":"d","created":9,"completed":10,"artifacts":[{"name":"a"},{"name":"b","upload":{"number":18446744073709551615,"bytes":5,"hash":"ff","is_whole":true}}]}]}"#,
    ),
    (
        "/foghorn/v1/device-users/0a1b2c3d-0000-4000-8000-00000000000f",
        r#"{"v":1,"uuid":"0a1b2c3d-0000-4000-8000-00000000000f","known":[0,18446744073709551615]}"#,
    ),
    (
        "/foghorn/v1/target-tags/0000000004",
        r#"{"v":1,"image":4,"versions":{"2":{"tags":["lab"],"hardware_ids":["pc"],"updated_at":9},"10":{"updated_at":9}}}"#,
    ),
    (
        "/foghorn/v1/ring-policy/0000000001",
        r#"{"v":1,"factory":1,"rules":{"mode":"auto","window":"mon,fri 22:00-05:00","at_most":5,"stop_after":2,"patience":30,"by_address":true,"protected":[7]},"failures":2,"held":9,"round":1,"orders":{"0a1b2c3d-0000-4000-8000-00000000000f":{"task":3,"id":"u","target":"disk-2","version":2,"ordered":8,"has_begun":true,"by_hand":true}}}"#,
    ),
    (
        "/foghorn/v1/ring-policy/0000000002",
        r#"{"v":1,"factory":2,"rules":{"mode":"manual","at_most":10,"stop_after":3,"patience":30}}"#,
    ),
    (
        "/foghorn/v1/factory-token/0000000001",
        r#"{"v":1,"id":1,"hash":"HASH","user":3,"description":"d","scopes":["devices:read","targets:read-update"],"factories":[1],"created":1,"expires":9}"#,
    ),
    (
        "/foghorn/v1/factory-token/0000000002",
        r#"{"v":1,"id":2,"hash":"OTHER","user":3,"scopes":["devices:create"],"created":1}"#,
    ),
    (
        "/foghorn/v1/host-token/0000000001",
        r#"{"v":1,"id":1,"hash":"HASH","factory":1,"host":2,"count":1,"used":1,"by":3,"created":1,"expires":9}"#,
    ),
    (
        "/foghorn/v1/host-token/0000000002",
        r#"{"v":1,"id":2,"hash":"OTHER","factory":1,"count":30,"used":0,"by":3,"created":1,"expires":9}"#,
    ),
    (
        "/foghorn/v1/host-token/0000000003",
        r#"{"v":1,"id":3,"hash":"OTHER","factory":1,"host":2,"task":3,"count":1,"used":0,"by":0,"created":1,"expires":9}"#,
    ),
    (
        "/foghorn/v1/identity/host/0000000002",
        r#"{"v":1,"wanted":false}"#,
    ),
    (
        "/foghorn/v1/identity/image/0000000004",
        r#"{"v":1,"wanted":true}"#,
    ),
    (
        "/foghorn/v1/event-queue/0000000001",
        r#"{"v":1,"factory":1,"label":"pull","by":3,"created":9}"#,
    ),
    (
        "/foghorn/v1/event-queue/0000000002",
        r#"{"v":1,"factory":1,"label":"push","push":{"shown":"https://lab/","url":"SEALED","ca_pem":"pem"},"by":3,"created":9}"#,
    ),
    (
        "/foghorn/v1/event-message/0000000001/000000000000009-00000000000000ff",
        r#"{"v":1,"kind":"DEVICE_FIRST_SEEN","at":9,"data":"{}","due":9}"#,
    ),
    (
        "/foghorn/v1/event-message/0000000002/000000000000009-00000000000000ff",
        r#"{"v":1,"kind":"DEVICE_OTA_APPS_STATE_CHANGED","at":9,"data":"{}","failed":2,"error":"why","due":10,"claim":{"by":18446744073709551615,"until":20}}"#,
    ),
];

fn hash() -> blake3::Hash {
    blake3::hash(b"s3cret")
}

fn filled(text: &str) -> String {
    let digest = serde_json::to_string(hash().as_bytes()).unwrap();
    text.replace("MANIFEST", &"ab".repeat(32))
        .replace("DIGEST", &digest)
        .replace("HASH", &hash().to_hex())
        .replace("OTHER", &blake3::hash(b"other").to_hex())
}

fn change(key: &str, value: &str) -> Change {
    Change::Put(Entry {
        key: key.to_owned(),
        value: value.to_owned().into(),
        created: 1,
        modified: 5,
    })
}

/// Each record is found where it belongs, and stored again it is the same text under the same key.
#[test]
fn records_of_the_first_release_are_read_and_written_as_they_were() {
    let mut tables = Tables::default();
    for (key, value) in STORED {
        tables.apply(&change(&filled(key), &filled(value))).unwrap();
    }
    let mut ops: Vec<Op> = Vec::new();
    ops.extend(tables.runs().iter().map(|record| record.put_op()));
    ops.extend(tables.contents().iter().map(|record| record.put_op()));
    ops.extend(tables.snapin_files().iter().map(|record| record.put_op()));
    ops.extend(tables.wakes().iter().map(|record| record.put_op()));
    ops.extend(tables.controllers().iter().map(|record| record.put_op()));
    ops.extend(tables.notify_targets().iter().map(|record| record.put_op()));
    ops.extend(tables.notify_pending().iter().map(|record| record.put_op()));
    ops.extend(
        tables
            .notify_messages()
            .iter()
            .map(|record| record.put_op()),
    );
    ops.extend(tables.notify_paces().iter().map(|record| record.put_op()));
    ops.extend(tables.notify_alarms().iter().map(|record| record.put_op()));
    ops.extend(tables.notify_nodes().iter().map(|record| record.put_op()));
    ops.extend(tables.notify_orders().iter().map(|record| record.put_op()));
    ops.extend(tables.session_plans().iter().map(|record| record.put_op()));
    let owners = [Owner::Task(9), Owner::Task(10), Owner::Power(9)];
    ops.extend(owners.map(|owner| tables.marks().get(&owner).unwrap().put_op()));
    ops.extend(tables.tokens().iter().map(|record| record.put_op()));
    ops.extend(tables.node_holds().iter().map(|record| record.put_op()));
    ops.extend(tables.sites().iter().map(|record| record.put_op()));
    ops.extend(tables.join_tokens().iter().map(|record| record.put_op()));
    ops.extend([1, 2, 3].map(|id| {
        tables
            .enrolled_nodes()
            .get(&StorageNodeId::new(id).unwrap())
            .unwrap()
            .put_op()
    }));
    ops.push(
        tables
            .keyed()
            .get(&filled("/foghorn/v1/idem/0000000001/HASH"))
            .unwrap()
            .put_op(),
    );
    ops.push(tables.api().unwrap().put_op());
    ops.extend(tables.removals().iter().map(|record| record.put_op()));
    ops.extend(tables.replica_jobs().iter().map(|record| record.put_op()));
    ops.extend(tables.replica_limits().iter().map(|record| record.put_op()));
    ops.push(tables.authority().unwrap().put_op());
    ops.push(tables.first_credentials().unwrap().put_op());
    ops.push(tables.given().unwrap().put_op());
    ops.push(tables.time_seen().unwrap().put_op());
    ops.extend(tables.devices().iter().map(|record| record.put_op()));
    ops.extend(tables.denied_devices().iter().map(|record| record.put_op()));
    ops.extend(tables.device_groups().iter().map(|record| record.put_op()));
    ops.extend(tables.device_configs().iter().map(|record| record.put_op()));
    ops.extend(tables.device_updates().iter().map(|record| record.put_op()));
    ops.extend(tables.device_tests().iter().map(|record| record.put_op()));
    ops.extend(tables.device_users().iter().map(|record| record.put_op()));
    ops.extend(tables.target_tags().iter().map(|record| record.put_op()));
    ops.extend(tables.ring_policies().iter().map(|record| record.put_op()));
    ops.extend(tables.factory_tokens().iter().map(|record| record.put_op()));
    ops.extend(tables.host_tokens().iter().map(|record| record.put_op()));
    ops.extend(
        tables
            .identity_choices()
            .iter()
            .map(|record| record.put_op()),
    );
    ops.extend(tables.event_queues().iter().map(|record| record.put_op()));
    ops.extend(tables.event_messages().iter().map(|record| record.put_op()));
    let mut written: Vec<(String, String)> = ops
        .into_iter()
        .map(|op| match op {
            Op::Put { key, value, .. } => (key, String::from_utf8(value.to_vec()).unwrap()),
            Op::Delete { key } => panic!("{key} is to be stored"),
        })
        .collect();
    written.sort();
    let mut expected: Vec<_> = STORED
        .iter()
        .map(|(key, value)| (filled(key), filled(value)))
        .collect();
    expected.sort();
    assert_eq!(written, expected);
}

#[test]
fn ids_and_revisions_come_from_the_entry() {
    let mut tables = Tables::default();
    for (key, value) in STORED {
        tables.apply(&change(&filled(key), &filled(value))).unwrap();
    }
    let run = tables.runs().get(&TaskId::new(3).unwrap()).unwrap();
    assert_eq!(
        (run.host, run.image, run.modified),
        (HostId::new(2).unwrap(), ImageId::new(4).unwrap(), 5)
    );
    assert_eq!(
        tables.marks().get(&Owner::Power(9)).unwrap().owner,
        Owner::Power(9)
    );
    let north = "north".parse().unwrap();
    assert_eq!(
        tables
            .enrolled_nodes()
            .by_name(&north)
            .map(|node| EnrolledNode::clone(node).modified),
        Some(5)
    );
    tables
        .apply(&Change::Delete {
            key: run.key(),
            revision: 6,
        })
        .unwrap();
    assert_eq!(tables.runs().iter().count(), 5);
}

#[test]
fn the_answer_of_a_finished_request_stays_in_the_store() {
    let place = Keyed::place(1, "x");
    let answer = json!({ "status": 201, "etag": "\"5\"", "body": "{}" });
    let value = format!(
        r#"{{"v":1,"fingerprint":"f","attempt":"a","at":9,"phase":{{"is":"done"}},"answer":{answer}}}"#
    );
    let mut tables = Tables::default();
    tables.apply(&change(&place, &value)).unwrap();
    assert_eq!(tables.keyed().get(&place).unwrap().answer, None);
    assert_eq!(
        answer_in(value.as_bytes())
            .unwrap()
            .map(|answer| (answer.status, answer.body)),
        Some((201, "{}".into()))
    );
}

#[test]
fn a_record_of_another_version_is_refused_and_changes_nothing() {
    let mut tables = Tables::default();
    for (key, value) in STORED {
        let (key, value) = (filled(key), filled(value));
        tables.apply(&change(&key, &value)).unwrap();
        let refused = tables.apply(&change(&key, r#"{"v":9}"#)).unwrap_err();
        assert!(
            refused.contains("version 9") && refused.contains("version 1"),
            "{refused}"
        );
    }
    assert_eq!(
        (
            tables.runs().len(),
            tables.contents().len(),
            tables.tokens().len()
        ),
        (6, 5, 3)
    );
}
