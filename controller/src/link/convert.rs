//! Converts messages of the link to domain types. Everything that an agent sends is checked here
//! first.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foghorn_image::{ByteRange, ImageDisk, MAX_DISKS, Note, NoteKind};
use foghorn_lifecycle::Outcome;
use foghorn_proto::link::{self, session_ended};
use foghorn_types::{
    ByteCount, ChunkId, Digest, FileId, HostId, ImageId, ManifestId, StorageNodeId, TaskId,
    Timestamp,
};

use crate::agents::cold::{ColdCopies, ColdCopy};
use crate::agents::contents::{ContentDamage, Origin, StoreCheck, Unverified};
use crate::agents::jobs::{Damage, RecordDamage};
use crate::agents::live::{NodeLive, Stage, TransferProgress};
use crate::agents::session_reports::{ReceiverReport, SessionPhase, SessionReport};
use crate::state::content::ContentDisk;
use crate::state::notes::Notes;

/// An invalid message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub(crate) struct BadMessage {
    pub(crate) field: &'static str,
    pub(crate) why: &'static str,
}

/// Result of a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Captured {
    pub(crate) manifest: ManifestId,
    pub(crate) logical_bytes: ByteCount,
    pub(crate) used_bytes: ByteCount,
    pub(crate) stored_bytes: ByteCount,
    pub(crate) new_bytes: ByteCount,
    pub(crate) notes: Notes,
    pub(crate) disks: Vec<ContentDisk>,
    pub(crate) partitions: Vec<u32>,
    pub(crate) minimum: ByteCount,
}

/// How a session ended, with what it captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) captured: Option<Captured>,
    /// Of the session; 0 from an agent of an earlier version.
    pub(crate) incarnation: u64,
}

pub(crate) fn task(id: u32) -> Result<TaskId, BadMessage> {
    TaskId::new(id).ok_or(BadMessage {
        field: "task_id",
        why: "0 is not a task id",
    })
}

pub(super) fn manifest(bytes: &[u8]) -> Result<ManifestId, BadMessage> {
    let digest = Digest::try_from(bytes).map_err(|_| BadMessage {
        field: "manifest_id",
        why: "must have 32 bytes",
    })?;
    Ok(ManifestId::from_digest(digest))
}

/// Stores a status in the state of the node.
/// Of one node; a client tries them one after the other.
const MOST_ADDRESSES: usize = 16;

pub(super) fn apply_status(
    live: &mut NodeLive,
    status: &link::NodeStatus,
) -> Result<(), BadMessage> {
    let image = |id| {
        ImageId::new(id).ok_or(BadMessage {
            field: "image_id",
            why: "0 is not an image id",
        })
    };
    let manifests = status
        .manifests
        .iter()
        .map(|stored| Ok((image(stored.image_id)?, manifest(&stored.manifest_id)?)));
    live.manifests = manifests.collect::<Result<_, BadMessage>>()?;
    live.origins = status
        .manifests
        .iter()
        .filter_map(|stored| Some((manifest(&stored.manifest_id).ok()?, origin(stored)?)))
        .collect();
    set_damage(live, &status.damaged)?;
    let unverified = status.unverified.iter().map(unverified);
    live.unverified = unverified.collect::<Result<_, BadMessage>>()?;
    live.check = status.check.as_ref().map(check);
    live.cold = status.cold.as_ref().map(cold).transpose()?;
    live.reported = true;
    let files = status.files.iter().map(|bytes| file(bytes));
    live.files = files.collect::<Result<_, BadMessage>>()?;
    live.disk_total = ByteCount::from_bytes(status.disk_total_bytes);
    live.disk_free = ByteCount::from_bytes(status.disk_free_bytes);
    live.stored_bytes = ByteCount::from_bytes(status.stored_bytes);
    live.chunks = status.chunks;
    live.keep_free = ByteCount::from_bytes(status.keep_free_bytes);
    live.chunks_path.clone_from(&status.chunks_path);
    live.problem.clone_from(&status.problem);
    live.active_transfers = status.active_transfers;
    if status.certificate_ends_ms > 0 {
        live.certificate_ends = Some(Timestamp::from_millis(status.certificate_ends_ms));
    }
    if let Some(first) = status.quic_addresses.first() {
        live.quic_address.clone_from(first);
        let addresses = status.quic_addresses.iter().take(MOST_ADDRESSES);
        live.quic_addresses = addresses.cloned().collect();
    }
    Ok(())
}

/// Content from before this was kept has none.
fn origin(stored: &link::StoredManifest) -> Option<Origin> {
    let captured = Some(stored.captured_unix_ms).filter(|time| *time > 0)?;
    let name = stored.host_name.chars().take(NAME).collect();
    Some(Origin {
        captured: Timestamp::from_millis(captured),
        host: HostId::new(stored.host_id).map(|host| (host, name)),
        used: ByteCount::from_bytes(stored.used_bytes),
        stored: ByteCount::from_bytes(stored.stored_bytes),
    })
}

fn unverified(content: &link::UnverifiedContent) -> Result<(ManifestId, Unverified), BadMessage> {
    let state = Unverified {
        verified: content.chunks_verified.min(content.chunks_total),
        total: content.chunks_total,
        reason: content.reason.chars().take(REASON).collect(),
    };
    Ok((manifest(&content.manifest_id)?, state))
}

fn check(check: &link::StoreCheck) -> StoreCheck {
    let ended = Some(check.last_ended_unix_ms).filter(|time| *time > 0);
    StoreCheck {
        running: check.running,
        parts_done: check.parts_done.min(check.parts_total),
        parts_total: check.parts_total,
        last_ended: ended.map(Timestamp::from_millis),
        damaged: check.damaged,
        waits_for: check.waits_for.chars().take(REASON).collect(),
    }
}

fn cold(status: &link::ColdStatus) -> Result<ColdCopies, BadMessage> {
    let short = |text: &str| text.chars().take(REASON).collect::<String>();
    let mut images = HashMap::new();
    for one in &status.images {
        let image = ImageId::new(one.image_id).ok_or(BadMessage {
            field: "image_id",
            why: "0 is not an image id",
        })?;
        let copy = ColdCopy {
            verified: one.verified,
            total: one.total,
            complete: one.complete,
            away: one.away,
            problem: short(&one.problem),
        };
        images.insert((image, manifest(&one.manifest_id)?), copy);
    }
    let since = Timestamp::from_millis(status.problem_since_ms);
    Ok(ColdCopies {
        bucket: short(&status.bucket),
        prefix: short(&status.prefix),
        trouble: (!status.problem.is_empty()).then(|| (short(&status.problem), since)),
        bucket_bytes: ByteCount::from_bytes(status.bucket_bytes),
        cache_bytes: ByteCount::from_bytes(status.cache_bytes),
        limit: ByteCount::from_bytes(status.limit_bytes),
        images,
    })
}

/// Stores what a node cannot give out whole.
pub(super) fn set_damage(
    live: &mut NodeLive,
    contents: &[link::DamagedContent],
) -> Result<(), BadMessage> {
    let (mut manifests, mut files) = (HashMap::new(), HashMap::new());
    for content in contents {
        let damage = ContentDamage {
            chunks: content.chunks,
            record: content.record,
            found: Timestamp::from_millis(content.found_unix_ms),
            problem: content.problem.chars().take(REASON).collect(),
        };
        if content.file_id.is_empty() {
            manifests.insert(manifest(&content.manifest_id)?, damage);
        } else {
            files.insert(file(&content.file_id)?, damage);
        }
    }
    (live.damaged, live.damaged_files) = (manifests, files);
    Ok(())
}

fn file(bytes: &[u8]) -> Result<FileId, BadMessage> {
    let digest = Digest::try_from(bytes).map_err(|_| BadMessage {
        field: "file_id",
        why: "must have 32 bytes",
    })?;
    Ok(FileId::from_digest(digest))
}

pub(crate) fn progress(
    node: StorageNodeId,
    report: &link::SessionProgress,
    now: Instant,
) -> TransferProgress {
    TransferProgress {
        node,
        bytes_done: ByteCount::from_bytes(report.bytes_done),
        bytes_total: ByteCount::from_bytes(report.bytes_total),
        bytes_wire: ByteCount::from_bytes(report.bytes_wire),
        rate: ByteCount::from_bytes(report.rate_bytes_per_second),
        eta: Duration::from_secs(report.eta_seconds.into()),
        limiting_stage: match report.limiting_stage() {
            link::Stage::Unspecified => None,
            link::Stage::Network => Some(Stage::Network),
            link::Stage::Compression => Some(Stage::Compression),
            link::Stage::Disk => Some(Stage::Disk),
        },
        bytes_reused: ByteCount::from_bytes(report.bytes_reused),
        moved_at: now,
    }
}

/// Maximum length of the name of a host, in characters; FOG allows less.
const NAME: usize = 255;
/// Maximum length of a stored reason, in characters.
const REASON: usize = 500;

/// State of a session, without the progress of its receivers.
pub(super) fn session_report(
    report: &link::MulticastReport,
    now: Instant,
) -> Result<SessionReport, BadMessage> {
    let receivers = report
        .receivers
        .iter()
        .map(|receiver| Ok((task(receiver.task_id)?, self::receiver(receiver))));
    Ok(SessionReport {
        phase: match report.phase() {
            // An unknown phase is treated as sending.
            link::MulticastPhase::Unspecified | link::MulticastPhase::Sending => {
                SessionPhase::Sending
            }
            link::MulticastPhase::Waiting => SessionPhase::Waiting,
            link::MulticastPhase::Repairing => SessionPhase::Repairing,
            link::MulticastPhase::Ended => SessionPhase::Ended,
        },
        rate: ByteCount::from_bytes(report.rate_bytes_per_second),
        payload: ByteCount::from_bytes(report.payload_bytes),
        wire: ByteCount::from_bytes(report.wire_bytes),
        parity: ByteCount::from_bytes(report.parity_bytes),
        receivers: receivers.collect::<Result<_, BadMessage>>()?,
        received: now,
    })
}

fn receiver(receiver: &link::MulticastReceiver) -> ReceiverReport {
    ReceiverReport {
        unicast: receiver
            .unicast
            .then(|| receiver.unicast_reason.chars().take(REASON).collect()),
        loss_ppm: receiver.loss_ppm.min(1_000_000),
        parity_used: receiver.parity_used,
        forged: receiver.forged,
        next_unicast: receiver.next_unicast,
    }
}

pub(super) fn ended(message: link::SessionEnded) -> Result<Ended, BadMessage> {
    let incarnation = message.incarnation;
    let outcome = message.outcome.ok_or(BadMessage {
        field: "outcome",
        why: "is missing",
    })?;
    Ok(match outcome {
        session_ended::Outcome::Completed(done) => Ended {
            outcome: Outcome::Complete,
            captured: done.captured.map(captured).transpose()?,
            incarnation,
        },
        session_ended::Outcome::Failed(failed) => {
            let outcome = Outcome::Failed {
                reason: failed.reason,
                node_at_fault: failed.node_at_fault,
            };
            Ended {
                outcome,
                captured: None,
                incarnation,
            }
        }
        session_ended::Outcome::Cancelled(cancelled) => Ended {
            outcome: Outcome::Cancelled {
                reason: cancelled.reason,
            },
            captured: None,
            incarnation,
        },
    })
}

pub(super) fn captured(image: link::CapturedImage) -> Result<Captured, BadMessage> {
    Ok(Captured {
        manifest: manifest(&image.manifest_id)?,
        logical_bytes: ByteCount::from_bytes(image.logical_bytes),
        used_bytes: ByteCount::from_bytes(image.used_bytes),
        stored_bytes: ByteCount::from_bytes(image.stored_bytes),
        new_bytes: ByteCount::from_bytes(image.new_bytes),
        notes: notes(&image)?,
        disks: disks(&image)?,
        partitions: partitions(image.partitions),
        minimum: ByteCount::from_bytes(image.minimum),
    })
}

/// Numbers of partitions; more than a disk has outside of tests count as unknown.
fn partitions(sent: Vec<u32>) -> Vec<u32> {
    const MOST: usize = 1024;
    if sent.len() > MOST { Vec::new() } else { sent }
}

/// The disks of an image of several.
fn disks(sent: &link::CapturedImage) -> Result<Vec<ContentDisk>, BadMessage> {
    if sent.disks.len() == 1 || sent.disks.len() > MAX_DISKS {
        return Err(BadMessage {
            field: "disks",
            why: "are one or too many",
        });
    }
    let disk = |disk: &link::ImageDisk| ContentDisk {
        size: ByteCount::from_bytes(disk.size),
        sector_size: disk.sector_size,
        start: disk.start,
        minimum: ByteCount::from_bytes(disk.minimum),
        name: ImageDisk::fit_name(&disk.name).into(),
    };
    Ok(sent.disks.iter().map(disk).collect())
}

/// Notes about bytes of the disk. Those of a kind that this controller does not know are counted
/// only; texts are clipped.
fn notes(image: &link::CapturedImage) -> Result<Notes, BadMessage> {
    let mut known = Vec::new();
    let mut more = image.more_notes;
    for sent in &image.notes {
        let end = sent
            .offset
            .checked_add(sent.length)
            .filter(|&end| end <= image.logical_bytes)
            .ok_or(BadMessage {
                field: "notes",
                why: "are about bytes outside the disk",
            })?;
        match u8::try_from(sent.kind).ok().and_then(NoteKind::from_code) {
            Some(kind) => {
                let range = ByteRange::new(sent.offset, end);
                known.push(Note::new(kind, sent.partition, range, &sent.text));
            }
            None => more = more.saturating_add(1),
        }
    }
    Ok(Notes::new(&known, more))
}

pub(super) fn damage(chunk: link::DamagedChunk) -> Result<Damage, BadMessage> {
    let digest = Digest::try_from(chunk.chunk_id.as_slice()).map_err(|_| BadMessage {
        field: "chunk_id",
        why: "must have 32 bytes",
    })?;
    let images = chunk.images.into_iter().filter_map(ImageId::new).collect();
    let files = chunk.files.iter().map(|bytes| file(bytes));
    Ok(Damage {
        chunk: ChunkId::from_digest(digest),
        problem: chunk.problem,
        images,
        files: files.collect::<Result<_, BadMessage>>()?,
    })
}

pub(super) fn record_damage(record: link::DamagedRecord) -> Result<RecordDamage, BadMessage> {
    let images = record.images.into_iter().filter_map(ImageId::new).collect();
    let not_empty = |bytes: &Vec<u8>| !bytes.is_empty();
    Ok(RecordDamage {
        manifest: Some(&record.manifest_id)
            .filter(|bytes| not_empty(bytes))
            .map(|bytes| manifest(bytes))
            .transpose()?,
        file: Some(&record.file_id)
            .filter(|bytes| not_empty(bytes))
            .map(|bytes| file(bytes))
            .transpose()?,
        path: record.path,
        problem: record.problem,
        images,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_agent_would_send_is_refused() {
        assert_eq!(task(0).unwrap_err().field, "task_id");
        assert!(manifest(&[1; 31]).is_err());
        assert_eq!(
            ended(link::SessionEnded {
                task_id: 1,
                outcome: None,
                incarnation: 0
            })
            .unwrap_err()
            .field,
            "outcome"
        );
        let short = link::DamagedChunk {
            chunk_id: vec![0; 5],
            ..link::DamagedChunk::default()
        };
        assert!(damage(short).is_err());
    }

    #[test]
    fn notes_are_checked_clipped_and_bounded() {
        let note = |kind, offset, length, text: &str| link::ImageNote {
            kind,
            partition: 1,
            offset,
            length,
            text: text.to_owned(),
        };
        let image = |notes| link::CapturedImage {
            logical_bytes: 1024,
            notes,
            more_notes: 2,
            ..link::CapturedImage::default()
        };
        for outside in [note(4, 512, 513, "x"), note(4, u64::MAX, 2, "x")] {
            assert_eq!(notes(&image(vec![outside])).unwrap_err().field, "notes");
        }
        let mut sent = vec![
            note(4, 512, 512, &"two\nlines ".repeat(1000)),
            note(99, 0, 0, "new"),
        ];
        sent.extend(vec![note(5, 0, 512, "x"); 500]);
        let kept = notes(&image(sent)).unwrap();
        assert_eq!((kept.list().len(), kept.more()), (100, 2 + 1 + 401));
        assert_eq!(kept.list()[0].kind, NoteKind::LeftOut);
        assert!(kept.list().iter().all(Note::has_sane_text));
    }

    #[test]
    fn an_image_has_no_disk_list_or_two_or_more() {
        let of = |count| {
            let disk = link::ImageDisk {
                name: "two\nlines".to_owned(),
                ..link::ImageDisk::default()
            };
            disks(&link::CapturedImage {
                disks: vec![disk; count],
                ..link::CapturedImage::default()
            })
        };
        assert_eq!(of(0), Ok(Vec::new()));
        assert_eq!(of(2).unwrap()[1].name, "two lines");
        for count in [1, MAX_DISKS + 1] {
            assert_eq!(of(count).unwrap_err().field, "disks");
        }
    }

    #[test]
    fn a_capture_keeps_its_figures() {
        let image = link::CapturedImage {
            manifest_id: vec![3; 32],
            logical_bytes: 1,
            used_bytes: 2,
            stored_bytes: 3,
            new_bytes: 4,
            ..link::CapturedImage::default()
        };
        let done = link::Completed {
            r#final: None,
            captured: Some(image),
        };
        let message = link::SessionEnded {
            task_id: 1,
            outcome: Some(session_ended::Outcome::Completed(done)),
            incarnation: 7,
        };
        let captured = ended(message).unwrap().captured.unwrap();
        assert_eq!(
            (captured.manifest, captured.new_bytes.bytes()),
            (ManifestId::from_digest([3; 32]), 4)
        );
    }
}
