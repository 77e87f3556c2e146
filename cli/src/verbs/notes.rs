//! Notes about images, for people.

use foghorn_rest_types::native::{ImageNote, ImageNoteKind};

/// A note as one line: kind, place, text.
fn line(note: &ImageNote) -> String {
    let kind = match note.kind {
        ImageNoteKind::TakenRaw => "captured raw",
        ImageNoteKind::Encrypted => "encrypted",
        ImageNoteKind::Unclean => "not cleanly unmounted",
        ImageNoteKind::LeftOut => "not in the image",
        ImageNoteKind::Unreadable => "unreadable",
        ImageNoteKind::Table => "partition table",
        ImageNoteKind::SizeTied => "only for disks of the same size",
        ImageNoteKind::PartitionSizeTied => "only for partitions of the same size",
        ImageNoteKind::PartOfDisk => "a part of the disk",
    };
    let mut place = Vec::new();
    if note.partition != 0 {
        place.push(format!("partition {}", note.partition));
    }
    if note.length.bytes() != 0 {
        place.push(format!("{} at byte {}", note.length, note.offset));
    }
    let place = if place.is_empty() {
        String::new()
    } else {
        format!(" ({})", place.join(", "))
    };
    format!("{kind}{place}: {}", note.text)
}

/// A line for each note, and one about those that are not listed.
pub(super) fn lines(notes: &[ImageNote], more: u32) -> Vec<String> {
    let more = (more > 0).then(|| format!("… and {more} more"));
    notes.iter().map(line).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use foghorn_types::ByteCount;

    use super::*;

    #[test]
    fn notes_are_lines_for_people() {
        let note = ImageNote {
            kind: ImageNoteKind::LeftOut,
            partition: 0,
            offset: 512,
            length: ByteCount::from_mib(1),
            text: "data behind the last partition".into(),
        };
        let whole = ImageNote {
            kind: ImageNoteKind::Unclean,
            partition: 2,
            length: ByteCount::ZERO,
            ..note.clone()
        };
        assert_eq!(
            lines(&[note, whole], 3),
            [
                "not in the image (1.00 MiB at byte 512): data behind the last partition",
                "not cleanly unmounted (partition 2): data behind the last partition",
                "… and 3 more"
            ]
        );
        assert!(lines(&[], 0).is_empty());
    }
}
