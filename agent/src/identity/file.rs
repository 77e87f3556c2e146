//! The identity on disk: one file, readable by its owner only, replaced whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use foghorn_types::{NodeName, StorageNodeId, Timestamp};
use rcgen::KeyPair;
use serde::{Deserialize, Serialize};

use super::NodeIdentity;
use crate::whole_file::write_whole;

#[derive(Debug, thiserror::Error)]
pub enum LoadIdentityError {
    #[error("could not read the identity {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the identity {} does not have the form that this version writes", path.display())]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("could not write the identity {}", path.display())]
pub struct SaveIdentityError {
    path: PathBuf,
    source: io::Error,
}

/// The stored form; apart from [`NodeIdentity`] so that the program can change and old files still
/// load.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    version: u32,
    node: NodeName,
    node_id: StorageNodeId,
    ca_pem: String,
    chain_pem: String,
    key_pem: String,
    link_address: String,
    link_server_name: String,
    received: Timestamp,
    expires: Timestamp,
}

const VERSION: u32 = 1;

fn place(state_dir: &Path) -> PathBuf {
    state_dir.join("identity").join("identity.json")
}

fn token_place(state_dir: &Path) -> PathBuf {
    state_dir.join("identity").join("last-token")
}

fn next_key_place(state_dir: &Path) -> PathBuf {
    state_dir.join("identity").join("next-key.pem")
}

/// The key with which an enrolment was begun of which it is not known whether it was granted.
pub(super) fn next_key(state_dir: &Path) -> Option<KeyPair> {
    let pem = fs::read_to_string(next_key_place(state_dir)).ok()?;
    KeyPair::from_pem(&pem).ok()
}

/// # Errors
/// When the file cannot be written.
pub(super) fn save_next_key(state_dir: &Path, key: &KeyPair) -> Result<(), SaveIdentityError> {
    let path = next_key_place(state_dir);
    let pem = key.serialize_pem();
    write_whole(&path, pem.as_bytes()).map_err(|source| SaveIdentityError { path, source })
}

/// That key has its certificate, if it is the key of this identity: another enrolment is to have
/// another one.
///
/// # Errors
/// When the file cannot be removed.
pub(super) fn end_next_key(
    state_dir: &Path,
    identity: &NodeIdentity,
) -> Result<(), SaveIdentityError> {
    let path = next_key_place(state_dir);
    let pem = fs::read_to_string(&path).unwrap_or_default();
    if pem.trim() != identity.key_pem.trim() {
        return Ok(());
    }
    fs::remove_file(&path).map_err(|source| SaveIdentityError { path, source })
}

/// The hash of the join token that was last tried; `None` when nobody remembers.
pub(super) fn last_token(state_dir: &Path) -> Option<String> {
    fs::read_to_string(token_place(state_dir))
        .ok()
        .map(|text| text.trim().to_owned())
}

/// # Errors
/// When the file cannot be written.
pub(super) fn save_last_token(state_dir: &Path, hash: &str) -> Result<(), SaveIdentityError> {
    let path = token_place(state_dir);
    write_whole(&path, hash.as_bytes()).map_err(|source| SaveIdentityError { path, source })
}

/// The identity kept in `state_dir`, or `None` when the node has never enrolled.
///
/// # Errors
/// When there is one that cannot be read.
pub fn load(state_dir: &Path) -> Result<Option<NodeIdentity>, LoadIdentityError> {
    let path = place(state_dir);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadIdentityError::Read { path, source }),
    };
    let record: StoredIdentity = serde_json::from_str(&text)
        .and_then(|record: StoredIdentity| match record.version {
            VERSION => Ok(record),
            other => Err(serde::de::Error::custom(format!(
                "version {other} is unknown"
            ))),
        })
        .map_err(|source| LoadIdentityError::Parse { path, source })?;
    Ok(Some(NodeIdentity {
        node: record.node,
        node_id: record.node_id,
        ca_pem: record.ca_pem,
        chain_pem: record.chain_pem,
        key_pem: record.key_pem,
        link_address: record.link_address,
        link_server_name: record.link_server_name,
        received: record.received,
        expires: record.expires,
    }))
}

/// Replaces the identity in `state_dir`. After a crash the old one or the new one is there, whole.
///
/// # Errors
/// When the folder cannot be made or written.
pub(super) fn save(state_dir: &Path, identity: &NodeIdentity) -> Result<(), SaveIdentityError> {
    let path = place(state_dir);
    foghorn_faults::fail!("agent.identity.before-write")
        .and_then(|()| write_whole(&path, &render(identity)))
        .and_then(|()| foghorn_faults::fail!("agent.identity.written"))
        .map_err(|source| SaveIdentityError { path, source })
}

fn render(identity: &NodeIdentity) -> Vec<u8> {
    let record = StoredIdentity {
        version: VERSION,
        node: identity.node.clone(),
        node_id: identity.node_id,
        ca_pem: identity.ca_pem.clone(),
        chain_pem: identity.chain_pem.clone(),
        key_pem: identity.key_pem.clone(),
        link_address: identity.link_address.clone(),
        link_server_name: identity.link_server_name.clone(),
        received: identity.received,
        expires: identity.expires,
    };
    serde_json::to_vec_pretty(&record).expect("strings and numbers have a JSON form")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_saved_loads_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(folder.path()).unwrap().is_none());
        let mut identity = NodeIdentity {
            node: "north-1".parse().unwrap(),
            node_id: StorageNodeId::new(3).unwrap(),
            ca_pem: "ca".into(),
            chain_pem: "chain".into(),
            key_pem: "key".into(),
            link_address: "127.0.0.1:1".into(),
            link_server_name: "controller".into(),
            received: Timestamp::from_millis(1),
            expires: Timestamp::from_millis(2),
        };
        save(folder.path(), &identity).unwrap();
        identity.key_pem = "another key".into();
        fs::write(
            place(folder.path()).with_extension("new"),
            "left by a crash",
        )
        .unwrap();
        save(folder.path(), &identity).unwrap();
        assert_eq!(load(folder.path()).unwrap(), Some(identity));
        let mode = fs::metadata(place(folder.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_waits_for_its_certificate_and_is_used_for_one_identity() {
        let folder = tempfile::tempdir().unwrap();
        assert!(next_key(folder.path()).is_none());
        let key = KeyPair::generate().unwrap();
        save_next_key(folder.path(), &key).unwrap();
        let mode = fs::metadata(next_key_place(folder.path())).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        let again = next_key(folder.path()).unwrap();
        assert_eq!(again.serialize_pem(), key.serialize_pem());
        let identity = NodeIdentity {
            node: "north-1".parse().unwrap(),
            node_id: StorageNodeId::new(3).unwrap(),
            ca_pem: "ca".into(),
            chain_pem: "chain".into(),
            key_pem: key.serialize_pem(),
            link_address: "127.0.0.1:1".into(),
            link_server_name: "controller".into(),
            received: Timestamp::from_millis(1),
            expires: Timestamp::from_millis(2),
        };
        let other = NodeIdentity {
            key_pem: KeyPair::generate().unwrap().serialize_pem(),
            ..identity.clone()
        };
        end_next_key(folder.path(), &other).unwrap();
        assert!(next_key(folder.path()).is_some(), "it waits for its own");
        for _ in 0..2 {
            end_next_key(folder.path(), &identity).unwrap();
            assert!(next_key(folder.path()).is_none());
        }
    }

    #[test]
    fn a_cut_file_is_an_error_and_not_a_node_without_identity() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("identity")).unwrap();
        fs::write(place(folder.path()), "{\"version\":1").unwrap();
        assert!(matches!(
            load(folder.path()),
            Err(LoadIdentityError::Parse { .. })
        ));
    }
}
