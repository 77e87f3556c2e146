//! The whole state as a file: from the embedded store to etcd and back, and what is refused.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use data_encoding::BASE64;
use foghorn_controller::config::{AuthorityConfig, StoreConfig};
use foghorn_controller::state::imports::{IMPORTED, MARKER};
use foghorn_controller::state_file::{FileError, ImportError};
use foghorn_controller::store::etcd::{EtcdOptions, EtcdStore};
use foghorn_controller::store::{Op, Store, Txn};
use foghorn_controller::trust::KeySource;
use foghorn_controller::{Config, Controller, StateFileError, export_state, import_state};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::engine::{Engine, Kind, open_embedded};
use crate::native::fleet::{Fleet, call};
use crate::store_conformance::single_calls::{put, write};

const PASSPHRASE: &str = "correct horse battery";
/// What a transaction that was given up before an import finds in its way.
const FENCE: &str = "/foghorn/fence/v1/0123456789abcdef0123456789abcdef";

/// Everything that is stored, but what stays with a store.
async fn everything(store: &dyn Store) -> BTreeMap<String, Vec<u8>> {
    let entries = store.list("/foghorn/").await.unwrap().entries;
    let stays = [
        MARKER,
        IMPORTED,
        "/foghorn/probe/v1",
        "/foghorn/authority/v1",
    ];
    entries
        .into_iter()
        .filter(|entry| {
            let key = entry.key.as_str();
            let prefixes = ["/foghorn/v1/controller/", "/foghorn/fence/"];
            !stays.contains(&key) && !prefixes.iter().any(|prefix| key.starts_with(prefix))
        })
        .map(|entry| (entry.key, entry.value.to_vec()))
        .collect()
}

fn embedded_file(config: &Config) -> PathBuf {
    config.data_dir.join("store.redb")
}

async fn everything_embedded(config: &Config) -> BTreeMap<String, Vec<u8>> {
    everything(&*open_embedded(&embedded_file(config)).await).await
}

/// Something of every kind. Returns the headers of the operator.
async fn furnish(fleet: &Fleet) {
    let image = fleet.image("win11").await;
    for number in 1..=20_u8 {
        let mac = format!("52:54:00:00:99:{number:02x}");
        fleet.host(&format!("pc{number}"), &mac, image).await;
    }
    fleet.content(image).await;
    fleet.joined("north").await;
    fleet.join_token("south").await;
    let target = json!({"name": "pager", "by": "webhook", "url": "https://example.org/s3cret"});
    fleet
        .good("POST", "/foghorn/v1/notifications", Some(target))
        .await;
}

/// Empty, with a data directory of its own.
fn new_config(dir: &Path, name: &str, store: StoreConfig) -> Config {
    let mut config = Config::local(dir.join(name));
    config.store = store;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_box_grows_into_etcd_and_back_with_every_key_its_tokens_and_its_secrets() {
    let fleet = Fleet::new().await;
    furnish(&fleet).await;
    let (old, operator) = (fleet.config.clone(), fleet.operator().clone());
    let fingerprint = fleet.controller.ca_fingerprint().to_owned();
    let dir = fleet.stop_and_keep().await;
    let files = TempDir::new().unwrap();
    let first = files.path().join("first.foghorn");
    let header = export_state(&old, &first, PASSPHRASE.into(), true)
        .await
        .unwrap();
    assert_eq!(
        (&header.authority, header.has_authority),
        (&fingerprint, true)
    );
    let before = everything_embedded(&old).await;
    for wanted in [
        "/foghorn/audit/v1/",
        "/foghorn/v1/obj/host/",
        "/foghorn/v1/content/",
        "/foghorn/v1/node/",
        "/foghorn/v1/token/",
        "/foghorn/v1/notify-target/",
    ] {
        assert!(before.keys().any(|key| key.starts_with(wanted)), "{wanted}");
    }
    let raw = std::fs::read(&first).unwrap();
    for secret in ["pc7", "s3cret", "PRIVATE KEY", operator[1].1.as_str()] {
        assert!(!contains(&raw, secret.as_bytes()), "{secret} can be read");
    }

    // Into a cluster with TLS and users.
    let cluster = Cluster::start().await;
    let etcd = EtcdStore::connect(&cluster.options()).await.unwrap();
    write(&etcd, [put(FENCE, "")]).await;
    let new = new_config(files.path(), "new", StoreConfig::Etcd(cluster.options()));
    let imported = import_state(&new, &first, PASSPHRASE.into(), false)
        .await
        .unwrap();
    assert_eq!(imported.entries, before.len() as u64);
    assert!(imported.new_authority);
    let fence = etcd.get(FENCE).await.unwrap();
    assert!(fence.is_some(), "a fence stays shut");
    assert_eq!(everything(&etcd).await, before, "every key and value");
    let again = import_state(&new, &first, PASSPHRASE.into(), false).await;
    assert!(
        matches!(
            again,
            Err(StateFileError::Import(ImportError::NotEmpty { .. }))
        ),
        "{again:?}"
    );
    assert_eq!(everything(&etcd).await, before, "nothing was changed");

    let controller = Controller::start(new.clone()).await.unwrap();
    assert_eq!(controller.ca_fingerprint(), fingerprint);
    assert!(controller.first_run().is_none());
    let ask = |path: &'static str| {
        let (ca, url) = (controller.ca_pem().to_owned(), controller.rest_url());
        let operator = operator.clone();
        async move { call(&ca, &url, "GET", path, &operator, None).await }
    };
    let (status, hosts) = ask("/fog/host").await;
    assert_eq!((status, &hosts["count"]), (200, &json!(20)));
    let (status, targets) = ask("/foghorn/v1/notifications").await;
    assert_eq!(status, 200, "{targets}");
    assert!(targets.to_string().contains("pager"), "{targets}");
    controller.shutdown().await;

    let second = files.path().join("second.foghorn");
    export_state(&new, &second, PASSPHRASE.into(), false)
        .await
        .unwrap();
    let in_etcd = everything(&etcd).await;
    let third = new_config(files.path(), "third", StoreConfig::Embedded);
    let homeless = import_state(&third, &second, PASSPHRASE.into(), false).await;
    assert!(
        matches!(
            homeless,
            Err(StateFileError::Import(ImportError::OtherAuthority { .. }))
        ),
        "{homeless:?}"
    );
    let ca = third.data_dir.join("ca");
    std::fs::create_dir_all(&ca).unwrap();
    for name in ["ca.pem", "ca.key"] {
        std::fs::copy(new.data_dir.join("ca").join(name), ca.join(name)).unwrap();
    }
    let imported = import_state(&third, &second, PASSPHRASE.into(), false)
        .await
        .unwrap();
    assert!(!imported.new_authority);
    let entries = in_etcd.len() as u64;
    assert_eq!(imported.entries, entries, "fences do not travel");
    assert_eq!(
        everything_embedded(&third).await,
        in_etcd,
        "every key and value"
    );
    Controller::start(third).await.unwrap().shutdown().await;
    drop(dir);
}

/// Into a store that keeps the authority, and out of it into a folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_a_store_keeps_travels_in_the_file_only() {
    let files = TempDir::new().unwrap();
    let old = new_config(files.path(), "old", StoreConfig::Embedded);
    let controller = Controller::start(old.clone()).await.unwrap();
    let fingerprint = controller.ca_fingerprint().to_owned();
    controller.shutdown().await;
    let first = files.path().join("first.foghorn");
    export_state(&old, &first, PASSPHRASE.into(), true)
        .await
        .unwrap();

    let engine = Engine::start(Kind::Etcd).await;
    let etcd = EtcdOptions {
        endpoints: vec![engine.endpoint()],
        tls: None,
        login: None,
    };
    let mut new = new_config(files.path(), "new", StoreConfig::Etcd(etcd));
    let key = files.path().join("store-key");
    std::fs::write(&key, "k".repeat(40)).unwrap();
    new.authority = AuthorityConfig::Store(KeySource::File(key));
    let imported = import_state(&new, &first, PASSPHRASE.into(), false).await;
    assert!(imported.unwrap().new_authority);
    assert!(!new.data_dir.join("ca").exists(), "a key is on a disk");
    let controller = Controller::start(new.clone()).await.unwrap();
    assert_eq!(controller.ca_fingerprint(), fingerprint);
    controller.shutdown().await;

    let second = files.path().join("second.foghorn");
    export_state(&new, &second, PASSPHRASE.into(), true)
        .await
        .unwrap();
    let third = new_config(files.path(), "third", StoreConfig::Embedded);
    import_state(&third, &second, PASSPHRASE.into(), false)
        .await
        .unwrap();
    let kept = everything_embedded(&third).await;
    assert!(
        kept.keys().all(|key| !key.contains("authority/v1")),
        "{kept:?}"
    );
    let controller = Controller::start(third).await.unwrap();
    assert_eq!(controller.ca_fingerprint(), fingerprint);
    controller.shutdown().await;
}

/// As the program says what to do about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_takes_an_authority_that_is_not_in_the_file_from_a_folder_that_was_copied() {
    let files = TempDir::new().unwrap();
    let old = new_config(files.path(), "old", StoreConfig::Embedded);
    let controller = Controller::start(old.clone()).await.unwrap();
    let fingerprint = controller.ca_fingerprint().to_owned();
    controller.shutdown().await;
    let file = files.path().join("without.foghorn");
    export_state(&old, &file, PASSPHRASE.into(), false)
        .await
        .unwrap();

    let engine = Engine::start(Kind::Etcd).await;
    let etcd = EtcdOptions {
        endpoints: vec![engine.endpoint()],
        tls: None,
        login: None,
    };
    let mut new = new_config(files.path(), "new", StoreConfig::Etcd(etcd));
    let key = files.path().join("store-key");
    std::fs::write(&key, "k".repeat(40)).unwrap();
    new.authority = AuthorityConfig::Store(KeySource::File(key));
    let refused = import_state(&new, &file, PASSPHRASE.into(), false).await;
    let refused = refused.err().unwrap();
    assert!(refused.todo().unwrap().contains("ca/"), "{refused}");
    let copied = new.data_dir.join("ca");
    std::fs::create_dir(&copied).unwrap();
    for name in ["ca.pem", "ca.key"] {
        std::fs::copy(old.data_dir.join("ca").join(name), copied.join(name)).unwrap();
    }
    import_state(&new, &file, PASSPHRASE.into(), false)
        .await
        .unwrap();
    // From now on it is in the store.
    std::fs::remove_dir_all(&copied).unwrap();
    let controller = Controller::start(new).await.unwrap();
    assert_eq!(controller.ca_fingerprint(), fingerprint);
    controller.shutdown().await;
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// A request with a body of bytes, and the answer as bytes.
async fn send(
    fleet: &Fleet,
    path: &str,
    headers: &[(&str, String)],
    body: Vec<u8>,
) -> (u16, Vec<u8>) {
    let url = format!("{}{path}", fleet.controller.rest_url());
    let ca = fleet.controller.ca_pem().to_owned();
    let mut request = ureq::http::Request::post(url);
    for (name, value) in fleet.operator() {
        request = request.header(name, value);
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    tokio::task::spawn_blocking(move || {
        let root = ureq::tls::Certificate::from_pem(ca.as_bytes()).unwrap();
        let roots = ureq::tls::RootCerts::new_with_certs(&[root]);
        let config = ureq::config::Config::builder()
            .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let mut response = agent.run(request.body(body).unwrap()).unwrap();
        let mut bytes = Vec::new();
        response
            .body_mut()
            .as_reader()
            .read_to_end(&mut bytes)
            .unwrap();
        (response.status().as_u16(), bytes)
    })
    .await
    .unwrap()
}

async fn import(fleet: &Fleet, passphrase: &str, query: &str, body: &[u8]) -> (u16, Value) {
    let passphrase = BASE64.encode(passphrase.as_bytes());
    let headers = [("foghorn-passphrase", passphrase)];
    let path = format!("/foghorn/v1/state/import{query}");
    let (status, answer) = send(fleet, &path, &headers, body.to_vec()).await;
    (
        status,
        serde_json::from_slice(&answer).unwrap_or(Value::Null),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rest_a_new_controller_becomes_the_old_one_and_bad_files_change_nothing() {
    let old = Fleet::new().await;
    furnish(&old).await;
    let json = [("content-type", "application/json".to_owned())];
    let wish = |passphrase: &str| json!({ "passphrase": passphrase }).to_string().into_bytes();
    let (status, answer) = send(&old, "/foghorn/v1/state/export", &json, wish("short")).await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&answer));
    let (status, file) = send(&old, "/foghorn/v1/state/export", &json, wish(PASSPHRASE)).await;
    assert_eq!(status, 200);
    let first_line = file.split(|byte| *byte == b'\n').next().unwrap();
    let header: Value = serde_json::from_slice(first_line).unwrap();
    assert_eq!(header["foghorn_state"], 1, "{header}");
    assert_eq!(header["authority"], old.controller.ca_fingerprint());

    let noted = |log: &Value, what: &str| {
        let entries = log["entries"].as_array().into_iter().flatten();
        let changes = entries.filter_map(|entry| entry.pointer("/changes/0"));
        let mut changes = changes.filter(|change| change["class"] == "state");
        changes.any(|change| change["what"] == what)
    };
    let log = old.good("GET", "/foghorn/v1/audit", None).await;
    assert!(noted(&log, "exported"), "{log}");

    let new = Fleet::new().await;
    let store = new.controller.ctx().state.store().clone();
    let before = everything(&*store).await;
    let flipped = |at: usize| {
        let mut file = file.clone();
        file[at] ^= 1;
        file
    };
    let other_version = [br#"{"foghorn_state":99}"#.as_slice(), b"\n"].concat();
    let bad: [(&str, Vec<u8>, &str); 8] = [
        (
            "wrong horse battery",
            file.clone(),
            "the passphrase is wrong",
        ),
        (
            PASSPHRASE,
            file[..file.len() - 1].to_vec(),
            "cut off or damaged",
        ),
        (
            PASSPHRASE,
            file[..file.len() / 2].to_vec(),
            "cut off or damaged",
        ),
        (
            PASSPHRASE,
            flipped(first_line.len() + 100),
            "cut off or damaged",
        ),
        (PASSPHRASE, flipped(file.len() - 80), "cut off or damaged"),
        (PASSPHRASE, flipped(40), "cut off or damaged"),
        (PASSPHRASE, other_version, "format 99"),
        (PASSPHRASE, b"hello\n".to_vec(), "not a state file"),
    ];
    for (passphrase, bytes, why) in bad {
        let (status, answer) = import(&new, passphrase, "?replace=true", &bytes).await;
        assert_eq!(status, 400, "{why}: {answer}");
        assert!(answer.to_string().contains(why), "{why}: {answer}");
    }
    // What a controller writes by itself: the time that it saw, and that the first tokens were used.
    let imported = |mut all: BTreeMap<String, Vec<u8>>| {
        all.retain(|key, _| !key.ends_with("/setting/clock") && !key.ends_with("/first-run"));
        all
    };
    let (before, after) = (imported(before), imported(everything(&*store).await));
    assert_eq!(after, before, "nothing was changed");
    let (status, answer) = import(&old, PASSPHRASE, "", &file).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer.to_string().contains("not empty"), "{answer}");

    let (status, answer) = import(&new, PASSPHRASE, "", &file).await;
    assert_eq!(
        (status, &answer["new_authority"]),
        (200, &json!(true)),
        "{answer}"
    );
    let wait = tokio::time::timeout(crate::engine::PATIENCE, new.controller.replaced());
    wait.await.expect("the controller notices");
    let (status, answer) = new.api("GET", "/fog/host", None).await;
    assert_eq!(
        status, 503,
        "what is in memory is of another state: {answer}"
    );
    drop(store);
    let new = new.restarted().await;
    assert_eq!(
        new.controller.ca_fingerprint(),
        old.controller.ca_fingerprint()
    );
    let (ca, url) = (new.controller.ca_pem(), new.controller.rest_url());
    let (status, hosts) = call(ca, &url, "GET", "/fog/host", old.operator(), None).await;
    assert_eq!((status, &hosts["count"]), (200, &json!(20)), "{hosts}");
    let audit = "/foghorn/v1/audit";
    let (_, log) = call(ca, &url, "GET", audit, old.operator(), None).await;
    assert!(noted(&log, "imported"), "{log}");
    // Ids go on where they were.
    let host = json!({"name": "pc21", "macs": ["52:54:00:00:99:30"]});
    let create = "/fog/host/create";
    let (status, made) = call(ca, &url, "POST", create, old.operator(), Some(host)).await;
    assert_eq!(status, 200, "{made}");
    new.stop().await;
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_half_an_import_is_used_by_nobody_until_it_is_imported_again() {
    for kind in [Kind::Embedded, Kind::Etcd] {
        let old = Fleet::new().await;
        furnish(&old).await;
        let config = old.config.clone();
        let dir = old.stop_and_keep().await;
        let files = TempDir::new().unwrap();
        let file = files.path().join("state");
        export_state(&config, &file, PASSPHRASE.into(), true)
            .await
            .unwrap();
        let wanted = everything_embedded(&config).await;

        let engine = Engine::start(kind).await;
        let mut broken = Config::local(files.path().join("data"));
        let store: Arc<dyn Store> = match kind {
            Kind::Etcd => {
                let options = EtcdOptions::plain([engine.endpoint()]);
                broken.store = StoreConfig::Etcd(options);
                engine.store()
            }
            Kind::Embedded => open_embedded(&embedded_file(&broken)).await,
        };
        // What a crash in the middle leaves.
        write(
            &*store,
            [put(MARKER, r#"{"started":1,"revision":1,"made":1}"#)],
        )
        .await;
        write(&*store, [put("/foghorn/v1/obj/host/0000000001", "half")]).await;
        drop(store);
        let refused = Controller::start(broken.clone())
            .await
            .err()
            .expect("half a state");
        let text = foghorn_types::chain(&refused).to_string();
        assert!(text.contains("import again"), "{kind:?}: {text}");
        if kind == Kind::Embedded {
            // What did not start may hold the file for a moment.
            drop(open_embedded(&embedded_file(&broken)).await);
        }
        let refused = import_state(&broken, &file, PASSPHRASE.into(), false).await;
        assert!(
            matches!(refused, Err(StateFileError::Import(ImportError::UnderWay))),
            "{kind:?}: {refused:?}"
        );
        let wrong = import_state(&broken, &file, "wrong horse".into(), true).await;
        let wrong = wrong.expect_err("another passphrase");
        assert!(
            matches!(
                &wrong,
                StateFileError::Import(ImportError::File(FileError::Passphrase))
            ),
            "{wrong:?}"
        );
        import_state(&broken, &file, PASSPHRASE.into(), true)
            .await
            .unwrap();
        let stored = match kind {
            Kind::Etcd => everything(&*engine.store()).await,
            Kind::Embedded => everything_embedded(&broken).await,
        };
        assert_eq!(stored, wanted, "{kind:?}");
        Controller::start(broken).await.unwrap().shutdown().await;
        drop(dir);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_runs_refuses_while_another_imports_into_its_store() {
    let fleet = Fleet::on(Kind::Etcd, |_| {}).await;
    let store = fleet.controller.ctx().state.store().clone();
    let mut changed = fleet.controller.ctx().state.changed();
    write(
        &*store,
        [put(MARKER, r#"{"started":1,"revision":1,"made":1}"#)],
    )
    .await;
    while !fleet.controller.ctx().state.is_replaced() {
        changed.changed().await.unwrap();
    }
    for (method, path) in [
        ("GET", "/fog/host"),
        ("POST", "/fog/host/create"),
        ("GET", "/readyz"),
    ] {
        let (status, answer) = fleet.api(method, path, Some(json!({}))).await;
        assert_eq!(status, 503, "{path}: {answer}");
        assert!(answer.to_string().contains("imported"), "{path}: {answer}");
    }
    let state = &fleet.controller.ctx().state;
    let txn = Txn {
        compares: Vec::new(),
        ops: vec![Op::Delete {
            key: MARKER.to_owned(),
        }],
    };
    assert!(state.commit(txn.clone()).await.is_err());
    store.commit(txn).await.unwrap();
    while state.is_replaced() {
        changed.changed().await.unwrap();
    }
    let (status, _) = fleet.api("GET", "/fog/host", None).await;
    assert_eq!(status, 200, "nothing was imported, and it goes on");
    fleet.stop().await;
}

/// 100,000 records, 200 MB together, are exported by a process that never has more than a part of
/// them in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_a_large_fleet_takes_little_memory() {
    let fleet = Fleet::new().await;
    let config = fleet.config.clone();
    let dir = fleet.stop_and_keep().await;
    {
        let store = open_embedded(&embedded_file(&config)).await;
        let mut writers = tokio::task::JoinSet::new();
        for batch in 0..1000 {
            let store = store.clone();
            writers.spawn(async move {
                let one = |n: u32| {
                    let key = format!("/foghorn/v1/large/{batch:04}{n:03}");
                    // Not the same twice, lest it is packed into nothing.
                    let value = blake3::hash(key.as_bytes()).to_hex().repeat(32);
                    put(&key, &value)
                };
                write(&*store, (0..100).map(one)).await;
            });
        }
        writers.join_all().await;
    }
    let files = TempDir::new().unwrap();
    let secret = files.path().join("secret");
    std::fs::write(&secret, format!("{PASSPHRASE}\n")).unwrap();
    let mut export = Command::new(env!("CARGO_BIN_EXE_foghorn-controller"));
    export
        .args(["state", "export"])
        .arg(files.path().join("large"))
        .arg("--passphrase-file")
        .arg(&secret)
        .arg("--data-dir")
        .arg(&config.data_dir)
        .stdout(Stdio::null());
    let mut process = export.spawn().unwrap();
    let status = format!("/proc/{}/status", process.id());
    let mut most = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0));
        if let Some(ended) = process.try_wait().unwrap() {
            break ended;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert!(ended.success());
    eprintln!("at most {} MiB of memory", most / 1024);
    // The key takes 64 MiB; redb caches some of the file.
    assert!(most > 1024, "it was looked at");
    assert!(most < 160 * 1024, "{most} KiB");
    drop(dir);
}

/// The commands of `docs/operations/growing.md`, with the paths of this test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_commands_grow_one_box_into_etcd() {
    let text = include_str!("../../../docs/operations/growing.md");
    let (_, rest) = text
        .split_once("<!-- run by controller/tests/all/state_files.rs -->")
        .unwrap();
    let block = rest.split("```").nth(1).unwrap().trim_start_matches("sh");
    let commands: Vec<&str> = block.trim().lines().collect();
    assert_eq!(commands.len(), 5, "{commands:?}");

    let fleet = Fleet::new().await;
    furnish(&fleet).await;
    let (old, operator) = (fleet.config.clone(), fleet.operator().clone());
    let cluster = Cluster::start().await;
    let files = TempDir::new().unwrap();
    let at = |name: &str| files.path().join(name).display().to_string();
    std::fs::write(at("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
    let ports = "[rest]\nlisten = '127.0.0.1:0'\n[link]\nlisten = '127.0.0.1:0'\n";
    let config = format!("data_dir = '{}'\n{ports}", old.data_dir.display());
    std::fs::write(at("controller.toml"), config).unwrap();
    let config = format!("data_dir = '{}'\n{ports}{}", at("data"), cluster.toml());
    std::fs::write(at("controller-etcd.toml"), config).unwrap();

    let mut running = Some(fleet);
    let mut kept = Vec::new();
    let mut controller = None;
    for command in commands {
        let command = command
            .replace("/etc/foghorn/", &at(""))
            .replace("/root/", &at(""));
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["systemctl", "stop", "foghorn-controller"] => {
                kept.push(running.take().unwrap().stop_and_keep().await);
            }
            ["systemctl", "start", "foghorn-controller"] => {
                let config = Config::load(Path::new(&at("controller.toml"))).unwrap();
                controller = Some(Controller::start(config).await.unwrap());
            }
            _ => {
                let program = words[0].replace(
                    "foghorn-controller",
                    env!("CARGO_BIN_EXE_foghorn-controller"),
                );
                let done = Command::new(program).args(&words[1..]).output().unwrap();
                let said = String::from_utf8_lossy(&done.stderr).into_owned();
                assert!(done.status.success(), "{command}: {said}");
            }
        }
    }
    let controller = controller.expect("the last command starts it");
    let (ca, url) = (controller.ca_pem(), controller.rest_url());
    let (status, hosts) = call(ca, &url, "GET", "/fog/host", &operator, None).await;
    assert_eq!((status, &hosts["count"]), (200, &json!(20)), "{hosts}");
    let (_, store) = call(ca, &url, "GET", "/foghorn/v1/store", &operator, None).await;
    assert_eq!(store["engine"], "etcd", "{store}");
    controller.shutdown().await;
}

/// As in a cluster, where the network lets a job through only after a moment.
#[tokio::test]
async fn an_export_waits_for_a_store_that_does_not_answer_yet() {
    let mut engine = Engine::start(Kind::Etcd).await;
    let folder = TempDir::new().unwrap();
    let config = Config {
        store: StoreConfig::Etcd(EtcdOptions {
            endpoints: vec![engine.endpoint()],
            tls: None,
            login: None,
        }),
        ..Config::local(folder.path().join("data"))
    };
    engine.stop_etcd();
    let file = folder.path().join("state");
    let is_starting = Cell::new(false);
    let exporting = async {
        let exported = export_state(&config, &file, PASSPHRASE.into(), true).await;
        assert!(is_starting.get(), "it has not waited: {exported:?}");
        exported
    };
    let starting = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        is_starting.set(true);
        engine.start_etcd().await;
    };
    let (exported, ()) = tokio::join!(exporting, starting);
    // Nobody has made one.
    assert!(
        matches!(exported, Err(StateFileError::NoAuthority { .. })),
        "{exported:?}"
    );
}

/// The log-in is the first that is not answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_waits_for_a_store_with_a_log_in_that_does_not_answer_yet() {
    let mut cluster = Cluster::start().await;
    let folder = TempDir::new().unwrap();
    let config = new_config(folder.path(), "one", StoreConfig::Etcd(cluster.options()));
    (0..3).for_each(|index| cluster.kill(index));
    let file = folder.path().join("state");
    let is_starting = Cell::new(false);
    let exporting = async {
        let exported = export_state(&config, &file, PASSPHRASE.into(), true).await;
        assert!(is_starting.get(), "it has not waited: {exported:?}");
        exported
    };
    let starting = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        is_starting.set(true);
        (0..3).for_each(|index| cluster.run(index));
    };
    let (exported, ()) = tokio::join!(exporting, starting);
    assert!(
        matches!(exported, Err(StateFileError::NoAuthority { .. })),
        "{exported:?}"
    );
}
