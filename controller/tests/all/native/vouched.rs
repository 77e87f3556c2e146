//! Agents that enrol by the token of their service account in a Kubernetes cluster.

use std::sync::Arc;
use std::time::Duration;

use foghorn_controller::config::{AllowedAccount, NameOf};
use foghorn_controller::kubernetes::Cluster;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::engine::{BOTH, Kind};
use crate::native::agent::Agent;
use crate::native::api_server::{ApiServer, allowed, status};
use crate::native::fleet::{Fleet, Keys};

/// A DaemonSet, whose storage nodes are named after the nodes of the cluster.
fn daemon_set() -> Vec<AllowedAccount> {
    vec![allowed("agent", "*", Some(NameOf::Node))]
}

async fn fleet(kind: Kind, server: &ApiServer, allowed: Vec<AllowedAccount>) -> Fleet {
    let kubernetes = server.config(allowed);
    Fleet::on(kind, |config| config.kubernetes = Some(kubernetes)).await
}

async fn node(fleet: &Fleet, enrolled: &Value) -> Value {
    let path = format!("/foghorn/v1/nodes/{}", enrolled["node_id"]);
    fleet.good("GET", &path, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_a_storage_node_under_the_name_that_the_cluster_says() {
    let server = ApiServer::start().await;
    server.pod("on-1", "agent", "worker-1.example");
    server.pod("of-another", "web", "worker-1.example");
    server.knows(
        "for-others",
        status("fog", "agent", "worker-1.example", "vault"),
    );
    server.knows(
        "elsewhere",
        status("default", "agent", "worker-1.example", "foghorn"),
    );
    let mut old = status("fog", "agent", "worker-1.example", "foghorn");
    old["user"]["extra"] = json!({"authentication.kubernetes.io/pod-name": ["agent-0"]});
    server.knows("of-1.29", old);
    for kind in BOTH {
        let rules = vec![AllowedAccount {
            storage_group: Some("Default".to_owned()),
            ..daemon_set().remove(0)
        }];
        let fleet = fleet(kind, &server, rules).await;
        let keys = Keys::new();
        let token = json!("service_account_token");
        for (name, given, field, words) in [
            (
                "worker-1-example",
                "unheard-of",
                &token,
                "invalid bearer token",
            ),
            ("worker-1-example", "of-another", &token, "fog/web"),
            ("worker-1-example", "for-others", &token, "audience"),
            ("worker-1-example", "elsewhere", &token, "default/agent"),
            ("worker-1-example", "of-1.29", &token, "1.30"),
            (
                "worker-1-example",
                "two words",
                &token,
                "no service-account token",
            ),
            (
                "worker-2",
                "on-1",
                &json!("name"),
                "its node is worker-1.example",
            ),
        ] {
            let (status, answer) = fleet.enrol_pod(name, given, &keys).await;
            assert_eq!(
                (status, &answer["field"]),
                (403, field),
                "{given}: {answer}"
            );
            assert!(
                answer["error"].as_str().unwrap().contains(words),
                "{given}: {answer}"
            );
        }
        let (status, enrolled) = fleet.enrol_pod("worker-1-example", "on-1", &keys).await;
        assert_eq!(status, 200, "{enrolled}");
        let chain = enrolled["chain_pem"].as_str().unwrap();
        Agent::try_connect(&fleet, chain, &keys.key_pem)
            .await
            .unwrap();
        assert_eq!(
            node(&fleet, &enrolled).await["storage_group"]["name"],
            "default"
        );
        let (status, again) = fleet.enrol_pod("worker-1-example", "on-1", &keys).await;
        assert_eq!(
            (status, &again["node_id"]),
            (200, &enrolled["node_id"]),
            "{again}"
        );
        let both = json!({"join_token": "fhj1.a.b", "service_account_token": "on-1",
            "csr_pem": keys.csr_pem, "name": "worker-1-example"});
        let (status, answer) = fleet
            .anonymous("POST", foghorn_proto::http::ENROL_PATH, Some(both))
            .await;
        assert_eq!((status, &answer["field"]), (400, &token), "{answer}");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_was_made_again_takes_the_place_of_the_one_before() {
    let server = ApiServer::start().await;
    server.pod("on-1", "agent", "worker-1");
    for kind in BOTH {
        let fleet = fleet(kind, &server, daemon_set()).await;
        let (before, after) = (Keys::new(), Keys::new());
        let (_, first) = fleet.enrol_pod("worker-1", "on-1", &before).await;
        let old = (first["chain_pem"].as_str().unwrap(), &*before.key_pem);
        let agent = Agent::try_connect_as(&fleet, old, 7).await.unwrap();
        let (status, second) = fleet.enrol_pod("worker-1", "on-1", &after).await;
        assert_eq!(
            (status, &second["node_id"]),
            (200, &first["node_id"]),
            "{second}"
        );
        agent.cut().await;
        let new = (second["chain_pem"].as_str().unwrap(), &*after.key_pem);
        let agent = Agent::try_connect_as(&fleet, new, 8).await.unwrap();
        // The pod of before, if it is still there, is no second machine with this certificate.
        let refused = Agent::try_connect_as(&fleet, old, 7).await.err().unwrap();
        assert!(refused.contains("older than the enrolment"), "{refused}");
        assert_eq!(node(&fleet, &second).await["cloned"], Value::Null);
        drop(agent);
        Agent::try_connect_as(&fleet, new, 8).await.unwrap();
        fleet.stop().await;
    }
}

/// `worker.a` and `worker-a` are two nodes of the cluster, and one name here.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_name_becomes_that_of_another_does_not_take_its_place() {
    let server = ApiServer::start().await;
    server.pod("dotted", "agent", "worker.a");
    server.pod("plain", "agent", "worker-a");
    for kind in BOTH {
        let fleet = fleet(kind, &server, daemon_set()).await;
        let (status, first) = fleet.enrol_pod("worker-a", "dotted", &Keys::new()).await;
        assert_eq!(status, 200, "{first}");
        let (status, answer) = fleet.enrol_pod("worker-a", "plain", &Keys::new()).await;
        assert_eq!(
            (status, &answer["field"]),
            (409, &json!("name")),
            "{answer}"
        );
        let said = answer["error"].as_str().unwrap();
        assert!(
            said.contains("worker-a and worker.a of the cluster"),
            "{said}"
        );
        let (status, again) = fleet.enrol_pod("worker-a", "dotted", &Keys::new()).await;
        assert_eq!(
            (status, &again["node_id"]),
            (200, &first["node_id"]),
            "{again}"
        );
        fleet.stop().await;
    }
}

/// Its certificate was good when it called.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_hello_when_its_place_is_taken_has_no_link() {
    let server = ApiServer::start().await;
    server.pod("on-1", "agent", "worker-1");
    for kind in BOTH {
        let fleet = fleet(kind, &server, daemon_set()).await;
        let (before, after) = (Keys::new(), Keys::new());
        let (_, first) = fleet.enrol_pod("worker-1", "on-1", &before).await;
        let old = (first["chain_pem"].as_str().unwrap(), &*before.key_pem);
        let order = Agent::try_connect_slowly(&fleet, old, async {}).await;
        assert!(order.is_some(), "nobody has taken its place yet");
        let taken = async {
            let (status, second) = fleet.enrol_pod("worker-1", "on-1", &after).await;
            assert_eq!(status, 200, "{second}");
        };
        let order = Agent::try_connect_slowly(&fleet, old, taken).await;
        assert!(order.is_none(), "it was told {order:?}");
        assert_eq!(node(&fleet, &first).await["cloned"], Value::Null);
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_ends_the_suspicion_that_two_machines_have_the_old_one() {
    let server = ApiServer::start().await;
    server.pod("on-1", "agent", "worker-1");
    let fleet = fleet(Kind::Embedded, &server, daemon_set()).await;
    let (before, after) = (Keys::new(), Keys::new());
    let (_, first) = fleet.enrol_pod("worker-1", "on-1", &before).await;
    let old = (first["chain_pem"].as_str().unwrap(), &*before.key_pem);
    let mut links = Vec::new();
    for process in [1, 2] {
        links.push(Agent::try_connect_as(&fleet, old, process).await.unwrap());
    }
    assert!(Agent::try_connect_as(&fleet, old, 1).await.is_err());
    assert!(node(&fleet, &first).await["cloned"].is_string());
    let (status, second) = fleet.enrol_pod("worker-1", "on-1", &after).await;
    assert_eq!(status, 200, "{second}");
    let new = (second["chain_pem"].as_str().unwrap(), &*after.key_pem);
    Agent::try_connect_as(&fleet, new, 3).await.unwrap();
    let refused = Agent::try_connect_as(&fleet, old, 1).await.err().unwrap();
    assert!(refused.contains("older than the enrolment"), "{refused}");
    assert_eq!(node(&fleet, &second).await["cloned"], Value::Null);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_node_and_a_name_of_somebody_else_are_not_given_away() {
    let server = ApiServer::start().await;
    server.pod("on-1", "agent", "worker-1");
    server.pod("of-a-set", "set", "worker-1");
    for kind in BOTH {
        let mut rules = daemon_set();
        rules.push(allowed("set", "b-*", None));
        let fleet = fleet(kind, &server, rules).await;
        // Of a name that several pods may say, the first one that does has it.
        let keys = Keys::new();
        assert_eq!(fleet.enrol_pod("b-1", "of-a-set", &keys).await.0, 200);
        assert_eq!(fleet.enrol_pod("b-1", "of-a-set", &keys).await.0, 200);
        let (status, answer) = fleet.enrol_pod("b-1", "of-a-set", &Keys::new()).await;
        assert_eq!(
            (status, &answer["field"]),
            (409, &json!("name")),
            "{answer}"
        );
        let (status, answer) = fleet.enrol_pod("c-1", "of-a-set", &keys).await;
        assert_eq!(
            (status, &answer["field"]),
            (403, &json!("name")),
            "{answer}"
        );

        let (_, enrolled) = fleet.enrol_pod("worker-1", "on-1", &keys).await;
        let revoke = format!("/foghorn/v1/nodes/{}/revoke", enrolled["node_id"]);
        fleet.good("POST", &revoke, None).await;
        for keys in [&keys, &Keys::new()] {
            let (status, answer) = fleet.enrol_pod("worker-1", "on-1", keys).await;
            assert_eq!(status, 403, "{answer}");
            assert!(
                answer["error"].as_str().unwrap().contains("revoked"),
                "{answer}"
            );
        }
        fleet.stop().await;
    }
}

/// Whoever may make pods could else become any storage node outside of the cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_never_takes_the_place_of_an_agent_that_has_joined_with_a_token() {
    let server = ApiServer::start().await;
    server.pod("on-1", "agent", "worker-1");
    for kind in BOTH {
        let fleet = fleet(kind, &server, daemon_set()).await;
        let (keys, joined) = fleet.joined("worker-1").await;
        let (status, answer) = fleet.enrol_pod("worker-1", "on-1", &Keys::new()).await;
        assert_eq!(
            (status, &answer["field"]),
            (409, &json!("name")),
            "{answer}"
        );
        Agent::try_connect(&fleet, &joined.chain_pem, &keys.key_pem)
            .await
            .unwrap();
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_cannot_ask_says_so_and_lets_nobody_in() {
    let server = ApiServer::start().await;
    server.pod("on-1", "agent", "worker-1");
    let asked = async |fleet: &Fleet| {
        let answer = fleet.enrol_pod("worker-1", "on-1", &Keys::new()).await;
        (answer.0, answer.1["error"].as_str().unwrap().to_owned())
    };
    let with_no_group = vec![AllowedAccount {
        storage_group: Some("nowhere".to_owned()),
        ..daemon_set().remove(0)
    }];
    let lost = fleet(Kind::Embedded, &server, with_no_group).await;
    let (status, said) = asked(&lost).await;
    assert!(status == 409 && said.contains("nowhere"), "{status} {said}");
    lost.stop().await;

    let fleet = fleet(Kind::Embedded, &server, daemon_set()).await;
    server.refuses(403, "tokenreviews.authentication.k8s.io is forbidden");
    let (status, said) = asked(&fleet).await;
    assert!(
        status == 503 && said.contains("see its log"),
        "{status} {said}"
    );
    fleet.stop().await;

    let mut elsewhere = server.config(daemon_set());
    elsewhere.api_server = "https://127.0.0.1:1".to_owned();
    let fleet = Fleet::with(|config| config.kubernetes = Some(elsewhere)).await;
    assert_eq!(asked(&fleet).await.0, 503);
    fleet.stop().await;

    let mut foreign = server.config(daemon_set());
    foreign.ca_file = std::path::PathBuf::from("/nowhere/ca.crt");
    let fleet = Fleet::with(|config| config.kubernetes = Some(foreign)).await;
    assert_eq!(asked(&fleet).await.0, 503);
    fleet.stop().await;

    let fleet = Fleet::new().await;
    let (status, said) = asked(&fleet).await;
    assert!(
        status == 403 && said.contains("enrol = true"),
        "{status} {said}"
    );
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cost_a_bounded_number_of_reviews_at_a_time() {
    const AT_ONCE: usize = 8;
    let server = ApiServer::start().await;
    let fleet = fleet(Kind::Embedded, &server, daemon_set()).await;
    server.go_on(false);
    let all = async {
        let keys = Keys::new();
        let asked = (0..AT_ONCE + 4).map(|_| fleet.enrol_pod("worker-1", "unheard-of", &keys));
        join_all(asked).await
    };
    let open = async {
        server.under_way(AT_ONCE).await;
        server.go_on(true);
    };
    let (answers, ()) = tokio::join!(all, open);
    assert!(
        answers.iter().all(|(status, _)| *status == 403),
        "{answers:?}"
    );
    assert_eq!(server.most(), AT_ONCE);
    fleet.stop().await;
}

/// A question that was sent is under way, also when nobody waits for its answer.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_hang_up_make_no_room_for_further_reviews() {
    const AT_ONCE: usize = 8;
    let server = ApiServer::start().await;
    let cluster = Arc::new(Cluster::new(server.config(daemon_set())));
    let ask = || {
        let cluster = cluster.clone();
        tokio::spawn(async move { cluster.review("unheard-of").await.is_err() })
    };
    server.go_on(false);
    let gone: Vec<_> = (0..AT_ONCE).map(|_| ask()).collect();
    server.under_way(AT_ONCE).await;
    gone.iter().for_each(|asked| asked.abort());
    let next = ask();
    // Long enough for it to be sent, if it were let through.
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.go_on(true);
    assert!(next.await.unwrap(), "a token that nobody knows was taken");
    assert_eq!(server.most(), AT_ONCE);
}
