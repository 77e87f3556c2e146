use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use foghorn_agent::{Agent, EnrolError, StartError};
use foghorn_proto::link::agent_message::Message;

use crate::support::controller::Controller;
use crate::support::enrolment::ANOTHER;
use crate::support::{Node, config, eventually};

async fn start_error(adjust: impl FnOnce(&mut foghorn_agent::Config)) -> StartError {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&controller, &folder);
    adjust(&mut config);
    let error = Agent::start(config).await.err().expect("the agent started");
    assert!(
        !folder.path().join("identity/identity.json").exists(),
        "a refused node keeps no identity"
    );
    error
}

#[tokio::test]
async fn a_node_enrols_once_and_keeps_its_key_to_itself() {
    let node = Node::start().await;
    assert_eq!(node.agent.node().as_str(), "north-1");
    let file = node.folder.path().join("identity/identity.json");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let before = std::fs::read_to_string(&file).unwrap();
    // The token is used up in spirit: a restart must not need it.
    let node = node.restart().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    let hello = node
        .controller
        .wait_for("a hello", |message| match message {
            Message::Hello(hello) => Some(hello.clone()),
            _ => None,
        });
    let hello = hello.await;
    assert!(hello.software.starts_with("foghorn-agent "));
    assert!(hello.quic_address.starts_with("127.0.0.1:"));
    node.agent.shutdown().await;
}

#[tokio::test]
async fn a_controller_that_is_not_the_tokens_gets_no_token() {
    let error = start_error(|config| {
        config.join_token.as_mut().unwrap().token.ca_fingerprint = "somebody-elses".into();
    });
    assert!(matches!(
        error.await,
        StartError::Enrol(EnrolError::Authority { .. })
    ));
}

#[tokio::test]
async fn a_used_token_is_refused_with_the_controllers_reason() {
    let error =
        start_error(|config| config.join_token.as_mut().unwrap().token.secret = "second".into())
            .await;
    let StartError::Enrol(EnrolError::Refused {
        status: 403,
        reason,
        ..
    }) = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(reason, "this token was used already");
}

#[tokio::test]
async fn a_node_without_identity_or_token_says_what_it_needs() {
    assert!(matches!(
        start_error(|config| config.join_token = None).await,
        StartError::NotEnrolled
    ));
}

#[tokio::test]
async fn a_new_token_gives_a_node_a_new_identity_and_a_bad_one_takes_none() {
    let Node {
        agent,
        controller,
        folder,
    } = Node::start().await;
    agent.shutdown().await;
    let file = folder.path().join("identity/identity.json");
    let read = || std::fs::read_to_string(&file).unwrap();
    let start_with = async |secret: &str| {
        let mut config = config(&controller, &folder);
        config.join_token.as_mut().unwrap().token.secret = secret.to_owned();
        let agent = Agent::start(config).await?;
        agent.shutdown().await;
        Ok::<_, StartError>(())
    };
    let first = read();
    start_with(ANOTHER).await.unwrap();
    let second = read();
    assert_ne!(
        first, second,
        "whoever gives a new token wants a new identity"
    );
    start_with(ANOTHER).await.unwrap();
    assert_eq!(read(), second, "a restart with the same token uses it once");
    start_with("refused").await.unwrap();
    assert_eq!(
        read(),
        second,
        "a token that does not work stops no node that is well"
    );

    let mut expired: serde_json::Value = serde_json::from_str(&second).unwrap();
    expired["expires"] = 1.into();
    std::fs::write(&file, expired.to_string()).unwrap();
    let error = start_with("refused again").await.unwrap_err();
    assert!(
        matches!(error, StartError::Enrol(EnrolError::Refused { .. })),
        "{error:?}"
    );
    start_with(&format!("{ANOTHER}-2")).await.unwrap();
    assert_ne!(
        read(),
        expired.to_string(),
        "an expired node joins again by a token alone"
    );
}

#[tokio::test]
async fn a_token_in_a_file_is_read_anew_for_every_start() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut config = config(&controller, &folder);
    let good = config.join_token.take().unwrap();
    config.join_token_file = Some(file.clone());
    let error = Agent::start(config.clone()).await.err();
    assert!(matches!(error, Some(StartError::Joining(_))), "{error:?}");
    let mut used = good.clone();
    used.token.secret = "second".into();
    std::fs::write(&file, used.to_text()).unwrap();
    let error = Agent::start(config.clone()).await.err();
    assert!(
        matches!(
            error,
            Some(StartError::Enrol(EnrolError::Refused { status: 403, .. }))
        ),
        "{error:?}"
    );
    std::fs::write(&file, format!("{}\n", good.to_text())).unwrap();
    let agent = Agent::start(config.clone()).await.unwrap();
    agent.shutdown().await;
    // A node that has joined does not need it any more.
    std::fs::remove_file(&file).unwrap();
    let agent = Agent::start(config).await.unwrap();
    agent.shutdown().await;
}

#[tokio::test]
async fn a_certificate_renews_itself_without_disturbing_a_transfer() {
    use crate::support::client::{connect_as, fetch_chunks, start_deploy};
    use crate::support::image::Image;

    let controller = Controller::start(Duration::from_secs(6)).await;
    let node = Node::start_with(controller, |_| {}).await;
    let image = Image::new(0..4);
    crate::support::client::capture_image(&node, 1, &image).await;
    let (connection, issued) = start_deploy(&node, 2, image.manifest).await;
    fetch_chunks(&connection, &image.ids()).await.unwrap();
    let before =
        std::fs::read_to_string(node.folder.path().join("identity/identity.json")).unwrap();

    // Two renewals: the second shows that a renewed certificate can renew.
    node.controller.wait_for_links(3).await;
    let shown = node.controller.shown_certificates();
    assert!(
        shown[0] != shown[1] && shown[1] != shown[2],
        "each link shows its own certificate"
    );
    let after = std::fs::read_to_string(node.folder.path().join("identity/identity.json")).unwrap();
    let key =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["key_pem"].clone();
    assert_ne!(key(&before), key(&after), "a renewal makes a new key");

    fetch_chunks(&connection, &image.ids())
        .await
        .expect("the old connection lives on");
    // By now the first certificate has expired; a new client must see a later one.
    eventually(
        "the listener to show a certificate that is valid",
        async || connect_as(&node, &issued, 2).await.ok().map(drop),
    )
    .await;
    node.agent.shutdown().await;
}
