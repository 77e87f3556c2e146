//! Everybody who must not be served, against a real controller and a real agent.

use std::time::Duration;

use anyhow::{Context, Result};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_transport::client::ConnectError;
use foghorn_transport::{
    AgentConnection, EndReason, Hello, Identity, RefusalCode, Source, StreamError,
};
use serde_json::{Value, json};

const MAC_A: &str = "52:54:00:00:07:0a";
const MAC_B: &str = "52:54:00:00:07:0b";
const MAC_C: &str = "52:54:00:00:07:0c";

/// What a client holds after it has checked in.
pub(crate) struct CheckedIn {
    pub(crate) identity: Identity,
    pub(crate) source: Source,
    task: u32,
}

fn check_in_body(stack: &Stack, host: u32, mac: &str) -> Result<(Value, rcgen::KeyPair)> {
    let key = rcgen::KeyPair::generate()?;
    let csr = rcgen::CertificateParams::default()
        .serialize_request(&key)?
        .pem()?;
    let body = json!({ "mac": mac, "boot_token": stack.boot_token(host)?, "csr_pem": csr,
        "software": "test" });
    Ok((body, key))
}

pub(crate) fn check_in(stack: &Stack, host: u32, mac: &str) -> Result<CheckedIn> {
    let (body, key) = check_in_body(stack, host, mac)?;
    let answer = stack
        .rest
        .post("/foghorn/v1/clients/check-in", &body)?
        .ok()?;
    let session = answer["session"].as_str().context("a session")?.to_owned();
    let order = until("an order", PATIENCE, || {
        let bearer = format!("Bearer {session}");
        let answer = stack.rest.send_with(
            "GET",
            "/foghorn/v1/clients/order?wait=5",
            None,
            &[("authorization", &bearer)],
        )?;
        Ok(if answer.status == 200 {
            Some(answer.ok()?)
        } else {
            None
        })
    })?;
    let source = Source {
        address: order["sources"][0]["address"]
            .as_str()
            .context("an address")?
            .to_owned(),
        server_name: order["sources"][0]["server_name"]
            .as_str()
            .context("a name")?
            .to_owned(),
    };
    let chain = answer["chain_pem"].as_str().context("a chain")?;
    let identity = Identity::from_pem(&stack.rest.ca_pem, chain, &key.serialize_pem())?;
    Ok(CheckedIn {
        identity,
        source,
        task: u32::try_from(answer["task"].as_u64().context("a task")?)?,
    })
}

fn connect(
    source: &Source,
    identity: &Identity,
    task: u32,
) -> Result<AgentConnection, ConnectError> {
    let hello = Hello {
        task: foghorn_types::TaskId::new(task).expect("tasks count from 1"),
        software: "test".to_owned(),
        traceparent: String::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let result =
        runtime.block_on(async { AgentConnection::connect(source, identity, hello).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Two hosts with a deploy task each, of different images.
fn two_tasks() -> Result<(Stack, [(u32, u32); 2])> {
    let stack = Stack::start(Engine::Embedded)?;
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        32 * MIB,
        512,
        &[(Kind::Raw, 8)],
        81,
    )?;
    let (_, image) = stack.capture("golden", MAC_C, &golden.path)?;
    let other = disks::make_gpt(
        &stack.folder().join("other"),
        32 * MIB,
        512,
        &[(Kind::Raw, 8)],
        82,
    )?;
    let (_, other_image) = stack.capture("other", "52:54:00:00:07:0d", &other.path)?;
    let mut tasks = [(0, 0); 2];
    for (slot, (name, mac, image)) in [("a", MAC_A, image), ("b", MAC_B, other_image)]
        .into_iter()
        .enumerate()
    {
        let host = stack.create_host(name, mac)?;
        stack.assign(host, image)?;
        tasks[slot] = (host, stack.order(host, 1)?);
    }
    Ok((stack, tasks))
}

fn refusal(result: Result<AgentConnection, ConnectError>) -> (RefusalCode, String) {
    match result {
        Err(ConnectError::Refused { code, reason }) => (code, reason),
        Err(ConnectError::Welcome(StreamError::Ended(EndReason::Refused { code, reason }))) => {
            (code, reason)
        }
        Err(other) => panic!("refused in another way: {other:?}"),
        Ok(_) => panic!("served"),
    }
}

#[test]
fn a_client_gets_its_own_task_and_no_other() {
    let (stack, [(host_a, task_a), (host_b, task_b)]) = two_tasks().unwrap();
    let a = check_in(&stack, host_a, MAC_A).unwrap();
    let b = check_in(&stack, host_b, MAC_B).unwrap();
    assert_eq!((a.task, b.task), (task_a, task_b));
    // Another host's task, and with it another host's image.
    let (_, reason) = refusal(connect(&a.source, &a.identity, task_b));
    assert!(!reason.is_empty());
    refusal(connect(&a.source, &a.identity, task_b + 1000));
    // Its own is served: the refusals above were not for some other reason.
    connect(&a.source, &a.identity, task_a).unwrap();
    // A second check-in of the same host replaces the first certificate.
    let again = check_in(&stack, host_a, MAC_A).unwrap();
    refusal(connect(&a.source, &a.identity, task_a));
    connect(&again.source, &again.identity, task_a).unwrap();
    // When the task is over, so is the certificate.
    stack
        .rest
        .delete(&format!("/fog/task/{task_b}/cancel"))
        .unwrap()
        .ok()
        .unwrap();
    stack.wait_task(task_b).unwrap();
    until("the end of the session", PATIENCE, || {
        Ok(connect(&b.source, &b.identity, task_b)
            .is_err()
            .then_some(()))
    })
    .unwrap();
}

#[test]
fn certificates_of_others_are_worth_nothing() {
    let (stack, [(host_a, task_a), _]) = two_tasks().unwrap();
    let a = check_in(&stack, host_a, MAC_A).unwrap();

    // A foreign authority that gives out the very same name.
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let foreign = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::default();
    let name = format!("foghorn://client/host/{host_a}/task/{task_a}");
    leaf.subject_alt_names
        .push(rcgen::SanType::URI(name.try_into().unwrap()));
    leaf.extended_key_usages
        .push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let forged = Identity::from_pem(&stack.rest.ca_pem, &leaf.pem(), &key.serialize_pem()).unwrap();
    let result = connect(&a.source, &forged, task_a);
    assert!(
        matches!(&result, Err(error) if !matches!(error, ConnectError::Refused { .. })),
        "a foreign certificate went as far as the session"
    );

    // And the other way round: the client does not talk to an agent of another authority, or of
    // another name.
    let chain = stack.rest.ca_pem.clone();
    let distrustful =
        Identity::from_pem(&foreign.pem(), &leaf.pem(), &key.serialize_pem()).unwrap();
    assert!(
        connect(&a.source, &distrustful, task_a).is_err(),
        "an agent of another authority was trusted: {chain}"
    );
    let elsewhere = Source {
        server_name: "other.node.foghorn.internal".to_owned(),
        ..a.source.clone()
    };
    assert!(
        connect(&elsewhere, &a.identity, task_a).is_err(),
        "an agent of another name was trusted"
    );
    connect(&a.source, &a.identity, task_a).unwrap();
}

#[test]
fn a_boot_token_is_good_once_for_one_host() {
    let (stack, [(host_a, _), (host_b, _)]) = two_tasks().unwrap();
    // With another machine's MAC.
    let (body, _) = check_in_body(&stack, host_a, MAC_B).unwrap();
    let answer = stack
        .rest
        .post("/foghorn/v1/clients/check-in", &body)
        .unwrap();
    assert_eq!(answer.status, 403, "{answer:?}");
    // Twice.
    let (body, _) = check_in_body(&stack, host_b, MAC_B).unwrap();
    assert_eq!(
        stack
            .rest
            .post("/foghorn/v1/clients/check-in", &body)
            .unwrap()
            .status,
        200
    );
    let mut replay = body.clone();
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    replay["csr_pem"] = json!(csr.pem().unwrap());
    let replay = stack
        .rest
        .post("/foghorn/v1/clients/check-in", &replay)
        .unwrap();
    assert_eq!(replay.status, 403, "another key: {replay:?}");
    // Whoever has the key may ask again for an answer that was lost.
    assert_eq!(
        stack
            .rest
            .post("/foghorn/v1/clients/check-in", &body)
            .unwrap()
            .status,
        200
    );
    // Made up.
    let mut made_up = body.clone();
    let text = made_up["boot_token"].as_str().unwrap();
    let authority = text.rsplit('.').next().unwrap().to_owned();
    made_up["boot_token"] = json!(format!("fhb1.{}.{authority}", "A".repeat(43)));
    assert_eq!(
        stack
            .rest
            .post("/foghorn/v1/clients/check-in", &made_up)
            .unwrap()
            .status,
        403
    );
    // For a host that has nothing to do there is none.
    let idle = stack.create_host("idle", "52:54:00:00:07:0e").unwrap();
    assert_eq!(
        stack
            .rest
            .post(&format!("/foghorn/v1/hosts/{idle}/boot-token"), &json!({}))
            .unwrap()
            .status,
        409
    );
    // And nobody without tokens gets one.
    let path = format!("/foghorn/v1/hosts/{host_a}/boot-token");
    let stranger = stack.rest.send_with(
        "POST",
        &path,
        Some(b"{}".to_vec()),
        &[("fog-api-token", "x"), ("fog-user-token", "y")],
    );
    assert_eq!(stranger.unwrap().status, 403);
}

#[test]
fn a_revoked_node_is_refused() {
    let mut stack = Stack::start(Engine::Embedded).unwrap();
    stack
        .rest
        .post("/foghorn/v1/nodes/1/revoke", &json!({}))
        .unwrap()
        .ok()
        .unwrap();
    let offline = |stack: &Stack| {
        until("the node to be offline", PATIENCE, || {
            let node = stack.rest.get("/fog/storagenode/1")?.ok()?;
            Ok((node["online"] == json!(false)).then_some(()))
        })
    };
    offline(&stack).unwrap();
    stack.agents[0].process.kill().unwrap();
    stack.restart_agent(0).unwrap();
    until("the agent's complaint", PATIENCE, || {
        Ok(stack.agents[0]
            .process
            .log()
            .to_lowercase()
            .contains("revoked")
            .then_some(()))
    })
    .unwrap();
    offline(&stack).unwrap();
}

#[test]
fn a_join_token_is_good_once() {
    let stack = Stack::controller_only(Engine::Embedded, &foghorn_tests::stack::Options::default())
        .unwrap();
    let token = stack
        .rest
        .post("/foghorn/v1/nodes/join-token", &json!({ "name": "north" }))
        .unwrap()
        .ok()
        .unwrap();
    let enrol = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default()
            .serialize_request(&key)
            .unwrap()
            .pem()
            .unwrap();
        let body = json!({ "join_token": token["token"], "csr_pem": csr });
        stack.rest.post("/foghorn/v1/agents/enrol", &body).unwrap()
    };
    assert_eq!(enrol().status, 200);
    assert_eq!(enrol().status, 403);
}

#[test]
fn revoking_a_node_takes_back_the_join_token_it_has_not_used() {
    let stack = Stack::controller_only(Engine::Embedded, &foghorn_tests::stack::Options::default())
        .unwrap();
    let token = stack
        .rest
        .post("/foghorn/v1/nodes/join-token", &json!({ "name": "ghost" }))
        .unwrap()
        .ok()
        .unwrap();
    stack
        .rest
        .post(
            &format!("/foghorn/v1/nodes/{}/revoke", token["node"]),
            &json!({}),
        )
        .unwrap()
        .ok()
        .unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .unwrap()
        .pem()
        .unwrap();
    let body = json!({ "join_token": token["token"], "csr_pem": csr });
    assert_eq!(
        stack
            .rest
            .post("/foghorn/v1/agents/enrol", &body)
            .unwrap()
            .status,
        403
    );
}
