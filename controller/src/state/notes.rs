//! What people should know about an image, as it is kept with its content and with the tasks that
//! captured or deployed it.

use foghorn_image::{ByteRange, Note, NoteKind, selected_notes};
use foghorn_types::DiskPart;
use serde::{Deserialize, Serialize};

/// Most notes that are kept with the content of an image.
pub const MOST_NOTES: usize = 100;

/// Most notes that are kept with a task: there are many tasks for one image.
const MOST_OF_TASK: usize = 20;

/// Notes, and how many more there are in the manifest.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Notes {
    #[serde(with = "stored")]
    list: Vec<Note>,
    #[serde(default, skip_serializing_if = "is_zero")]
    more: u32,
}

impl Notes {
    /// The first [`MOST_NOTES`] of `list`, of every kind some; the others are counted with `more`.
    #[must_use]
    pub fn new(list: &[Note], more: u32) -> Self {
        Self::of_at_most(MOST_NOTES, list, more)
    }

    fn of_at_most(most: usize, list: &[Note], more: u32) -> Self {
        let kept: Vec<Note> = selected_notes(list, most).into_iter().cloned().collect();
        let left = u32::try_from(list.len() - kept.len()).unwrap_or(u32::MAX);
        Self {
            list: kept,
            more: more.saturating_add(left),
        }
    }

    /// Those that a task keeps which captured the image.
    #[must_use]
    pub fn of_capture(&self) -> Self {
        Self::of_at_most(MOST_OF_TASK, &self.list, self.more)
    }

    /// Those that a task keeps which deploys the image. What was left out of the list is not
    /// counted: it may be of no interest to a deploy.
    #[must_use]
    pub fn of_deploy(&self) -> Self {
        let list: Vec<Note> = self
            .list
            .iter()
            .filter(|note| note.kind.matters_to_a_deploy())
            .cloned()
            .collect();
        Self::of_at_most(MOST_OF_TASK, &list, 0)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.more == 0
    }

    /// The notes that are kept.
    #[must_use]
    pub fn list(&self) -> &[Note] {
        &self.list
    }

    /// What of the disk the image contains, as [`foghorn_image::Manifest::part`] tells it.
    #[must_use]
    pub fn part(&self) -> DiskPart {
        let mut notes = self.list.iter();
        match notes.find(|note| note.kind == NoteKind::PartOfDisk) {
            None => DiskPart::Everything,
            Some(note) => DiskPart::partition(note.partition).unwrap_or(DiskPart::Table),
        }
    }

    /// How many more there are in the manifest.
    #[must_use]
    pub fn more(&self) -> u32 {
        self.more
    }
}

/// As serde calls it.
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The stored form of the list.
mod stored {
    use serde::{Deserializer, Serializer, de};

    use super::{ByteRange, Deserialize, Note, NoteKind, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Stored {
        kind: String,
        partition: u32,
        start: u64,
        end: u64,
        text: String,
    }

    pub(super) fn serialize<S: Serializer>(list: &[Note], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(|note| Stored {
            kind: note.kind.name().to_owned(),
            partition: note.partition,
            start: note.range.start,
            end: note.range.end,
            text: note.text.to_string(),
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Note>, D::Error> {
        Vec::<Stored>::deserialize(from)?
            .into_iter()
            .map(|note| {
                let kind = NoteKind::from_name(&note.kind).ok_or_else(|| {
                    de::Error::custom(format!("unknown kind of note {:?}", note.kind))
                })?;
                let range = ByteRange::new(note.start, note.end);
                Ok(Note::new(kind, note.partition, range, &note.text))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_bounded_and_the_rest_is_counted() {
        let mut list = vec![Note::of_disk(NoteKind::Unreadable, "x"); 150];
        list.push(Note::of_disk(NoteKind::Table, "t"));
        let notes = Notes::new(&list, 7);
        assert_eq!((notes.list().len(), notes.more()), (MOST_NOTES, 58));
        let task = notes.of_capture();
        assert_eq!((task.list().len(), task.more()), (MOST_OF_TASK, 138));
        assert!(task.list().iter().any(|note| note.kind == NoteKind::Table));
        let deploy = notes.of_deploy();
        assert!(
            deploy
                .list()
                .iter()
                .all(|note| note.kind == NoteKind::Unreadable)
        );
        assert_eq!((deploy.list().len(), deploy.more()), (MOST_OF_TASK, 79));
    }

    #[test]
    fn notes_survive_storage() {
        let range = ByteRange::new(512, 1024);
        let notes = Notes::new(&[Note::new(NoteKind::LeftOut, 2, range, "why")], 3);
        let text = serde_json::to_string(&notes).unwrap();
        assert_eq!(
            text,
            r#"{"list":[{"kind":"left_out","partition":2,"start":512,"end":1024,"text":"why"}],"more":3}"#
        );
        assert_eq!(serde_json::from_str::<Notes>(&text).unwrap(), notes);
    }
}
