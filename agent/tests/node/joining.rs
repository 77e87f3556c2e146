//! Nodes that say their own names: with a join token for many, or with the token of a service account.

use std::sync::atomic::Ordering;
use std::time::Duration;

use foghorn_agent::{Agent, Config, EnrolError, KnownAuthority, StartError};
use foghorn_proto::http::{EnrolRequest, JoinToken};
use tempfile::TempDir;

use crate::support::config;
use crate::support::controller::{Controller, node_name};
use crate::support::enrolment::OF_THE_POD;

/// An agent with a token for many nodes.
pub fn one_of_many(controller: &Controller, folder: &TempDir) -> Config {
    Config {
        join_token: Some(JoinToken {
            token: controller.join_token(),
            is_for_many: true,
        }),
        name: Some(node_name()),
        ..config(controller, folder)
    }
}

/// An agent in a pod.
fn in_a_pod(controller: &Controller, folder: &TempDir) -> Config {
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{OF_THE_POD}\n")).unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &controller.authority.pem).unwrap();
    Config {
        join_token: None,
        name: Some(node_name()),
        service_account_token_file: Some(file),
        authority: Some(KnownAuthority::File(authority)),
        ..config(controller, folder)
    }
}

fn requests(controller: &Controller) -> Vec<EnrolRequest> {
    controller.asked.requests.lock().unwrap().clone()
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    for in_pod in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let config = match in_pod {
            true => in_a_pod(&controller, &folder),
            false => one_of_many(&controller, &folder),
        };
        controller.asked.requests.lock().unwrap().clear();
        controller.asked.lost.store(2, Ordering::SeqCst);
        // The process ends before it has an answer, and is started again.
        let mut hasty = config.clone();
        hasty.timing.enrol_within = Duration::ZERO;
        let error = Agent::start(hasty).await.err().expect("no answer came");
        assert!(
            matches!(
                error,
                StartError::Enrol(EnrolError::Refused { status: 503, .. })
            ),
            "{error:?}"
        );
        let agent = Agent::start(config).await.unwrap();
        assert_eq!(*agent.node(), node_name());
        agent.shutdown().await;
        let asked = requests(&controller);
        assert_eq!(asked.len(), 3, "{in_pod}");
        for request in &asked {
            assert_eq!(key(&request.csr_pem), key(&asked[0].csr_pem));
            assert_eq!(request.service_account_token.is_some(), in_pod);
            assert_eq!(request.join_token.is_empty(), in_pod);
        }
        let left = folder.path().join("identity/next-key.pem");
        assert!(!left.exists(), "the key belongs to the identity now");
    }
}

/// The public key of a request.
fn key(csr_pem: &str) -> Vec<u8> {
    use x509_parser::prelude::FromDer as _;
    let (_, block) = x509_parser::pem::parse_x509_pem(csr_pem.as_bytes()).unwrap();
    let (_, request) =
        x509_parser::certification_request::X509CertificationRequest::from_der(&block.contents)
            .unwrap();
    let key = &request.certification_request_info.subject_pki;
    key.subject_public_key.data.to_vec()
}

#[tokio::test]
async fn a_token_for_one_node_is_sent_once() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    controller.asked.lost.store(1, Ordering::SeqCst);
    let error = Agent::start(config(&controller, &folder)).await.err();
    assert!(matches!(
        error,
        Some(StartError::Enrol(EnrolError::Refused { status: 503, .. }))
    ));
    assert_eq!(requests(&controller).len(), 1);
}

#[tokio::test]
async fn the_token_of_a_service_account_goes_to_nobody_else() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let stranger = Controller::start(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = in_a_pod(&controller, &folder);
    config.timing.enrol_within = Duration::ZERO;
    // The controller is another one than the authority says.
    config.controller = Some(stranger.url().parse().unwrap());
    let error = Agent::start(config.clone()).await.err();
    assert!(
        matches!(error, Some(StartError::Enrol(EnrolError::Ask { .. }))),
        "{error:?}"
    );
    config.authority = Some(KnownAuthority::Fingerprint(
        controller.join_token().ca_fingerprint,
    ));
    let error = Agent::start(config.clone()).await.err();
    assert!(
        matches!(error, Some(StartError::Enrol(EnrolError::Authority { .. }))),
        "{error:?}"
    );
    assert!(requests(&stranger).is_empty());
    config.authority = None;
    let error = Agent::start(config.clone()).await.err();
    assert!(matches!(error, Some(StartError::Joining(_))), "{error:?}");
    // By its fingerprint it is known as well.
    config.authority = Some(KnownAuthority::Fingerprint(
        controller.join_token().ca_fingerprint,
    ));
    config.controller = Some(controller.url().parse().unwrap());
    Agent::start(config).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_node_in_a_pod_keeps_its_identity_as_long_as_that_is_good() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        let agent = Agent::start(in_a_pod(&controller, &folder)).await.unwrap();
        agent.shutdown().await;
        requests(&controller).len()
    };
    assert_eq!(start().await, 1);
    assert_eq!(start().await, 1, "a restart asks nobody");
    let file = folder.path().join("identity/identity.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut expired: serde_json::Value = serde_json::from_str(&text).unwrap();
    expired["expires"] = 1.into();
    std::fs::write(&file, expired.to_string()).unwrap();
    assert_eq!(start().await, 2, "the cluster vouches for it again");
    let asked = requests(&controller);
    assert_ne!(key(&asked[0].csr_pem), key(&asked[1].csr_pem), "a new key");
}
