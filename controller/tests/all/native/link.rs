//! Who may have a link, and who may not.

use std::time::Duration;

use foghorn_controller::app::enrolment::is_current;
use foghorn_controller::trust::Trust;
use foghorn_proto::link::RenewCertificateRequest;
use foghorn_proto::link::agent_link_client::AgentLinkClient;
use foghorn_types::{CertificateName, Timestamp};
use serde_json::json;

use crate::engine::BOTH;
use crate::native::agent::{Agent, channel};
use crate::native::fleet::{Fleet, Keys, PATIENCE};
use crate::native::whole_path::pem_der;

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_lets_one_agent_join() {
    let fleet = Fleet::new().await;
    let (token, keys) = (fleet.join_token("north").await, Keys::new());
    let (status, answer) = fleet.enrol(&token, &keys).await;
    assert_eq!(
        (status, &answer["node"]),
        (200, &json!("north")),
        "{answer}"
    );
    let (status, answer) = fleet.enrol(&token, &keys).await;
    assert_eq!(
        (status, &answer["field"]),
        (403, &json!("join_token")),
        "{answer}"
    );
    let (status, answer) = fleet
        .enrol(
            &fleet.join_token("north").await,
            &Keys {
                csr_pem: "none".into(),
                ..Keys::new()
            },
        )
        .await;
    assert_eq!(
        (status, &answer["field"]),
        (400, &json!("csr_pem")),
        "{answer}"
    );
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_of_ours_there_is_no_link() {
    let fleet = Fleet::new().await;
    let (keys, _) = fleet.joined("north").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = Trust::load_or_create(elsewhere.path()).unwrap();
    let forged = foreign
        .issue_node(&"north".parse().unwrap(), &keys.csr_pem)
        .unwrap();
    let refused = Agent::try_connect(&fleet, &forged.chain_pem, &keys.key_pem).await;
    assert!(
        refused.is_err(),
        "a foreign authority's certificate was taken"
    );

    // The client's end of the handshake is over before the server refuses, so the refusal may show
    // in the first call.
    if let Ok(channel) = channel(&fleet, None).await {
        let request = RenewCertificateRequest {
            csr_der: keys.csr_der.clone(),
        };
        AgentLinkClient::new(channel)
            .renew_certificate(request)
            .await
            .expect_err("a caller without a certificate was served");
    }
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_no_storage_node() {
    let fleet = Fleet::new().await;
    let keys = Keys::new();
    let (host, task) = (
        foghorn_types::HostId::new(1).unwrap(),
        foghorn_types::TaskId::new(1).unwrap(),
    );
    let issued = fleet
        .controller
        .ctx()
        .trust
        .issue_client(host, task, &keys.csr_pem, Duration::from_secs(60))
        .unwrap();
    let refused = Agent::try_connect(&fleet, &issued.chain_pem, &keys.key_pem)
        .await
        .err()
        .expect("refused");
    assert!(refused.contains("PermissionDenied"), "{refused}");
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_node_is_refused_and_so_is_a_revoked_one() {
    let fleet = Fleet::new().await;
    let keys = Keys::new();
    let stranger = fleet
        .controller
        .ctx()
        .trust
        .issue_node(&"stranger".parse().unwrap(), &keys.csr_pem)
        .unwrap();
    let refused = Agent::try_connect(&fleet, &stranger.chain_pem, &keys.key_pem)
        .await
        .err()
        .expect("refused");
    assert!(
        refused.contains("PermissionDenied") && refused.contains("not enrolled"),
        "{refused}"
    );

    let (keys, enrolled) = fleet.joined("north").await;
    let agent = Agent::connect(&fleet, &keys, &enrolled).await;
    fleet
        .good(
            "POST",
            &format!("/foghorn/v1/nodes/{}/revoke", enrolled.node_id),
            None,
        )
        .await;
    agent.cut().await;
    let refused = Agent::try_connect(&fleet, &enrolled.chain_pem, &keys.key_pem)
        .await
        .err()
        .expect("refused");
    assert!(
        refused.contains("PermissionDenied") && refused.contains("revoked"),
        "{refused}"
    );
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused() {
    let fleet = Fleet::with(|config| config.lifetimes.node = Duration::from_secs(1)).await;
    let (keys, enrolled) = fleet.joined("north").await;
    let der = pem_der(&enrolled.chain_pem);
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let end = certificate.validity().not_after.timestamp();
    tokio::time::timeout(PATIENCE, async {
        while Timestamp::now().as_millis() / 1000 <= end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert!(
        Agent::try_connect(&fleet, &enrolled.chain_pem, &keys.key_pem)
            .await
            .is_err()
    );
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_bears_the_callers_name_and_works() {
    let fleet = Fleet::new().await;
    let (keys, enrolled) = fleet.joined("north").await;
    let fresh = Keys::new();
    let channel = channel(&fleet, Some((&enrolled.chain_pem, &keys.key_pem)))
        .await
        .unwrap();
    let request = RenewCertificateRequest {
        csr_der: fresh.csr_der.clone(),
    };
    let chain = AgentLinkClient::new(channel)
        .renew_certificate(request)
        .await
        .unwrap()
        .into_inner()
        .chain_der;
    let name = foghorn_controller::trust::peer_name(&chain[0]).unwrap();
    assert_eq!(name, CertificateName::Node("north".parse().unwrap()));
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        data_encoding::BASE64.encode(&chain[0])
    );
    Agent::try_connect(&fleet, &pem, &fresh.key_pem)
        .await
        .unwrap();
    fleet.controller.shutdown().await;
}

/// A controller that is behind asks before it renews the certificate of an agent whose place is taken.
#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_is_current_until_the_store_has_another_one() {
    for kind in BOTH {
        let fleet = Fleet::on(kind, |_| {}).await;
        let (_, enrolled) = fleet.joined("north").await;
        let ctx = fleet.controller.ctx();
        let stored = || {
            let known = ctx.state.read(|tables| {
                let node = tables.enrolled_nodes().get(&enrolled.node_id);
                node.cloned()
            });
            known.unwrap()
        };
        let store = ctx.state.store();
        let before = stored();
        assert!(is_current(&**store, &before).await.unwrap());
        fleet.joined("north").await;
        assert!(!is_current(&**store, &before).await.unwrap());
        assert!(is_current(&**store, &stored()).await.unwrap());
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_has_one_link_and_the_newer_one_stays() {
    let fleet = Fleet::new().await;
    let (keys, enrolled) = fleet.joined("north").await;
    let older = Agent::connect(&fleet, &keys, &enrolled).await;
    let newer = Agent::connect(&fleet, &keys, &enrolled).await;
    older.cut().await;
    assert!(
        fleet
            .controller
            .ctx()
            .live
            .node(enrolled.node_id)
            .unwrap()
            .online
    );
    drop(newer);
    let mut changed = fleet.controller.ctx().live.changed();
    tokio::time::timeout(PATIENCE, async {
        while fleet
            .controller
            .ctx()
            .live
            .node(enrolled.node_id)
            .unwrap()
            .online
        {
            changed.changed().await.unwrap();
        }
    })
    .await
    .expect("the end of the link is noticed");
    fleet.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_with_one_certificate_are_refused_until_an_operator_decides() {
    let fleet = Fleet::new().await;
    let (keys, enrolled) = fleet.joined("north").await;
    let known = (enrolled.chain_pem.as_str(), keys.key_pem.as_str());
    let connect = |process| Agent::try_connect_as(&fleet, known, process);
    // A restart of the agent is no second machine.
    let mut agent = connect(1).await.unwrap();
    for process in [2, 2, 3] {
        let next = connect(process).await.unwrap();
        agent.cut().await;
        agent = next;
    }
    assert!(connect(2).await.is_err(), "the clone was taken");
    agent.cut().await;
    for process in [2, 3, 4] {
        let refused = connect(process).await.err().expect("it is refused");
        assert!(
            refused.contains("two machines use the certificate"),
            "{refused}"
        );
    }
    let nodes = fleet.good("GET", "/foghorn/v1/nodes", None).await;
    let nodes = nodes["nodes"].as_array().unwrap();
    let north = nodes.iter().find(|node| node["name"] == "north").unwrap();
    assert!(north["cloned"].is_string(), "{north}");
    let path = format!("/foghorn/v1/nodes/{}/readmit", north["id"]);
    fleet.good("POST", &path, None).await;
    connect(3).await.unwrap();
    fleet.controller.shutdown().await;
}
