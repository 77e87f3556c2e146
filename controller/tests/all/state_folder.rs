//! A folder of exports, of which the newest are kept.

use std::num::NonZeroU32;
use std::path::Path;

use foghorn_controller::{Config, Controller, export_state_kept, import_state};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery";

/// Names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_exports_into_a_folder_the_newest_are_kept_once_they_were_read_again() {
    let files = TempDir::new().unwrap();
    let config = Config::local(files.path().join("old"));
    let controller = Controller::start(config.clone()).await.unwrap();
    controller.shutdown().await;
    let folder = files.path().join("backups");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(".foghorn-state.unfinished"), "of a crash").unwrap();
    std::fs::write(folder.join("foghorn-state-of-me.foghorn"), "stays").unwrap();
    let two = NonZeroU32::new(2).unwrap();
    let export =
        |passphrase: &str| export_state_kept(&config, &folder, two, passphrase.to_owned(), true);
    let day = |number: u32| format!("foghorn-state-2026-01-{number:02}T000000Z.foghorn");
    for number in [1, 2] {
        let kept = export(PASSPHRASE).await.unwrap();
        assert!(kept.removed.is_empty(), "{kept}");
        std::fs::rename(&kept.path, folder.join(day(number))).unwrap();
    }
    let before = names(&folder);
    assert_eq!(
        before,
        [day(1), day(2), "foghorn-state-of-me.foghorn".into()]
    );
    assert!(export("short").await.is_err());
    assert_eq!(names(&folder), before, "what fails removes nothing");

    let kept = export(PASSPHRASE).await.unwrap();
    assert_eq!(kept.removed, [folder.join(day(1))]);
    let new = kept.path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut wanted = [day(2), new, "foghorn-state-of-me.foghorn".into()];
    wanted.sort();
    assert_eq!(names(&folder), wanted);
    let said = kept.to_string();
    assert!(
        said.contains("read it again") && said.contains(&day(1)),
        "{said}"
    );
    let other = Config::local(files.path().join("other"));
    import_state(&other, &kept.path, PASSPHRASE.into(), false)
        .await
        .unwrap();
}
