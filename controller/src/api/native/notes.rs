//! Notes about images.

use foghorn_image::{Note, NoteKind};
use foghorn_rest_types::native::{ImageNote, ImageNoteKind};

use crate::app::versions;
use crate::state::Tables;
use crate::state::notes::Notes;
use crate::state::run::{Run, RunKind};

/// The notes of a task: those that it has kept, or while it has not ended those of its image.
pub(super) fn of_task(tables: &Tables, run: &Run) -> Notes {
    match run.kind {
        RunKind::Deploy { .. } if run.notes.is_empty() => versions::content_of(tables, run)
            .map(|content| content.notes.of_deploy())
            .unwrap_or_default(),
        _ => run.notes.clone(),
    }
}

pub(super) fn views(notes: &Notes) -> Vec<ImageNote> {
    notes.list().iter().map(view).collect()
}

fn view(note: &Note) -> ImageNote {
    ImageNote {
        kind: match note.kind {
            NoteKind::TakenRaw => ImageNoteKind::TakenRaw,
            NoteKind::Encrypted => ImageNoteKind::Encrypted,
            NoteKind::Unclean => ImageNoteKind::Unclean,
            NoteKind::LeftOut => ImageNoteKind::LeftOut,
            NoteKind::Unreadable => ImageNoteKind::Unreadable,
            NoteKind::Table => ImageNoteKind::Table,
            NoteKind::SizeTied => ImageNoteKind::SizeTied,
            NoteKind::PartOfDisk => ImageNoteKind::PartOfDisk,
            NoteKind::PartitionSizeTied => ImageNoteKind::PartitionSizeTied,
        },
        partition: note.partition,
        offset: note.range.start,
        length: note.range.size(),
        text: note.text.to_string(),
    }
}
