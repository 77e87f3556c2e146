//! The host service against a gateway on loopback, by mutual TLS.

mod actions;
mod crashes;
mod enrolment;
mod gateway;
mod hosts;
mod machine;
mod renewal;
mod snapins;
mod work;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, UNIX_EPOCH};

use foghorn_client::host::{CheckedIn, ExtractError, FetchError, HostError};

use self::gateway::{Authority, Gateway};
use self::machine::{Machine, long_ago};

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
    of.iter().map(pair).collect()
}

#[test]
fn a_config_arrives_changes_and_goes() {
    let machine = Machine::new();
    let first = machine.document(&[("a.conf", "1", "a"), ("sub/dir/b", "1", "b")]);
    machine.gateway.set(&first, long_ago(0));
    let done = machine.check_in().unwrap();
    assert_eq!(
        done,
        CheckedIn::Extracted {
            steps: 4,
            wants_restart: false
        }
    );
    assert_eq!(
        machine.files(),
        pairs(&[("a.conf", "1"), ("sub/dir/b", "1")])
    );
    assert_eq!(machine.ran(), ["a there", "b there"]);
    let mode = |path: &str| {
        fs::metadata(machine.path(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("secrets/a.conf"), 0o640);
    assert_eq!(mode("secrets/sub"), mode("secrets"));
    let stored = machine.path("sota/config.encrypted");
    assert_eq!(
        fs::read_to_string(&stored).unwrap(),
        first,
        "as it was received"
    );
    let modified = fs::metadata(&stored).unwrap().modified().unwrap();
    assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(1_700_000_000));

    assert_eq!(machine.check_in().unwrap(), CheckedIn::Unchanged);
    let asked: Vec<_> = machine
        .gateway
        .requests()
        .into_iter()
        .map(|request| request.since)
        .collect();
    assert_eq!(
        asked,
        [None, Some("Tue, 14 Nov 2023 22:13:20 GMT".to_owned())]
    );

    let second = machine.document(&[("a.conf", "1", "a"), ("new", "2", "")]);
    machine.gateway.set(&second, long_ago(1));
    machine.check_in().unwrap();
    assert_eq!(machine.files(), pairs(&[("a.conf", "1"), ("new", "2")]));
    assert_eq!(
        machine.ran(),
        ["b gone"],
        "the handler that was stored with it"
    );
    assert!(!machine.path("secrets/sub").exists(), "empty folders go");

    machine.gateway.set("{}", long_ago(2));
    machine.check_in().unwrap();
    assert!(machine.files().is_empty());
    assert_eq!(machine.ran(), ["a gone"]);
}

#[test]
fn secrets_are_decrypted_and_one_that_cannot_be_changes_nothing() {
    let machine = Machine::new();
    let secret = machine.encrypted("hidden");
    let document = format!(
        r#"{{"secret":{{"Value":"{secret}"}},"plain":{{"value":"1","unencrypted":true}}}}"#
    );
    machine.gateway.set(&document, long_ago(0));
    machine.check_in().unwrap();
    let files = pairs(&[("plain", "1"), ("secret", "hidden")]);
    assert_eq!(machine.files(), files);
    let stored = fs::read_to_string(machine.path("sota/config.encrypted")).unwrap();
    assert!(stored.contains(&secret) && !stored.contains("hidden"));

    let broken = document
        .replace(r#""value":"1""#, r#""value":"2""#)
        .replace(&secret, &secret[4..]);
    machine.gateway.set(&broken, long_ago(1));
    let error = machine.check_in().unwrap_err();
    assert!(
        matches!(error, HostError::Extract(ExtractError::Open(_))),
        "{error:?}"
    );
    assert_eq!(machine.files(), files);
    assert_eq!(
        fs::read_to_string(machine.path("sota/config.encrypted")).unwrap(),
        stored
    );
}

#[test]
fn no_config_removes_nothing_and_failures_are_tried_again() {
    let machine = Machine::new();
    assert_eq!(machine.check_in().unwrap(), CheckedIn::NoConfig);
    machine
        .gateway
        .set(&machine.document(&[("a", "1", "")]), long_ago(0));
    machine.gateway.fail_with(&[503, 500]);
    machine.check_in().unwrap();
    let files = pairs(&[("a", "1")]);
    assert_eq!(machine.files(), files);
    machine.gateway.requests();

    machine.gateway.fail_with(&[204]);
    assert_eq!(machine.check_in().unwrap(), CheckedIn::NoConfig);
    machine.gateway.fail_with(&[403]);
    let error = machine.check_in().unwrap_err();
    let HostError::Fetch(FetchError::Status { status, reason, .. }) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (*status, reason.as_str()),
        (403, "because the test wants it")
    );
    assert_eq!(machine.gateway.requests().len(), 2, "a refusal is final");
    machine.gateway.fail_with(&[500, 500, 500]);
    assert!(machine.check_in().is_err());
    assert_eq!(
        machine.gateway.requests().len(),
        3,
        "the pauses are used up"
    );
    assert_eq!(machine.files(), files);
}

#[test]
fn strangers_are_refused_on_both_sides() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let unknown_machine = Machine::with(
        Gateway::start(&authority),
        &authority,
        &stranger.issue("machine"),
    );
    let false_gateway = Machine::with(
        Gateway::start(&stranger),
        &authority,
        &stranger.issue("machine"),
    );
    for machine in [unknown_machine, false_gateway] {
        machine
            .gateway
            .set(&machine.document(&[("a", "1", "")]), long_ago(0));
        let error = machine.check_in().unwrap_err();
        assert!(
            matches!(error, HostError::Fetch(FetchError::Send { .. })),
            "{error:?}"
        );
        assert_eq!(machine.gateway.requests().len(), 0);
        assert!(machine.files().is_empty());
    }
}

#[test]
fn a_key_of_another_certificate_is_said_and_not_used() {
    let authority = Authority::new();
    let (certificate, _) = authority.issue("machine");
    let (_, key) = authority.issue("machine");
    let machine = Machine::with(Gateway::start(&authority), &authority, &(certificate, key));
    let error = machine.check_in().unwrap_err();
    assert!(matches!(error, HostError::Gateway(_)), "{error:?}");
}

#[test]
fn at_boot_everything_is_extracted_without_a_network() {
    let machine = Machine::new();
    assert_eq!(machine.extract().unwrap(), CheckedIn::NoConfig);
    machine.gateway.set(
        &machine.document(&[("a", "1", "a"), ("b/c", "2", "")]),
        long_ago(0),
    );
    machine.check_in().unwrap();
    machine.ran();
    machine.gateway.requests();
    fs::remove_dir_all(machine.path("secrets")).unwrap();
    machine.extract().unwrap();
    assert_eq!(machine.files(), pairs(&[("a", "1"), ("b/c", "2")]));
    assert_eq!(machine.ran(), ["a there"]);
    assert_eq!(machine.gateway.requests().len(), 0);
    let again = machine.extract().unwrap();
    assert!(matches!(again, CheckedIn::Extracted { steps: 0, .. }));
}

#[test]
fn handlers_elsewhere_do_not_run_and_failures_stop_nothing() {
    let machine = Machine::new();
    machine.script("elsewhere", "touch \"$STORAGE_DIR/elsewhere-ran\"");
    machine.script("handlers/fails", "exit 1");
    let file = |handler: &str| {
        let path = machine.path(handler).display().to_string();
        serde_json::json!({"Value": "1", "Unencrypted": true, "OnChanged": [path]})
    };
    let mut document = serde_json::json!({"a": file("elsewhere"), "b": file("handlers/fails")});
    let noted = machine.note("c");
    document["c"] = serde_json::json!({"Value": "1", "Unencrypted": true, "OnChanged": noted});
    machine.gateway.set(&document.to_string(), long_ago(0));
    machine.check_in().unwrap();
    assert_eq!(
        machine.files(),
        pairs(&[("a", "1"), ("b", "1"), ("c", "1")])
    );
    assert_eq!(machine.ran(), ["c there"]);
    assert!(!machine.path("sota/elsewhere-ran").exists());
    assert!(machine.path("sota/config.encrypted").exists());
}

#[test]
fn a_handler_that_ends_with_123_ends_the_service_after_the_whole_extraction() {
    let machine = Machine::new();
    machine.script("handlers/restart", "exit 123");
    let restart = machine.path("handlers/restart").display().to_string();
    let mut document: serde_json::Value =
        serde_json::from_str(&machine.document(&[("b", "1", "b")])).unwrap();
    document["a"] = serde_json::json!({"Value": "1", "Unencrypted": true, "OnChanged": [restart]});
    machine.gateway.set(&document.to_string(), long_ago(0));
    let mut command = machine.program("run");
    let status = command.args(["--interval", "1"]).status().unwrap();
    assert_eq!(status.code(), Some(123));
    assert_eq!(machine.ran(), ["b there"]);
    assert!(
        machine.path("sota/config.encrypted").exists(),
        "it is not repeated after the restart"
    );
}
