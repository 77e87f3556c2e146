//! What a boot token is good for, and everything it is not.

use foghorn_proto::http::CHECK_IN_PATH;
use foghorn_types::Timestamp;
use serde_json::json;

use crate::fleet::{Fleet, Keys, PATIENCE};

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
    assert_eq!(all.iter().filter(|(status, _)| *status == 200).count(), 1, "{all:?}");
    for (status, answer) in all.iter().filter(|(status, _)| *status != 200) {
        assert_eq!((*status, &answer["field"]), (403, &json!("boot_token")), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("used already"), "{answer}");
    }
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
        assert_eq!((answer.0, &answer.1["field"]), (status, &json!("boot_token")), "{token}: {}", answer.1);
    }
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_time_and_with_its_task() {
    let (fleet, host, second) = two_hosts().await;
    let task = fleet.task(host, 2).await;
    let path = format!("/foghorn/v1/hosts/{host}/boot-token");
    let short = fleet.good("POST", &path, Some(json!({"ttl_seconds": 1}))).await;
    let made = Timestamp::now();
    let token = fleet.boot_token(host).await;
    fleet.good("DELETE", &format!("/fog/task/{task}/cancel"), None).await;
    let (status, answer) = fleet.try_check_in(MAC, &token).await;
    assert_eq!(status, 410, "{answer}");
    tokio::time::timeout(PATIENCE, async {
        while Timestamp::now().since(made).as_millis() < 1000 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let (status, answer) = fleet.try_check_in(MAC, short["token"].as_str().unwrap()).await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("expired"));

    for host in [host, second] {
        let (status, answer) = fleet.api("POST", &format!("/foghorn/v1/hosts/{host}/boot-token"), None).await;
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
    assert_eq!(fleet.order(&before.session, 0).await.0, 403, "the older certificate is served no more");
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
        (json!({"mac": "zz", "boot_token": token, "csr_pem": csr, "software": "x"}), "mac"),
        (json!({"mac": MAC, "boot_token": token, "csr_pem": "none", "software": "x"}), "csr_pem"),
        (json!({"mac": MAC, "boot_token": token, "csr_pem": csr}), "software"),
        (json!({"mac": MAC, "boot_token": token, "csr_pem": csr, "software": "x", "more": 1}), "more"),
    ] {
        let (status, answer) = fleet.anonymous("POST", CHECK_IN_PATH, Some(body)).await;
        assert_eq!((status, &answer["field"]), (400, &json!(field)), "{answer}");
    }
    fleet.check_in(MAC, &token).await;
    fleet.controller.shutdown().await;
}
