//! Tests that ran on a device, such as remote actions, and their artefacts.
//!
//! What an artefact contains is not in the tables: it is in pieces under keys of their own, which are
//! outside the range of the watch cache. The record says which pieces there are.

use bytes::Bytes;
use foghorn_types::{MachineUuid, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::shelf::{Record, stored_whole};
use crate::store::{Op, Revision};

/// Keys of tests: this and the UUID of the device.
const PREFIX: &str = "/foghorn/v1/device-tests/";
/// Keys of pieces: this, the UUID, the test, the place of the artefact in it, and that of the piece.
const PIECES: &str = "/foghorn/artifact/v1/";
/// Tests of one device that are kept.
pub const MOST_TESTS: usize = 10;
/// Artefacts of one test.
pub const MOST_ARTIFACTS: usize = 8;
/// Bytes of one artefact.
pub const LONGEST_ARTIFACT: usize = 1 << 20;
/// Bytes of all artefacts of one device.
pub const MOST_BYTES: u64 = 4 << 20;
/// Bytes of a piece: it is stored together with the record.
pub const PIECE: usize = 512 << 10;

/// The tests of one device, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceTests {
    pub uuid: MachineUuid,
    pub list: Vec<Test>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Test {
    /// By which the gateway and operators name it.
    pub id: String,
    pub name: String,
    /// Name of the target that was tested; empty when the device did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// By which whoever ordered it finds it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub test_id: String,
    /// In the words of the device, such as `PASSED`; empty until it has said something.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Artifact {
    pub name: String,
    /// `None`: it was announced only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
}

/// What was uploaded as an artefact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Upload {
    /// Tells it from other uploads of the same artefact.
    pub number: u64,
    pub bytes: u64,
    /// BLAKE3 of it all, in hexadecimal.
    pub hash: String,
    /// Whether all pieces are there.
    pub is_whole: bool,
}

impl Upload {
    /// How many pieces it has.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.bytes.div_ceil(PIECE as u64)
    }
}

impl Test {
    /// Place and artefact of this name.
    #[must_use]
    pub fn artifact(&self, name: &str) -> Option<(usize, &Artifact)> {
        let mut artifacts = self.artifacts.iter().enumerate();
        artifacts.find(|(_, artifact)| artifact.name == name)
    }
}

impl DeviceTests {
    #[must_use]
    pub fn none(uuid: MachineUuid) -> Self {
        Self {
            uuid,
            list: Vec::new(),
            modified: 0,
        }
    }

    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Test> {
        self.list.iter().find(|test| test.id == id)
    }

    #[must_use]
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Test> {
        self.list.iter_mut().find(|test| test.id == id)
    }

    /// Adds a test. Gives what removes the pieces of those that had to go for it.
    #[must_use]
    pub fn add(&mut self, test: Test) -> Vec<Op> {
        let over = (self.list.len() + 1).saturating_sub(MOST_TESTS);
        let gone: Vec<Test> = self.list.drain(..over).collect();
        self.list.push(test);
        let ops = gone.iter().map(|test| removed(self.uuid, test));
        ops.flatten().collect()
    }

    /// What removes all pieces, of all tests.
    #[must_use]
    pub fn remove_pieces(&self) -> Vec<Op> {
        let ops = self.list.iter().map(|test| removed(self.uuid, test));
        ops.flatten().collect()
    }

    /// Bytes of all artefacts, also of those that are still coming.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let artifacts = self.list.iter().flat_map(|test| &test.artifacts);
        let uploads = artifacts.filter_map(|artifact| artifact.upload.as_ref());
        uploads.map(|upload| upload.bytes).sum()
    }
}

fn removed(uuid: MachineUuid, test: &Test) -> Vec<Op> {
    let mut ops = Vec::new();
    for (place, artifact) in test.artifacts.iter().enumerate() {
        let pieces = artifact.upload.as_ref().map_or(0, Upload::pieces);
        ops.extend((0..pieces).map(|piece| delete_piece((uuid, &test.id, place), piece)));
    }
    ops
}

/// Where a piece is: of which device, test and artefact, and its own place.
#[must_use]
pub fn piece_key((uuid, test, artifact): (MachineUuid, &str, usize), piece: u64) -> String {
    format!("{PIECES}{uuid}/{test}/{artifact:02}/{piece}")
}

#[must_use]
pub fn put_piece(of: (MachineUuid, &str, usize), piece: u64, value: Bytes) -> Op {
    let key = piece_key(of, piece);
    Op::Put { key, value }
}

#[must_use]
pub fn delete_piece(of: (MachineUuid, &str, usize), piece: u64) -> Op {
    Op::Delete {
        key: piece_key(of, piece),
    }
}

impl Record for DeviceTests {
    const WHAT: &'static str = "tests of a device";
    type Id = MachineUuid;
    type Index = ();

    fn id(&self) -> MachineUuid {
        self.uuid
    }

    fn key_of(uuid: &MachineUuid) -> String {
        format!("{PREFIX}{uuid}")
    }

    fn id_in(key: &str) -> Option<MachineUuid> {
        key.strip_prefix(PREFIX)?.parse().ok()
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    stored_whole!();
}

#[cfg(test)]
mod unit {
    use foghorn_host_config::KEPT_VERSIONS;

    use super::*;
    use crate::store::MAX_OPS;

    fn test(number: usize, bytes: u64) -> Test {
        let upload = Upload {
            number: 1,
            bytes,
            hash: String::new(),
            is_whole: true,
        };
        let artifact = |place: usize| Artifact {
            name: place.to_string(),
            upload: Some(upload.clone()),
        };
        Test {
            id: format!("{number:016x}"),
            name: "reboot".to_owned(),
            target: String::new(),
            test_id: String::new(),
            status: String::new(),
            details: String::new(),
            created: Timestamp::from_millis(1),
            completed: None,
            artifacts: (0..MOST_ARTIFACTS).map(artifact).collect(),
        }
    }

    #[test]
    fn the_oldest_test_goes_with_its_pieces() {
        let mut tests = DeviceTests::none(MachineUuid::from_bits(1));
        for number in 0..MOST_TESTS {
            assert!(tests.add(test(number, 1)).is_empty());
        }
        let mut empty = test(MOST_TESTS, 0);
        let first = tests.list[0].clone();
        let gone = tests.add(empty.clone());
        assert_eq!(gone.len(), MOST_ARTIFACTS);
        let key = piece_key((tests.uuid, &first.id, 0), 0);
        assert_eq!(gone[0], Op::Delete { key });
        assert_eq!(tests.list.len(), MOST_TESTS);
        assert!(tests.get(&first.id).is_none() && tests.get(&empty.id).is_some());
        empty.artifacts.truncate(1);
        assert!(
            removed(tests.uuid, &empty).is_empty(),
            "nothing has no pieces"
        );
        assert!(empty.artifact("0").is_some() && empty.artifact("1").is_none());
    }

    /// A device is deleted in one transaction, with all that it has.
    #[test]
    fn as_many_pieces_as_there_can_be_are_removed_at_once() {
        let pieces = MOST_TESTS * MOST_ARTIFACTS + (MOST_BYTES as usize).div_ceil(PIECE);
        let records = KEPT_VERSIONS + 4;
        assert!(pieces + records + 10 <= MAX_OPS, "{pieces} pieces");
        assert!(LONGEST_ARTIFACT as u64 <= MOST_BYTES);
        let mut tests = DeviceTests::none(MachineUuid::from_bits(1));
        let _none = tests.add(test(0, PIECE as u64 + 1));
        assert_eq!(tests.remove_pieces().len(), MOST_ARTIFACTS * 2);
        assert_eq!(tests.bytes(), MOST_ARTIFACTS as u64 * (PIECE as u64 + 1));
    }
}
