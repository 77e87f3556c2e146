//! What a boot token is good for, and everything it is not.

use foghorn_proto::http::{CHECK_IN_PATH, LOOK_PATH};
use foghorn_types::{TaskId, Timestamp};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::engine::BOTH;
use crate::native::fleet::{Fleet, Keys, PATIENCE, id};

const MAC: &str = "02:00:00:00:00:01";
const OTHER_MAC: &str = "02:00:00:00:00:02";

async fn two_hosts() -> (Fleet, u32, u32) {
    let fleet = Fleet::new().await;
    let image = fleet.image("win").await;
    let first = fleet.host("pc1", MAC, image).await;
    let second = fleet.host("pc2", OTHER_MAC, image).await;
    (fleet, first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_check_ins_with_one_token_one_succeeds() {
    let (fleet, host, _) = two_hosts().await;
    fleet.task(host, 2).await;
    let token = fleet.boot_token(host).await;
    let all = futures_util::future::join_all((0..6).map(|_| fleet.try_check_in(MAC, &token))).await;
    assert_eq!(
        all.iter().filter(|(status, _)| *status == 200).count(),
        1,
        "{all:?}"
    );
    for (status, answer) in all.iter().filter(|(status, _)| *status != 200) {
        assert_eq!(
            (*status, &answer["field"]),
            (403, &json!("boot_token")),
            "{answer}"
        );
        assert!(
            answer["error"]
                .as_str()
                .unwrap()
                .contains("already been used"),
            "{answer}"
        );
    }
    fleet.controller.shutdown().await;
}

/// Sends a check-in and closes the connection without reading the answer, once the token is spent.
async fn lose_the_answer(fleet: &Fleet, task: TaskId, body: &Value) {
    let url = fleet.controller.rest_url();
    let mut stream = TcpStream::connect(url.strip_prefix("https://").unwrap())
        .await
        .unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {CHECK_IN_PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all((head + body.as_str()).as_bytes())
        .await
        .unwrap();
    let state = fleet.controller.ctx().state.clone();
    let mut changed = state.changed();
    let spent = async {
        while !state.read(|tables| {
            let run = tables.runs().get(&task).unwrap();
            run.client_session.is_some()
        }) {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, spent).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_answer_gets_it_again_with_the_same_key() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |config| config.rest.plain_http = true).await;
        let image = fleet.image("win").await;
        let host = fleet.host("pc1", MAC, image).await;
        let task = fleet.task(host, 2).await;
        let token = fleet.boot_token(host).await;
        let body = json!({"mac": MAC, "boot_token": token, "csr_pem": Keys::new().csr_pem,
            "software": "test"});
        lose_the_answer(&fleet, task, &body).await;
        let again = || fleet.anonymous("POST", CHECK_IN_PATH, Some(body.clone()));
        let (status, first) = again().await;
        assert_eq!((status, &first["task"]), (200, &json!(task)), "{first}");
        for (status, answer) in futures_util::future::join_all((0..4).map(|_| again())).await {
            assert_eq!((status, &answer), (200, &first), "{kind:?}");
        }
        let session = first["session"].as_str().unwrap();
        assert_eq!(fleet.order(session, 0).await.0, 204);
        let (status, answer) = fleet.try_check_in(MAC, &token).await;
        assert_eq!(
            (status, &answer["field"]),
            (403, &json!("boot_token")),
            "another key: {answer}"
        );
        // Whoever came later with a token of his own has taken its place.
        let later = fleet.boot_token(host).await;
        fleet.check_in(MAC, &later).await;
        let (status, answer) = again().await;
        assert_eq!(status, 403, "{answer}");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_check_ins_with_one_token_and_one_key_all_get_one_answer() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let image = fleet.image("win").await;
        let host = fleet.host("pc1", MAC, image).await;
        fleet.task(host, 2).await;
        let token = fleet.boot_token(host).await;
        let body = json!({"mac": MAC, "boot_token": token, "csr_pem": Keys::new().csr_pem,
            "software": "test"});
        let all = (0..6).map(|_| fleet.anonymous("POST", CHECK_IN_PATH, Some(body.clone())));
        let all = futures_util::future::join_all(all).await;
        for answer in &all {
            assert_eq!((answer.0, answer), (200, &all[0]), "{kind:?}");
        }
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_a_task_spends_no_token_and_changes_nothing() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let image = fleet.image("win").await;
        let body = json!({"name": "pc1", "macs": [MAC], "imageID": image,
            "kernelDevice": "serial:W4X"});
        let host = id(&fleet.good("POST", "/fog/host", Some(body)).await);
        let task = fleet.task(host, 2).await;
        let token = fleet.boot_token(host).await;
        let look = async |mac: &str, token: &str, more: Value| {
            let mut body = json!({"mac": mac, "boot_token": token});
            if let Value::Object(more) = more {
                body.as_object_mut().unwrap().extend(more);
            }
            fleet.anonymous("POST", LOOK_PATH, Some(body)).await
        };
        let before = fleet.status(task).await;
        for _ in 0..3 {
            let (status, seen) = look(MAC, &token, json!({"options_for": "capture"})).await;
            assert_eq!(status, 200, "{seen}");
            assert_eq!(
                (
                    &seen["task"],
                    &seen["kind"],
                    &seen["disk_rule"],
                    &seen["several"]
                ),
                (
                    &json!(task),
                    &json!("capture"),
                    &json!("serial:W4X"),
                    &json!(false)
                ),
                "{seen}"
            );
        }
        assert_eq!(fleet.status(task).await, before);
        let foreign = token.rsplit_once('.').unwrap().1;
        for (mac, token, more, status, field) in [
            (OTHER_MAC, &token, json!({}), 403, "mac"),
            (
                MAC,
                &token,
                json!({"options_for": "deploy"}),
                409,
                "options_for",
            ),
            (
                MAC,
                &format!("fhb1.invented.{foreign}"),
                json!({}),
                403,
                "boot_token",
            ),
            (MAC, &token, json!({"csr_pem": "x"}), 400, "csr_pem"),
        ] {
            let (found, answer) = look(mac, token, more).await;
            assert_eq!(
                (found, &answer["field"]),
                (status, &json!(field)),
                "{answer}"
            );
        }
        fleet.check_in(MAC, &token).await;
        let (status, answer) = look(MAC, &token, json!({})).await;
        assert_eq!(status, 403, "a token that is spent shows nothing: {answer}");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_tells_of_its_machine_is_the_inventory() {
    let (fleet, host, _) = two_hosts().await;
    fleet.task(host, 2).await;
    fleet
        .good(
            "POST",
            "/fog/inventory",
            Some(json!({"hostID": host, "primaryUser": "alice", "sysserial": "old"})),
        )
        .await;
    let tell = async |hardware| {
        let token = fleet.boot_token(host).await;
        let csr = Keys::new().csr_pem;
        let body = json!({"mac": MAC, "boot_token": token, "csr_pem": csr, "software": "test",
            "hardware": hardware});
        let (status, answer) = fleet.anonymous("POST", CHECK_IN_PATH, Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        fleet.good("GET", &format!("/fog/host/{host}"), None).await["inventory"].clone()
    };
    let hardware = json!({
        "system": {"maker": "Dell Inc.", "model": "OptiPlex 7050", "serial": "ABC1234"},
        "chassis_type": "3", "cpu": {"model": "i7-7700"}, "cpu_mhz": "3600",
            "memory_kib": 16_303_424,
        "disk": {"model": "Samsung SSD 850", "serial": "S21N", "version": "EMT0"}
    });
    let shown = tell(hardware).await;
    for (field, value) in [
        ("primaryUser", "alice"),
        ("sysman", "Dell Inc."),
        ("sysserial", "ABC1234"),
        ("systype", "Type: Desktop"),
        ("cpucurrent", "3600 MHz"),
        ("mem", "MemTotal: 16303424 kB"),
        ("memory", "15.55 GiB"),
        ("hdfirmware", "EMT0"),
    ] {
        assert_eq!(shown[field], value, "{field} in {shown}");
    }
    let later = tell(json!({"memory_kib": 33_554_432_u64})).await;
    assert_eq!(
        (&later["memory"], &later["sysserial"]),
        (&json!("32.00 GiB"), &json!("ABC1234")),
        "what is unknown stays"
    );
    let rows = fleet.good("GET", "/fog/inventory", None).await;
    assert_eq!(rows["count"], 1, "a host has one inventory: {rows}");
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_of_use_to_its_own_host_only() {
    let (fleet, host, _) = two_hosts().await;
    fleet.task(host, 2).await;
    let token = fleet.boot_token(host).await;
    for mac in [OTHER_MAC, "02:00:00:00:00:03"] {
        let (status, answer) = fleet.try_check_in(mac, &token).await;
        assert_eq!((status, &answer["field"]), (403, &json!("mac")), "{answer}");
    }
    fleet.check_in(MAC, &token).await; // a refusal has not used it up
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_for_the_other_kind_of_task_use_up_no_token() {
    let (fleet, host, _) = two_hosts().await;
    let task = fleet.task(host, 2).await;
    let token = fleet.boot_token(host).await;
    let check_in = async |options_for: &str| {
        let csr = Keys::new().csr_pem;
        let body = json!({"mac": MAC, "boot_token": token, "csr_pem": csr, "software": "test",
            "options_for": options_for});
        fleet.anonymous("POST", CHECK_IN_PATH, Some(body)).await
    };
    let (status, answer) = check_in("deploy").await;
    assert_eq!(
        (status, &answer["field"]),
        (409, &json!("options_for")),
        "{answer}"
    );
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.contains(&format!("task {task} is a capture")),
        "{answer}"
    );
    let (status, answer) = check_in("capture").await;
    assert_eq!(status, 200, "{answer}");
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_none_are_refused() {
    let (fleet, host, _) = two_hosts().await;
    fleet.task(host, 2).await;
    let good = fleet.boot_token(host).await;
    let join = fleet.join_token("north").await;
    let parts: Vec<_> = good.split('.').collect();
    let join_secret = join.split('.').nth(1).unwrap();
    for (token, status) in [
        ("rubbish".to_owned(), 400),
        (join.clone(), 400),
        (format!("fhb1.{join_secret}.{}", parts[2]), 403),
        (format!("fhb1.invented.{}", parts[2]), 403),
        (format!("fhb1.{}.otherauthority", parts[1]), 403),
    ] {
        let answer = fleet.try_check_in(MAC, &token).await;
        assert_eq!(
            (answer.0, &answer.1["field"]),
            (status, &json!("boot_token")),
            "{token}: {}",
            answer.1
        );
    }
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_time_and_with_its_task() {
    let (fleet, host, second) = two_hosts().await;
    let task = fleet.task(host, 2).await;
    let path = format!("/foghorn/v1/hosts/{host}/boot-token");
    let short = fleet
        .good("POST", &path, Some(json!({"ttl_seconds": 1})))
        .await;
    let made = Timestamp::now();
    let token = fleet.boot_token(host).await;
    fleet
        .good("DELETE", &format!("/fog/task/{task}/cancel"), None)
        .await;
    let (status, answer) = fleet.try_check_in(MAC, &token).await;
    assert_eq!(status, 410, "{answer}");
    tokio::time::timeout(PATIENCE, async {
        while Timestamp::now().since(made).as_millis() < 1000 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let (status, answer) = fleet
        .try_check_in(MAC, short["token"].as_str().unwrap())
        .await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("expired"));

    for host in [host, second] {
        let (status, answer) = fleet
            .api(
                "POST",
                &format!("/foghorn/v1/hosts/{host}/boot-token"),
                None,
            )
            .await;
        assert_eq!(status, 409, "no active task, no token: {answer}");
    }
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_replaces_itself() {
    let (fleet, host, _) = two_hosts().await;
    let task = fleet.task(host, 2).await;
    let (first, second) = (fleet.boot_token(host).await, fleet.boot_token(host).await);
    let before = fleet.check_in(MAC, &first).await;
    assert!(before.order.is_none(), "there is no node yet");
    assert_eq!(fleet.order(&before.session, 0).await.0, 204);
    let after = fleet.check_in(MAC, &second).await;
    assert_eq!((before.task, after.task), (task, task));
    assert_eq!(
        fleet.order(&before.session, 0).await.0,
        403,
        "the older certificate is served no more"
    );
    assert_eq!(fleet.order(&after.session, 0).await.0, 204);
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_name_their_field() {
    let (fleet, host, _) = two_hosts().await;
    fleet.task(host, 2).await;
    let token = fleet.boot_token(host).await;
    let csr = Keys::new().csr_pem;
    for (body, field) in [
        (
            json!({"mac": "zz", "boot_token": token, "csr_pem": csr, "software": "x"}),
            "mac",
        ),
        (
            json!({"mac": MAC, "boot_token": token, "csr_pem": "none", "software": "x"}),
            "csr_pem",
        ),
        (
            json!({"mac": MAC, "boot_token": token, "csr_pem": csr}),
            "software",
        ),
        (
            json!({"mac": MAC, "boot_token": token, "csr_pem": csr, "software": "x", "more": 1}),
            "more",
        ),
    ] {
        let (status, answer) = fleet.anonymous("POST", CHECK_IN_PATH, Some(body)).await;
        assert_eq!((status, &answer["field"]), (400, &json!(field)), "{answer}");
    }
    fleet.check_in(MAC, &token).await;
    fleet.controller.shutdown().await;
}
