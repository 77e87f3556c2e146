//! Starting a controller: what a wrong setting must not cost, and what agents are told.

use std::path::Path;

use foghorn_controller::app::authority::{self, AuthorityError};
use foghorn_controller::config::{AuthorityConfig, StoreConfig};
use foghorn_controller::state::State;
use foghorn_controller::store::etcd::EtcdOptions;
use foghorn_controller::trust::{Keeping, KeySource, Trust};
use foghorn_controller::{Config, Controller};
use foghorn_types::StorageNodeId;
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine, Kind};
use crate::native::fleet::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn credentials_survive_a_first_start_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::local(folder.path());
    config.rest.listen = busy.local_addr().unwrap();
    assert!(
        Controller::start(config).await.is_err(),
        "two listeners shared a port"
    );

    // What the failed start had opened is let go of by its tasks, a moment after it returned.
    let controller = loop {
        match Controller::start(Config::local(folder.path())).await {
            Ok(controller) => break controller,
            Err(error) => {
                assert!(
                    std::error::Error::source(&error).is_some()
                        || error.to_string().contains("use"),
                    "{error}"
                )
            }
        }
        tokio::task::yield_now().await;
    };
    let first = controller.first_run().cloned();
    assert!(
        first.is_some(),
        "the failed start has used up the credentials"
    );
    controller.shutdown().await;
    let mut config = Config::local(folder.path());
    config.rest.plain_http = true;
    let again = Controller::start(config.clone()).await.unwrap();
    assert_eq!(
        again.first_run(),
        first.as_ref(),
        "credentials that nobody has used are shown again"
    );
    let first = first.unwrap();
    let url = format!("{}/fog/system/info", again.rest_url()).replace("https:", "http:");
    let status = tokio::task::spawn_blocking(move || {
        ureq::get(url)
            .header("fog-api-token", first.api_token)
            .header("fog-user-token", first.user_token)
            .call()
            .unwrap()
            .status()
    });
    assert_eq!(status.await.unwrap(), 200);
    again.shutdown().await;
    let last = Controller::start(config).await.unwrap();
    assert_eq!(last.first_run(), None, "they have been used");
    last.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_told_an_address_that_they_can_reach() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::local(folder.path());
    config.link.listen = "0.0.0.0:0".parse().unwrap();
    config.rest.names = vec!["images.example.org".to_owned()];
    let controller = Controller::start(config).await.unwrap();
    assert!(
        controller.link_address().starts_with("images.example.org:"),
        "{}",
        controller.link_address()
    );
    controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_has_one_certificate_authority_on_both_engines() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let cancel = CancellationToken::new();
        let (state, _follower) = State::start(engine.store(), cancel.clone()).await.unwrap();
        let folders = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = Keeping::Own(folders.0.path().to_owned());
        let other = Keeping::Own(folders.1.path().to_owned());
        let first = authority::open(&state, &one, false).await.unwrap();
        let again = authority::open(&state, &one, false).await.unwrap();
        assert_eq!(first.ca_fingerprint(), again.ca_fingerprint());

        let error = authority::open(&state, &other, false).await.err().unwrap();
        assert!(matches!(error, AuthorityError::Missing { .. }), "{error}");
        assert!(
            !Trust::exists(other.folder()),
            "a second authority was made although it is of no use"
        );
        let second = Trust::load_or_create(other.folder()).unwrap();
        let error = authority::open(&state, &other, false).await.err().unwrap();
        let told = error.to_string();
        assert!(
            told.contains(first.ca_fingerprint()) && told.contains(second.ca_fingerprint()),
            "{told}"
        );
        authority::open(&state, &one, false).await.unwrap();

        // By order, after a loss; then the first one is the stranger.
        authority::open(&state, &other, true).await.unwrap();
        let error = authority::open(&state, &one, false).await.err().unwrap();
        assert!(matches!(error, AuthorityError::Other { .. }), "{error}");
        cancel.cancel();
    }
}

async fn keeping(data_dir: &Path, key: &str) -> Keeping {
    let path = data_dir.join("store-key");
    std::fs::write(&path, key.repeat(32)).unwrap();
    Keeping::Store {
        key: KeySource::File(path).read().await.unwrap(),
        before: data_dir.join("ca"),
    }
}

/// Controllers that start side by side in empty data directories have the same authority.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_keeps_the_certificate_authority_on_both_engines() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let cancel = CancellationToken::new();
        let (state, _follower) = State::start(engine.store(), cancel.clone()).await.unwrap();
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let mut places = Vec::new();
        for folder in &folders {
            places.push(keeping(folder.path(), "k").await);
        }
        let opening = places
            .iter()
            .map(|place| authority::open(&state, place, false));
        let opened = futures_util::future::join_all(opening).await;
        let prints: Vec<_> = opened
            .into_iter()
            .map(|trust| trust.unwrap().ca_fingerprint().to_owned())
            .collect();
        assert!(prints.iter().all(|print| *print == prints[0]), "{prints:?}");
        assert!(
            !Trust::exists(&folders[0].path().join("ca")),
            "a key is on a disk"
        );

        let error = authority::open(&state, &keeping(folders[0].path(), "x").await, false).await;
        let told = error.err().unwrap().to_string();
        assert!(told.contains("another key"), "{told}");
        let own = Keeping::Own(folders[0].path().join("ca"));
        let error = authority::open(&state, &own, false).await.err().unwrap();
        assert!(matches!(error, AuthorityError::Missing { .. }), "{error}");

        // By order, after the key was lost.
        let anew = authority::open(&state, &places[0], true).await.unwrap();
        assert_ne!(anew.ca_fingerprint(), prints[0]);
        let store = engine.store();
        let kept = store.get("/foghorn/authority/v1").await.unwrap().unwrap();
        let claim = store.get("/foghorn/v1/setting/authority").await;
        assert_eq!(
            kept.modified,
            claim.unwrap().unwrap().modified,
            "a crash between the two would leave a store without an authority"
        );
        let again = authority::open(&state, &places[1], false).await.unwrap();
        assert_eq!(anew.ca_fingerprint(), again.ca_fingerprint());
        cancel.cancel();
    }
}

/// A controller with a folder becomes one of several.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_moves_from_its_folder_into_the_store() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let cancel = CancellationToken::new();
        let (state, _follower) = State::start(engine.store(), cancel.clone()).await.unwrap();
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = Keeping::Own(first.path().join("ca"));
        let before = authority::open(&state, &own, false).await.unwrap();
        // One without the folder cannot be the first.
        let error = authority::open(&state, &keeping(second.path(), "k").await, false).await;
        assert!(matches!(error, Err(AuthorityError::Missing { .. })));
        for folder in [&first, &second] {
            let kept = keeping(folder.path(), "k").await;
            let after = authority::open(&state, &kept, false).await.unwrap();
            assert_eq!(before.ca_fingerprint(), after.ca_fingerprint());
        }
        cancel.cancel();
    }
}

/// As cert-manager makes it, in a mounted Secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_given_authority_is_used_and_never_written() {
    let engine = Engine::start(BOTH[0]).await;
    let cancel = CancellationToken::new();
    let (state, _follower) = State::start(engine.store(), cancel.clone()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let given = Keeping::Given(folder.path().to_owned());
    let error = authority::open(&state, &given, false).await.err().unwrap();
    assert!(error.to_string().contains("tls.crt"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let made = Trust::generate().unwrap();
    let pem = made.to_pem();
    std::fs::write(folder.path().join("tls.crt"), &pem.certificate).unwrap();
    std::fs::write(folder.path().join("tls.key"), &pem.key).unwrap();
    let opened = authority::open(&state, &given, false).await.unwrap();
    assert_eq!(opened.ca_fingerprint(), made.ca_fingerprint());
    cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_credentials_are_made_again_on_the_machine_itself() {
    let fleet = Fleet::new().await;
    let (status, _) = fleet.api("GET", "/fog/user/current", None).await;
    let config = fleet.config.clone();
    assert!(
        foghorn_controller::reset_admin(&config, "fog")
            .await
            .is_err(),
        "the store is in use"
    );
    let fleet = fleet
        .while_stopped(async || {
            let made = foghorn_controller::reset_admin(&config, "FOG")
                .await
                .unwrap();
            assert_eq!(made.user, "FOG");
            made
        })
        .await;
    let (again, answer) = fleet.api("GET", "/fog/user/current", None).await;
    assert_eq!(again, status, "{answer}");
    let users = fleet.good("GET", "/foghorn/v1/users", None).await;
    let list = users["users"].as_array().unwrap();
    assert_eq!(list.len(), 1, "the user was reset, not made: {users}");
    let log = fleet.good("GET", "/foghorn/v1/audit", None).await;
    let entries = log["entries"].as_array().unwrap();
    assert!(
        entries.iter().any(|entry| entry["name"] == "reset-admin"),
        "{log}"
    );
    fleet.stop().await;
}

/// As after a power failure, when all machines of a site start at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_waits_for_an_etcd_that_is_being_started() {
    let mut engine = Engine::start(Kind::Etcd).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::local(folder.path());
    config.store = StoreConfig::Etcd(EtcdOptions {
        endpoints: vec![engine.endpoint()],
        tls: None,
        login: None,
    });
    engine.stop_etcd();
    let starting = tokio::spawn(Controller::start(config));
    engine.start_etcd().await;
    starting.await.unwrap().unwrap().shutdown().await;
}

/// Without its store a controller would be an empty site that nobody has ordered.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::local(folder.path());
    let controller = Controller::start(config.clone()).await.unwrap();
    controller.shutdown().await;
    let files = std::fs::read_dir(folder.path()).unwrap();
    let is_store = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "redb");
    let mut paths = files.map(|file| file.unwrap().path());
    let store = paths.find(is_store).expect("a store");
    std::fs::write(&store, "").unwrap();
    for what in ["empty", "missing"] {
        let refused = Controller::start(config.clone()).await.err().unwrap();
        assert!(refused.to_string().contains("backup"), "{what}: {refused}");
        let _missing_the_second_time = std::fs::remove_file(&store);
    }
}

/// With an authority that others keep, its backups show that there was a store.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_not_made_anew_beside_an_authority_that_is_given() {
    let (folder, given) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Trust::load_or_create(given.path()).unwrap();
    let mut config = Config::local(folder.path());
    config.authority = AuthorityConfig::Given(given.path().to_owned());
    config.backup.every = None;
    let backup = folder.path().join("backups/2026-11-29T030000Z-asked");
    std::fs::create_dir_all(&backup).unwrap();
    let controller = Controller::start(config.clone()).await.unwrap();
    controller.shutdown().await;
    let store = folder.path().join("store.redb");
    std::fs::rename(&store, backup.join("store.redb")).unwrap();
    let refused = Controller::start(config.clone()).await.err().unwrap();
    let said = refused.to_string();
    assert!(said.contains("2026-11-29T030000Z-asked"), "{said}");
    assert!(!store.exists());
    std::fs::rename(backup.join("store.redb"), &store).unwrap();
    let controller = Controller::start(config).await.unwrap();
    controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_enrolment_a_backup_does_not_know_may_join_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::local(folder.path());
    let controller = Controller::start(config).await.unwrap();
    // The first backup is made while the node of `foghorn serve` is not enrolled yet.
    let node = |number| StorageNodeId::new(number).unwrap();
    let token = controller.rejoin_token_for(node(1)).await.unwrap();
    assert!(token.is_some(), "it could never be used again");
    let token = controller.rejoin_token_for(node(2)).await.unwrap();
    assert!(token.is_none(), "a deleted node came back");
    controller.shutdown().await;
}
