//! Tests that run on devices: told by the devices, read by operators. Remote actions report so.

use bytes::Bytes;
use foghorn_types::{MachineUuid, Timestamp};
use tracing::info;

use super::names::{self, BadName};
use super::paging::{Page, Paged};
use crate::app::one_time;
use crate::state::machines::device::Device;
use crate::state::machines::tests::{
    Artifact, DeviceTests, LONGEST_ARTIFACT, MOST_ARTIFACTS, MOST_BYTES, PIECE, Test, Upload,
    delete_piece, piece_key, put_piece,
};
use crate::state::{Draft, Refusal, State, Tables};
use crate::store::StoreError;

/// Characters that are kept of the details of a test.
const LONGEST_DETAILS: usize = 2048;
/// Characters that are kept of every other text.
const LONGEST: usize = 128;
/// Bytes of the artefacts of all devices together: they are in the store, which is for other things.
const MOST_OF_ALL: u64 = 256 << 20;
/// What a device says of a test that has not ended.
const RUNNING: &str = "RUNNING";

/// Why something about a test was not stored.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error("device {0} does not exist")]
    NotThere(MachineUuid),
    #[error("the device has no test {0:?}; the last tests are kept")]
    NoTest(String),
    #[error("test {test:?} has no artefact {name:?}: it has to be announced first")]
    NoArtifact { test: String, name: String },
    #[error("a test needs a name")]
    NoName,
    #[error("the name of an artefact: {0}")]
    BadName(#[from] BadName),
    #[error("a test has at most {MOST_ARTIFACTS} artefacts")]
    TooMany,
    #[error("the artefact has {0} bytes; {LONGEST_ARTIFACT} are possible")]
    TooLong(usize),
    #[error(
        "the artefacts of the last tests of this device would take {0} bytes; {MOST_BYTES} are possible"
    )]
    Full(u64),
    #[error("the artefacts of all devices take all the room that there is for them")]
    AllFull,
    #[error("the artefact has other contents already")]
    Stored,
    #[error("another upload of the same artefact has begun")]
    Overtaken,
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Why the contents of an artefact cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("the device has no such artefact")]
    NotThere,
    #[error("the artefact was announced, and has not come yet")]
    NotYet,
    /// Perhaps its test has just gone.
    #[error("the store does not have all of the artefact")]
    Incomplete,
    #[error("could not read the artefact")]
    Store(#[from] StoreError),
}

/// A test that begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Begun {
    pub name: String,
    /// Name of a target; may be empty.
    pub target: String,
    /// Of whoever ordered it; may be empty.
    pub test_id: String,
}

/// What a device says about a test.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Empty: as it was.
    pub status: String,
    /// Empty: as they were.
    pub details: String,
    /// Names of artefacts that are to come.
    pub artifacts: Vec<String>,
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Notes that a test begins, and gives its id. One that is told again, by its `test_id`, is the same.
/// The oldest test goes when there are too many.
///
/// # Errors
/// See [`TestError`].
pub async fn begin(state: &State, uuid: MachineUuid, begun: &Begun) -> Result<String, TestError> {
    if begun.name.is_empty() {
        return Err(TestError::NoName);
    }
    let now = Timestamp::now();
    let id = format!("{:016x}", one_time::number());
    let test = Test {
        id: id.clone(),
        name: cut(&begun.name, LONGEST),
        target: cut(&begun.target, LONGEST),
        test_id: cut(&begun.test_id, LONGEST),
        status: String::new(),
        details: String::new(),
        created: now,
        completed: None,
        artifacts: Vec::new(),
    };
    state
        .write(|draft| {
            let tables = draft.tables();
            let device = tables.devices().get(&uuid);
            let mut device = Device::clone(device.ok_or(TestError::NotThere(uuid))?);
            let mut tests = tests_of(tables, uuid);
            let same = |known: &&Test| !test.test_id.is_empty() && known.test_id == test.test_id;
            if let Some(known) = tests.list.iter().find(same) {
                return Ok(known.id.clone());
            }
            for op in tests.add(test.clone()) {
                draft.operate(op);
            }
            draft.replace(&tests);
            // The device must not go meanwhile.
            device.last_seen = device.last_seen.max(Some(now));
            draft.replace(&device);
            Ok(id.clone())
        })
        .await
}

fn tests_of(tables: &Tables, uuid: MachineUuid) -> DeviceTests {
    let stored = tables.device_tests().get(&uuid);
    stored.map_or_else(
        || DeviceTests::none(uuid),
        |stored| DeviceTests::clone(stored),
    )
}

/// Notes how a test gets on, and which artefacts are to come.
///
/// # Errors
/// See [`TestError`].
pub async fn tell(
    state: &State,
    uuid: MachineUuid,
    id: &str,
    told: &Told,
) -> Result<(), TestError> {
    for name in &told.artifacts {
        names::check(name)?;
    }
    let now = Timestamp::now();
    state
        .write(|draft| {
            let before = tests_of(draft.tables(), uuid);
            let mut tests = before.clone();
            let test = tests.get_mut(id);
            let test = test.ok_or_else(|| TestError::NoTest(id.to_owned()))?;
            take(test, told, now)?;
            if tests != before {
                draft.replace(&tests);
            }
            Ok(())
        })
        .await
}

/// What the device says of its test. Pure.
fn take(test: &mut Test, told: &Told, now: Timestamp) -> Result<(), TestError> {
    if !told.status.is_empty() {
        test.status = cut(&told.status, LONGEST);
        if told.status != RUNNING {
            test.completed.get_or_insert(now);
        }
    }
    if !told.details.is_empty() {
        test.details = cut(&told.details, LONGEST_DETAILS);
    }
    for name in &told.artifacts {
        if test.artifact(name).is_none() {
            test.artifacts.push(Artifact {
                name: name.clone(),
                upload: None,
            });
        }
    }
    match test.artifacts.len() {
        0..=MOST_ARTIFACTS => Ok(()),
        _ => Err(TestError::TooMany),
    }
}

/// Stores an artefact that was announced. It is cut into pieces, each of which is stored in a
/// transaction of its own; it can be read when the last one is there. The same again is no error.
///
/// # Errors
/// See [`TestError`].
pub async fn put_artifact(
    state: &State,
    uuid: MachineUuid,
    (id, name): (&str, &str),
    content: Bytes,
) -> Result<(), TestError> {
    if content.len() > LONGEST_ARTIFACT {
        return Err(TestError::TooLong(content.len()));
    }
    let upload = Upload {
        number: one_time::number(),
        bytes: content.len() as u64,
        hash: blake3::hash(&content).to_hex().to_string(),
        is_whole: false,
    };
    let steps = upload.pieces().max(1);
    for step in 0..steps {
        let begin = usize::try_from(step).unwrap_or(usize::MAX) * PIECE;
        let piece = content.slice(begin..content.len().min(begin + PIECE));
        let upload = Upload {
            is_whole: step + 1 == steps,
            ..upload.clone()
        };
        let stored = state.write(|draft| put(draft, (uuid, id, name), &upload, (step, &piece)));
        if stored.await? == Step::Known {
            return Ok(());
        }
    }
    info!(%uuid, test = id, artifact = name, bytes = content.len(), "stored an artefact of a test");
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Done,
    /// The whole artefact is there already.
    Known,
}

fn put(
    draft: &mut Draft<'_>,
    (uuid, id, name): (MachineUuid, &str, &str),
    upload: &Upload,
    (step, piece): (u64, &Bytes),
) -> Result<Step, TestError> {
    let tables = draft.tables();
    let mut tests = tests_of(tables, uuid);
    let (of_device, of_all) = (tests.bytes(), all_bytes(tables));
    let test = tests.get_mut(id);
    let test = test.ok_or_else(|| TestError::NoTest(id.to_owned()))?;
    let (place, artifact) = test.artifact(name).ok_or_else(|| TestError::NoArtifact {
        test: id.to_owned(),
        name: name.to_owned(),
    })?;
    let of = (uuid, id, place);
    let before = artifact.upload.as_ref();
    match before {
        Some(before) if before.is_whole && before.hash == upload.hash => return Ok(Step::Known),
        Some(before) if before.is_whole => return Err(TestError::Stored),
        Some(before) if step > 0 && before.number == upload.number => {}
        _ if step > 0 => return Err(TestError::Overtaken),
        _ => {
            let freed = before.map_or(0, |before| before.bytes);
            check_room(of_device - freed, of_all - freed, upload.bytes)?;
            // Of an upload that was broken off, what this one does not write again goes.
            let old = before.map_or(0, Upload::pieces);
            for piece in upload.pieces()..old {
                draft.operate(delete_piece(of, piece));
            }
        }
    }
    if !piece.is_empty() {
        draft.operate(put_piece(of, step, piece.clone()));
    }
    test.artifacts[place].upload = Some(upload.clone());
    draft.replace(&tests);
    Ok(Step::Done)
}

fn all_bytes(tables: &Tables) -> u64 {
    let all = tables.device_tests().iter();
    all.map(|tests| tests.bytes()).sum()
}

fn check_room(of_device: u64, of_all: u64, more: u64) -> Result<(), TestError> {
    if of_device + more > MOST_BYTES {
        return Err(TestError::Full(of_device + more));
    }
    match of_all + more {
        0..=MOST_OF_ALL => Ok(()),
        _ => Err(TestError::AllFull),
    }
}

/// The tests of a device that are kept, the newest first.
#[must_use]
pub fn list(tables: &Tables, uuid: MachineUuid, page: Page) -> Paged<Test> {
    let tests = tests_of(tables, uuid);
    Paged::of(tests.list.into_iter().rev().collect(), page)
}

/// One test.
#[must_use]
pub fn show(tables: &Tables, uuid: MachineUuid, id: &str) -> Option<Test> {
    let tests = tables.device_tests().get(&uuid)?;
    tests.get(id).cloned()
}

/// What an artefact contains. It is read from the engine.
///
/// # Errors
/// See [`ArtifactError`].
pub async fn artifact(
    state: &State,
    uuid: MachineUuid,
    (id, name): (&str, &str),
) -> Result<Vec<u8>, ArtifactError> {
    let test = state.read(|tables| show(tables, uuid, id));
    let test = test.ok_or(ArtifactError::NotThere)?;
    let (place, artifact) = test.artifact(name).ok_or(ArtifactError::NotThere)?;
    let upload = artifact.upload.as_ref().filter(|upload| upload.is_whole);
    let upload = upload.ok_or(ArtifactError::NotYet)?;
    let mut content = Vec::new();
    for piece in 0..upload.pieces() {
        let key = piece_key((uuid, id, place), piece);
        let entry = state.store().get(&key).await?;
        content.extend_from_slice(&entry.ok_or(ArtifactError::Incomplete)?.value);
    }
    match blake3::hash(&content).to_hex().as_str() == upload.hash {
        true => Ok(content),
        false => Err(ArtifactError::Incomplete),
    }
}

/// As what an artefact is sent and shown, by its name.
#[must_use]
pub fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("log" | "txt" | "out" | "err") => "text/plain",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn what_a_device_says_is_kept_in_bounds() {
        let now = Timestamp::from_millis(5);
        let mut test = Test {
            id: "1".to_owned(),
            name: "n".to_owned(),
            target: String::new(),
            test_id: String::new(),
            status: String::new(),
            details: String::new(),
            created: now,
            completed: None,
            artifacts: Vec::new(),
        };
        let told = |status: &str, artifacts: &[&str]| Told {
            status: status.to_owned(),
            details: "ä".repeat(LONGEST_DETAILS * 2),
            artifacts: artifacts.iter().map(ToString::to_string).collect(),
        };
        take(&mut test, &told(RUNNING, &["a.log"]), now).unwrap();
        assert_eq!(test.completed, None);
        assert_eq!(test.details.chars().count(), LONGEST_DETAILS);
        take(&mut test, &told("PASSED", &["a.log", "b"]), now).unwrap();
        assert_eq!((test.completed, test.artifacts.len()), (Some(now), 2));
        take(&mut test, &Told::default(), now).unwrap();
        assert_eq!(test.status, "PASSED");
        let many: Vec<String> = (0..MOST_ARTIFACTS).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(matches!(
            take(&mut test, &told("", &many), now),
            Err(TestError::TooMany)
        ));
    }

    #[test]
    fn one_device_does_not_take_the_room_of_the_others() {
        assert!(check_room(0, 0, MOST_BYTES).is_ok());
        assert!(matches!(
            check_room(MOST_BYTES, MOST_BYTES, 1),
            Err(TestError::Full(_))
        ));
        assert!(matches!(
            check_room(0, MOST_OF_ALL, 1),
            Err(TestError::AllFull)
        ));
        assert!(check_room(0, MOST_OF_ALL, 0).is_ok());
    }
}
