//! The client for download, as a machine without one gets it and checks it: with curl, sha256sum and
//! openssl, as the documentation says.

use std::path::Path;
use std::process::{Command, Output};

use foghorn_controller::Config;

use crate::native::fleet::Fleet;

const NAME: &str = "foghorn-client-x86_64";

/// A program in the folder, in a thread of its own.
async fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    let started = tokio::task::spawn_blocking(move || command.output());
    started.await.unwrap().unwrap()
}

async fn good(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = run(folder, program, arguments).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_downloaded_and_verified_without_credentials() {
    let clients = tempfile::tempdir().unwrap();
    let program: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(clients.path().join(NAME), &program).unwrap();
    let dir = Some(clients.path().to_owned());
    let fleet = Fleet::with(|config: &mut Config| config.clients_dir = dir).await;
    let here = tempfile::tempdir().unwrap();
    let folder = here.path();
    let at = |file: &str| format!("{}/client/{file}", fleet.controller.rest_url());

    good(folder, "curl", &["-fskO", &at("ca.pem")]).await;
    let authority = std::fs::read_to_string(folder.join("ca.pem")).unwrap();
    assert_eq!(authority, fleet.controller.ca_pem());
    for end in ["", ".sha256", ".sig"] {
        let url = at(&format!("{NAME}{end}"));
        good(folder, "curl", &["-fsO", "--cacert", "ca.pem", &url]).await;
    }
    assert_eq!(std::fs::read(folder.join(NAME)).unwrap(), program);
    let (sum, signature) = (format!("{NAME}.sha256"), format!("{NAME}.sig"));
    good(folder, "sha256sum", &["-c", &sum]).await;
    let key = good(
        folder,
        "openssl",
        &["x509", "-in", "ca.pem", "-noout", "-pubkey"],
    )
    .await;
    std::fs::write(folder.join("key"), key).unwrap();
    let verify = [
        "dgst",
        "-sha256",
        "-verify",
        "key",
        "-signature",
        &signature,
        &sum,
    ];
    good(folder, "openssl", &verify).await;
    // The check can fail.
    std::fs::write(folder.join(&sum), "something else").unwrap();
    assert!(!run(folder, "openssl", &verify).await.status.success());

    // Who has it does not get it again.
    let tag = "etag.txt";
    let url = at(NAME);
    let ask = [
        "-fs",
        "--cacert",
        "ca.pem",
        "-o",
        "again",
        "-w",
        "%{http_code}",
    ];
    let save = [&ask[..], &["--etag-save", tag, &url]].concat();
    assert_eq!(good(folder, "curl", &save).await, "200");
    let compare = [&ask[..], &["--etag-compare", tag, &url]].concat();
    assert_eq!(good(folder, "curl", &compare).await, "304");
    fleet.stop().await;
}

#[tokio::test]
async fn without_a_client_the_answer_says_what_to_install() {
    let fleet = Fleet::new().await;
    for file in [
        NAME,
        "foghorn-client-x86_64.sig",
        "foghorn-client-x86_64.sha256",
    ] {
        let (status, answer) = fleet
            .anonymous("GET", &format!("/client/{file}"), None)
            .await;
        assert_eq!(status, 404, "{answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains("the package foghorn-client"), "{error}");
    }
    for file in ["ca.key", "foghorn-client-..%2Fca", "store.redb"] {
        let (status, answer) = fleet
            .anonymous("GET", &format!("/client/{file}"), None)
            .await;
        assert_eq!(status, 404, "{file}: {answer}");
    }
    fleet.stop().await;
}
