//! What this machine is made of, told when it has changed.

use std::path::Path;

use data_encoding::HEXLOWER;
use foghorn_rest_types::host_work::HostInventory;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::super::gateway::{FetchError, Gateway};
use super::super::storage::{Storage, StorageError};
use crate::hardware;

const NOTE: &str = "told-inventory";
/// It changes all the time, and alone is no news.
const RESTLESS: &str = "cpucurrent";

/// Why nothing was told of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum InventoryError {
    #[error("could not note what was told")]
    Storage(#[from] StorageError),
    #[error("the gateway did not take it")]
    Tell(#[from] FetchError),
}

/// What the gateway has taken last.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    host: u32,
    sha256: String,
}

/// Tells what the machine is made of, if this host was told something else. Whether it was.
///
/// # Errors
/// [`InventoryError`]
pub(super) fn tell(
    storage: &Storage,
    gateway: &Gateway,
    root: &Path,
    host: u32,
) -> Result<bool, InventoryError> {
    let parts = read(root);
    let told = Told {
        host,
        sha256: hash(&parts),
    };
    let before: Option<Told> = storage.note(NOTE)?;
    if before.as_ref() == Some(&told) {
        return Ok(false);
    }
    gateway.tell_inventory(&parts)?;
    storage.store_note(NOTE, &told)?;
    Ok(true)
}

fn read(root: &Path) -> HostInventory {
    let fields = hardware::read(root).fog_fields().into_iter();
    let known = fields.filter(|(_, value)| !value.is_empty());
    known
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn hash(parts: &HostInventory) -> String {
    let lasting = parts.iter().filter(|(name, _)| *name != RESTLESS);
    let lines: String = lasting
        .map(|(name, value)| format!("{name}={value:?}\n"))
        .collect();
    HEXLOWER.encode(digest(&SHA256, lines.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_present_speed_alone_is_no_news() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc");
        fs::create_dir(&proc).unwrap();
        let with = |model: &str, mhz: &str| {
            let text = format!("model name : {model}\ncpu MHz : {mhz}\n");
            fs::write(proc.join("cpuinfo"), text).unwrap();
            read(root.path())
        };
        let first = with("i7", "3600.1");
        assert_eq!(first["cpuversion"], "i7");
        assert_eq!(first["cpucurrent"], "3600 MHz");
        assert!(
            !first.contains_key("sysman"),
            "what is not known is not told"
        );
        assert_eq!(hash(&first), hash(&with("i7", "800.0")));
        assert_ne!(hash(&first), hash(&with("i9", "3600.1")));
    }
}
