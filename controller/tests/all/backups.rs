//! Backups of the embedded store: one moment, while the store is written; whole or not there; put
//! back with nothing lost.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foghorn_controller::backups::{BackupError, Backups, Kind, RestoreError, restore};
use foghorn_controller::config::AuthorityConfig;
use foghorn_controller::store::embedded::EmbeddedStore;
use foghorn_controller::store::{CopyError, Op, Store, Txn, TxnOutcome};
use foghorn_controller::trust::Trust;
use foghorn_controller::{Config, Controller};
use foghorn_types::{Timestamp, chain};
use tempfile::TempDir;

use crate::engine::{self, Engine};

/// A data directory with a store and an authority.
struct Site {
    folder: TempDir,
    store: Arc<EmbeddedStore>,
}

impl Site {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Trust::load_or_create(&folder.path().join("ca")).unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store.redb")).await;
        Self {
            folder,
            store: Arc::new(store.unwrap()),
        }
    }

    fn backups(&self) -> Backups {
        let data_dir = self.folder.path();
        let folder = data_dir.join("backups");
        Backups::new(folder, data_dir.join("ca"), self.store.clone())
    }

    async fn put(&self, keys: &[&str], value: &str) {
        assert!(matches!(
            self.store.commit(puts(keys, value)).await,
            Ok(TxnOutcome::Committed(_))
        ));
    }

    /// Closes the store.
    fn stop(self) -> TempDir {
        drop(self.store);
        self.folder
    }
}

fn puts(keys: &[&str], value: &str) -> Txn {
    let put = |key: &&str| Op::Put {
        key: (*key).to_owned(),
        value: value.to_owned().into(),
    };
    Txn {
        compares: Vec::new(),
        ops: keys.iter().map(put).collect(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_796_000_000_000 + seconds * 1000)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_moment_while_the_store_is_written() {
    let site = Site::new().await;
    let backups = site.backups();
    site.put(&["a", "b"], "0").await;
    let writer = tokio::spawn({
        let store = site.store.clone();
        async move {
            for number in 1.. {
                // Both keys always have one value.
                if store
                    .commit(puts(&["a", "b"], &number.to_string()))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
    });
    for round in 0..10 {
        let made = backups.make(Kind::Asked, at(round)).await.unwrap();
        let copy = TempDir::new().unwrap();
        let file = copy.path().join("store.redb");
        fs::copy(made.path.join("store.redb"), &file).unwrap();
        let copy = EmbeddedStore::open(&file).await.unwrap();
        let found = copy.list("").await.unwrap();
        let [a, b] = &found.entries[..] else {
            panic!("{found:?}")
        };
        assert_eq!((&a.value, a.modified), (&b.value, b.modified));
        assert!(a.modified <= found.revision);
        assert_eq!(
            (mode(&made.path), mode(&made.path.join("store.redb"))),
            (0o700, 0o600)
        );
        assert_eq!(mode(&made.path.join("ca/ca.key")), 0o600);
    }
    writer.abort();
    assert_eq!(backups.list().unwrap().len(), 10);
}

#[tokio::test]
async fn a_backup_that_was_put_back_is_what_was_backed_up() {
    let site = Site::new().await;
    site.put(&["host/1"], "then").await;
    let made = site.backups().make(Kind::Asked, at(0)).await.unwrap();
    site.put(&["host/1", "host/2"], "now").await;
    let in_use = restore(site.folder.path(), &made.path, at(1)).unwrap_err();
    assert!(matches!(in_use, RestoreError::InUse { .. }), "{in_use}");
    let folder = site.stop();

    let done = restore(folder.path(), &made.path, at(2)).unwrap();
    assert_eq!(done.entries, 1);
    let store = EmbeddedStore::open(&folder.path().join("store.redb"))
        .await
        .unwrap();
    let found = store.list("").await.unwrap();
    assert_eq!(found.revision, done.revision);
    assert_eq!(found.entries.len(), 1);
    assert_eq!(&found.entries[0].value[..], b"then");
    // A change goes on from there.
    assert!(store.commit(puts(&["host/3"], "later")).await.is_ok());

    let before = done.before.unwrap();
    let kept = EmbeddedStore::open(&before.join("store.redb"))
        .await
        .unwrap();
    assert_eq!(kept.list("").await.unwrap().entries.len(), 2);
    assert!(before.join("ca/ca.key").exists());
}

/// The backup that a controller makes by itself at its first start.
async fn first_backup(backups: &Path) -> PathBuf {
    loop {
        let found = fs::read_dir(backups)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().is_some_and(|name| name != ".unfinished"));
        match found {
            Some(path) => break path,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The key of an authority that others keep is nowhere but there.
#[tokio::test]
async fn a_backup_leaves_out_an_authority_that_is_given() {
    let (data, given) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    Trust::load_or_create(given.path()).unwrap();
    let mut config = Config::local(data.path());
    config.authority = AuthorityConfig::Given(given.path().to_owned());
    let controller = Controller::start(config.clone()).await.unwrap();
    let first = controller.first_run().cloned();
    let made = first_backup(&data.path().join("backups")).await;
    controller.shutdown().await;
    let held: Vec<_> = fs::read_dir(&made)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(held, ["store.redb"]);

    fs::remove_file(data.path().join("store.redb")).unwrap();
    foghorn_controller::restore(&config, &made).unwrap();
    assert!(!data.path().join("ca").exists());
    let again = Controller::start(config).await.unwrap();
    assert_eq!(again.first_run(), first.as_ref());
    again.shutdown().await;

    let other = TempDir::new().unwrap();
    let refused = foghorn_controller::restore(&Config::local(other.path()), &made).unwrap_err();
    let said = chain(&refused).to_string();
    assert!(said.contains("trust.authority_dir"), "{said}");
    assert!(!other.path().join("store.redb").exists());
}

#[tokio::test]
async fn a_whole_site_moves_to_an_empty_machine_by_its_backup() {
    let (old, new) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let controller = Controller::start(Config::local(old.path())).await.unwrap();
    let first = controller.first_run().cloned();
    // The controller makes one by itself at its first start.
    let made = first_backup(&old.path().join("backups")).await;
    controller.shutdown().await;
    let config = Config::local(new.path());
    let done = foghorn_controller::restore(&config, &made).unwrap();
    assert_eq!(done.before, None);
    let moved = Controller::start(config).await.unwrap();
    assert_eq!(
        moved.first_run(),
        first.as_ref(),
        "it is the same installation"
    );
    moved.shutdown().await;
    let authority = |folder: &TempDir| fs::read(folder.path().join("ca/ca.pem")).unwrap();
    assert_eq!(authority(&old), authority(&new));
}

#[tokio::test]
async fn what_root_restores_belongs_to_the_owner_of_the_data_directory() {
    use std::os::unix::fs::{MetadataExt as _, chown};

    let site = Site::new().await;
    site.put(&["a"], "1").await;
    let made = site.backups().make(Kind::Asked, at(0)).await.unwrap();
    let folder = site.stop();
    // Only root can give files away; for others the owner stays who it is.
    let mine = fs::metadata(folder.path()).unwrap().uid();
    if mine == 0 {
        chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
    }
    let owner = fs::metadata(folder.path()).unwrap().uid();
    let done = restore(folder.path(), &made.path, at(1)).unwrap();
    let before = done.before.unwrap();
    for path in [
        folder.path().join("store.redb"),
        folder.path().join("ca"),
        folder.path().join("ca/ca.key"),
        before.join("ca/ca.key"),
        before,
    ] {
        let found = fs::metadata(&path).unwrap().uid();
        assert_eq!(found, owner, "{}", path.display());
    }
}

#[tokio::test]
async fn what_is_no_whole_backup_replaces_nothing() {
    let site = Site::new().await;
    site.put(&["a"], &"some text ".repeat(2000)).await;
    let made = site.backups().make(Kind::Asked, at(0)).await.unwrap();
    let folder = site.stop();
    let store = folder.path().join("store.redb");
    let before = fs::read(&store).unwrap();
    let whole = fs::read(made.path.join("store.redb")).unwrap();
    let mut flipped = whole.clone();
    let text = b"some text some text";
    let place = flipped
        .windows(text.len())
        .position(|part| part == text)
        .unwrap();
    flipped[place] ^= 1;
    for bytes in [&whole[..whole.len() / 2], &flipped, b"", b"text"] {
        fs::write(made.path.join("store.redb"), bytes).unwrap();
        let error = restore(folder.path(), &made.path, at(1)).unwrap_err();
        let words = chain(&error).to_string();
        assert!(matches!(error, RestoreError::Unusable { .. }), "{words}");
        assert!(!words.contains(".restoring"), "{words}");
        assert_eq!(fs::read(&store).unwrap(), before);
    }
    fs::write(made.path.join("store.redb"), &whole).unwrap();
    fs::write(made.path.join("ca/ca.key"), "no key").unwrap();
    let error = restore(folder.path(), &made.path, at(1)).unwrap_err();
    let words = chain(&error).to_string();
    assert!(matches!(error, RestoreError::Unusable { .. }), "{words}");
    let key = made.path.join("ca/ca.key").display().to_string();
    assert!(words.contains(&key), "{words}");
    fs::remove_dir_all(made.path.join("ca")).unwrap();
    let error = restore(folder.path(), &made.path, at(1)).unwrap_err();
    assert!(matches!(error, RestoreError::NoAuthority { .. }), "{error}");
    assert_eq!(fs::read(&store).unwrap(), before);
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("restor"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn old_backups_go_and_those_that_were_asked_for_stay() {
    let site = Site::new().await;
    let backups = site.backups();
    let day = Duration::from_secs(24 * 60 * 60);
    assert!(backups.is_due(day, at(0)).unwrap(), "there is none");
    backups.make(Kind::Asked, at(0)).await.unwrap();
    assert!(
        backups.is_due(day, at(1)).unwrap(),
        "that was not the daily one"
    );
    for number in 0..4 {
        backups.make(Kind::Scheduled, at(number)).await.unwrap();
    }
    let twice = backups.make(Kind::Asked, at(0)).await.unwrap();
    assert_eq!(twice.name.made(), at(1), "the second of a second");
    assert!(!backups.is_due(day, at(100)).unwrap());
    assert!(backups.is_due(day, at(2 * 86_400)).unwrap());
    assert!(
        backups.is_due(day, at(-86_400)).unwrap(),
        "what a wrong clock has made does not keep the next from being made"
    );
    let foreign = site.folder.path().join("backups/by-hand-scheduled");
    fs::create_dir(&foreign).unwrap();

    assert_eq!(backups.forget_old(2).unwrap(), 2);
    let left: Vec<String> = backups
        .list()
        .unwrap()
        .iter()
        .map(|backup| {
            format!(
                "{} {}",
                backup.name.kind().word(),
                backup.name.made().as_millis() / 1000 % 10
            )
        })
        .collect();
    assert_eq!(left, ["asked 0", "asked 1", "scheduled 2", "scheduled 3"]);
    assert!(foreign.exists());
}

#[tokio::test]
async fn an_attempt_that_was_broken_off_is_no_backup_and_in_nobodys_way() {
    let site = Site::new().await;
    site.put(&["a"], "1").await;
    let folder = site.folder.path().join("backups");
    fs::create_dir_all(folder.join(".unfinished/ca")).unwrap();
    fs::write(folder.join(".unfinished/store.redb"), "half").unwrap();
    let backups = site.backups();
    assert!(backups.list().unwrap().is_empty());
    // A folder that cannot be written: nothing that looks like a backup, and the store works.
    let blocked = site.folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let ca = site.folder.path().join("ca");
    let elsewhere = Backups::new(blocked.join("backups"), ca, site.store.clone());
    let error = elsewhere.make(Kind::Asked, at(0)).await.unwrap_err();
    assert!(matches!(error, BackupError::Write { .. }), "{error}");
    site.put(&["a"], "2").await;
    backups.make(Kind::Asked, at(0)).await.unwrap();
    assert_eq!(backups.list().unwrap().len(), 1);
    assert!(!folder.join(".unfinished").exists());
}

#[tokio::test]
async fn with_etcd_the_answer_names_the_way_of_etcd() {
    let engine = Engine::start(engine::Kind::Etcd).await;
    let folder = TempDir::new().unwrap();
    let (here, authority) = (folder.path().join("backups"), folder.path().join("ca"));
    let backups = Backups::new(here, authority, engine.store());
    let error = backups.make(Kind::Asked, at(0)).await.unwrap_err();
    assert!(matches!(error, BackupError::Copy(CopyError::NotHere)));
    assert!(
        error.to_string().contains("etcdctl snapshot save"),
        "{error}"
    );
    assert!(!folder.path().join("backups").exists());
}
