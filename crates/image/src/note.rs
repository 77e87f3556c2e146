//! What someone who deploys an image should know about it.

use crate::ranges::ByteRange;

/// Most notes of one manifest; [`fit_notes`] joins those that are too many.
pub const MAX_NOTES: usize = 4096;

/// Most bytes of a note's text.
pub const MAX_NOTE_TEXT: usize = 512;

/// What a note is about. The number is the one in the encoded manifest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum NoteKind {
    /// A partition was taken raw (every block that is not zero), and why.
    TakenRaw = 1,
    /// The contents are encrypted, and what that means for sizes and keys.
    Encrypted = 2,
    /// A file system was not cleanly unmounted, and what was done about it.
    Unclean = 3,
    /// Bytes with data that are not in the image.
    LeftOut = 4,
    /// Bytes that could not be read and are zero in the image.
    Unreadable = 5,
    /// Something unusual about the partition table.
    Table = 6,
    /// The image can only be deployed to a disk of exactly the captured size.
    SizeTied = 7,
    /// The image holds only a part of the disk.
    PartOfDisk = 8,
    /// The partition can only be deployed to one of exactly the captured size.
    PartitionSizeTied = 9,
}

impl NoteKind {
    /// All kinds, by number.
    pub const ALL: [Self; 9] = [
        Self::TakenRaw,
        Self::Encrypted,
        Self::Unclean,
        Self::LeftOut,
        Self::Unreadable,
        Self::Table,
        Self::SizeTied,
        Self::PartOfDisk,
        Self::PartitionSizeTied,
    ];

    /// The number in the encoded manifest.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TakenRaw => "taken_raw",
            Self::Encrypted => "encrypted",
            Self::Unclean => "unclean",
            Self::LeftOut => "left_out",
            Self::Unreadable => "unreadable",
            Self::Table => "table",
            Self::SizeTied => "size_tied",
            Self::PartOfDisk => "part_of_disk",
            Self::PartitionSizeTied => "partition_size_tied",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a deploy of the image reports it again: it limits what can be expected of the
    /// machine that receives the image.
    #[must_use]
    pub const fn matters_to_a_deploy(self) -> bool {
        matches!(
            self,
            Self::Unreadable
                | Self::Unclean
                | Self::Encrypted
                | Self::SizeTied
                | Self::PartitionSizeTied
                | Self::PartOfDisk
        )
    }
}

/// Something about an image that whoever deploys it should know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// Partition as Linux counts on its disk, from 1; 0: the disk.
    pub partition: u32,
    /// Bytes of the disk that it is about; empty: none in particular. Of several disks, in their
    /// common space, where it starts in the disk that it is about even if it is empty.
    pub range: ByteRange,
    /// An English sentence without its full stop: not empty, at most [`MAX_NOTE_TEXT`] bytes, no
    /// control characters.
    pub text: Box<str>,
}

impl Note {
    /// A note whose text is made to fit: control characters become spaces, and what is longer than
    /// [`MAX_NOTE_TEXT`] is cut.
    #[must_use]
    pub fn new(kind: NoteKind, partition: u32, range: ByteRange, text: &str) -> Self {
        let clean: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let text = match clean.trim() {
            "" => kind.name().to_owned(),
            text => clipped(text, MAX_NOTE_TEXT),
        };
        Self {
            kind,
            partition,
            range,
            text: text.into_boxed_str(),
        }
    }

    /// A note about the disk as a whole.
    #[must_use]
    pub fn of_disk(kind: NoteKind, text: &str) -> Self {
        Self::new(kind, 0, ByteRange::new(0, 0), text)
    }

    /// Whether the text keeps its rules.
    #[must_use]
    pub fn has_sane_text(&self) -> bool {
        (1..=MAX_NOTE_TEXT).contains(&self.text.len()) && !self.text.chars().any(char::is_control)
    }
}

impl std::fmt::Display for Note {
    /// One line for people: kind, place, text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind.name().replace('_', " "))?;
        let bytes = self.range.size().bytes();
        match (self.partition, bytes) {
            (0, 0) => {}
            (partition, 0) => write!(f, " (partition {partition})")?,
            (0, _) => write!(f, " ({bytes} bytes at byte {})", self.range.start)?,
            (partition, _) => write!(
                f,
                " (partition {partition}, {bytes} bytes at byte {})",
                self.range.start
            )?,
        }
        write!(f, ": {}", self.text)
    }
}

/// At most `most` of `notes`, in their order, so that every kind is still among them.
#[must_use]
pub fn selected_notes(notes: &[Note], most: usize) -> Vec<&Note> {
    let mut of_kind = [0_usize; NoteKind::ALL.len() + 1];
    let mut ranked: Vec<(usize, usize)> = Vec::with_capacity(notes.len());
    for (at, note) in notes.iter().enumerate() {
        let rank = &mut of_kind[usize::from(note.kind.code())];
        ranked.push((*rank, at));
        *rank += 1;
    }
    ranked.sort_unstable();
    ranked.truncate(most);
    ranked.sort_unstable_by_key(|&(_, at)| at);
    ranked.into_iter().map(|(_, at)| &notes[at]).collect()
}

/// At most `limit` bytes of `text`, with an ellipsis where something was cut.
fn clipped(text: &str, limit: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit - ELLIPSIS.len())
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    format!("{}{ELLIPSIS}", &text[..end])
}

/// Makes notes fit a manifest: where there are more than [`MAX_NOTES`], neighbours of one kind are
/// joined into one note about the bytes from the first to the last of them.
#[must_use]
pub fn fit_notes(notes: Vec<Note>) -> Vec<Note> {
    fit_notes_in(MAX_NOTES, notes)
}

/// The same for another limit, which is at least the number of kinds.
#[must_use]
pub fn fit_notes_in(most: usize, mut notes: Vec<Note>) -> Vec<Note> {
    if notes.len() <= most {
        return notes;
    }
    notes.sort_by_key(|note| (note.kind, note.range));
    // Each kind gets its share; a kind that needs less leaves the rest unused, which is fine: there
    // are few kinds and thousands of notes.
    let share = (most / NoteKind::ALL.len()).max(1);
    notes
        .chunk_by(|a, b| a.kind == b.kind)
        .flat_map(|kind| kind.chunks(kind.len().div_ceil(share)))
        .map(joined)
        .collect()
}

/// One note for a row of notes of one kind, ascending by range.
fn joined(group: &[Note]) -> Note {
    let [first, .., last] = group else {
        return group[0].clone();
    };
    let same = group.iter().all(|note| note.partition == first.partition);
    let end = group
        .iter()
        .map(|note| note.range.end)
        .max()
        .unwrap_or(last.range.end);
    Note::new(
        first.kind,
        if same { first.partition } else { 0 },
        ByteRange::new(first.range.start, end),
        &format!(
            "{} places between these bytes, the first of them: {}",
            group.len(),
            first.text
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_one_number_and_one_name_each() {
        for kind in NoteKind::ALL {
            assert_eq!(NoteKind::from_code(kind.code()), Some(kind));
            assert_eq!(NoteKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(NoteKind::from_code(0), None);
        assert_eq!(NoteKind::from_code(10), None);
    }

    #[test]
    fn a_new_note_has_a_sane_text_whatever_is_given() {
        for text in ["", "\n\t", "two\nlines", &"ä".repeat(400), &"x".repeat(513)] {
            let note = Note::of_disk(NoteKind::Table, text);
            assert!(note.has_sane_text(), "{:?}", note.text);
        }
        let fits = "x".repeat(MAX_NOTE_TEXT);
        assert_eq!(&*Note::of_disk(NoteKind::Table, &fits).text, fits);
    }

    #[test]
    fn a_note_is_one_line_for_people() {
        let note = |partition, start, end| {
            let range = ByteRange::new(start, end);
            Note::new(NoteKind::LeftOut, partition, range, "why").to_string()
        };
        assert_eq!(note(0, 0, 0), "left out: why");
        assert_eq!(note(2, 0, 0), "left out (partition 2): why");
        assert_eq!(note(0, 512, 1024), "left out (512 bytes at byte 512): why");
        assert_eq!(
            note(2, 512, 1024),
            "left out (partition 2, 512 bytes at byte 512): why"
        );
    }

    #[test]
    fn a_selection_has_every_kind() {
        let mut notes = vec![Note::of_disk(NoteKind::Unreadable, "x"); 50];
        notes.push(Note::of_disk(NoteKind::SizeTied, "y"));
        let kinds: Vec<_> = selected_notes(&notes, 3).iter().map(|n| n.kind).collect();
        use NoteKind::{SizeTied, Unreadable};
        assert_eq!(kinds, [Unreadable, Unreadable, SizeTied]);
        assert_eq!(selected_notes(&notes, 100).len(), 51);
    }

    #[test]
    fn too_many_notes_are_joined_and_none_is_lost() {
        let note = |place: u64| {
            let range = ByteRange::new(place * 1000, place * 1000 + 512);
            Note::new(NoteKind::Unreadable, 1, range, "could not be read")
        };
        let mut many: Vec<Note> = (0..100_000).rev().map(note).collect();
        many.push(Note::of_disk(NoteKind::Table, "unusual"));
        let fitted = fit_notes(many.clone());
        assert!(fitted.len() <= MAX_NOTES);
        assert!(fitted.iter().all(Note::has_sane_text));
        for lost in many {
            assert!(
                fitted.iter().any(|kept| kept.kind == lost.kind
                    && kept.range.start <= lost.range.start
                    && kept.range.end >= lost.range.end),
                "{lost:?} is in no note"
            );
        }
        let few = vec![note(2), note(1)];
        assert_eq!(fit_notes(few.clone()), few);
    }
}
