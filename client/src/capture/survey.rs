//! What is on the disks of a capture: each disk is surveyed by itself, and the results are put at
//! the places of the disks.

use foghorn_disk_layout::{DiskContents, SurveyDiskError, SurveyOptions, survey_disk};
use foghorn_image::{
    ByteRange, ByteRanges, FileSystem, ImageDisk, MAX_NOTES, Note, NoteKind, PartitionTable,
    fit_notes, fit_notes_in,
};
use foghorn_types::ByteOffset;

use super::CaptureError;
use crate::disk::{Disk, DiskSet};

/// How the disks are surveyed.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// One for each disk, in their order; for those that are missing, the last.
    pub surveys: Vec<SurveyOptions>,
    /// Sentences about disks that were not selected.
    pub left_out: Vec<String>,
}

impl From<SurveyOptions> for CaptureOptions {
    fn from(survey: SurveyOptions) -> Self {
        Self {
            surveys: vec![survey],
            left_out: Vec::new(),
        }
    }
}

impl CaptureOptions {
    fn of_disk(&self, nth: usize) -> SurveyOptions {
        let given = self.surveys.get(nth).or(self.surveys.last());
        given.cloned().unwrap_or_default()
    }

    fn notes(&self) -> impl Iterator<Item = Note> {
        let note = |text: &String| Note::of_disk(NoteKind::LeftOut, text);
        self.left_out.iter().map(note)
    }
}

/// A manifest without its chunks, and what is in use.
#[derive(Default)]
pub(super) struct Surveyed {
    /// Of a single disk.
    pub(super) table: Option<PartitionTable>,
    /// Of several.
    pub(super) disks: Vec<ImageDisk>,
    pub(super) file_systems: Vec<FileSystem>,
    pub(super) used: ByteRanges,
    pub(super) sparse: ByteRanges,
    pub(super) idle: ByteRanges,
    pub(super) notes: Vec<Note>,
}

/// Surveys every disk.
pub(super) fn survey(set: &DiskSet, options: &CaptureOptions) -> Result<Surveyed, CaptureError> {
    if set.count() == 1 {
        let disk = set.nth(0);
        let surveyed = survey_disk(disk, disk.sector_size(), &options.of_disk(0));
        let contents =
            surveyed.map_err(|error| failing(disk, error).unwrap_or_else(CaptureError::Survey))?;
        let mut notes = contents.notes;
        notes.extend(options.notes());
        return Ok(Surveyed {
            table: Some(contents.table),
            disks: Vec::new(),
            file_systems: contents.file_systems,
            used: contents.used,
            sparse: contents.sparse,
            idle: contents.idle,
            notes: fit_notes(notes),
        });
    }
    let mut all = Surveyed::default();
    all.notes.extend(options.notes().take(MAX_NOTES / 16));
    let share = (MAX_NOTES - all.notes.len()) / set.count();
    for (nth, (start, disk)) in set.iter().enumerate() {
        let surveyed = survey_disk(disk, disk.sector_size(), &options.of_disk(nth));
        let mut contents = surveyed.map_err(|error| {
            failing(disk, error).unwrap_or_else(|source| CaptureError::SurveyOf {
                path: disk.path().to_owned(),
                source,
            })
        })?;
        contents.notes = fit_notes_in(share, contents.notes);
        all.add(nth + 1, start, disk, contents);
    }
    Ok(all)
}

/// The error to report where it was not what is on the disk that ended the survey, but the disk.
/// Otherwise gives the error back.
fn failing(disk: &Disk, error: SurveyDiskError) -> Result<CaptureError, SurveyDiskError> {
    match error.unreadable() {
        Some((what, range)) => Ok(CaptureError::Unreadable {
            path: disk.path().to_owned(),
            offset: range.start,
            length: range.size().bytes(),
            what,
            source: Box::new(error),
        }),
        None => Err(error),
    }
}

impl Surveyed {
    fn add(&mut self, number: usize, start: u64, disk: &Disk, contents: DiskContents) {
        self.used.extend_from(&contents.used.shifted(start));
        self.sparse.extend_from(&contents.sparse.shifted(start));
        self.idle.extend_from(&contents.idle.shifted(start));
        self.file_systems
            .extend(contents.file_systems.into_iter().map(|fs| FileSystem {
                start: ByteOffset::from_bytes(start + fs.start.bytes()),
                ..fs
            }));
        self.notes.extend(contents.notes.iter().map(|note| {
            let text = format!("disk {number}: {}", note.text);
            // A note about no bytes in particular still says which disk it is about.
            let range = if note.range.is_empty() {
                ByteRange::new(start, start)
            } else {
                note.range.shifted(start)
            };
            Note::new(note.kind, note.partition, range, &text)
        }));
        self.disks.push(ImageDisk {
            size: disk.disk_size(),
            sector_size: disk.sector_size(),
            table: contents.table,
            name: disk.name().into(),
        });
    }
}
