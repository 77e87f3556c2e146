//! Contents of the section of notes.

use super::DecodeManifestError;
use crate::cursor::{Cursor, put_varint};
use crate::note::{MAX_NOTES, Note, NoteKind};
use crate::ranges::ByteRange;

/// Kind, partition, start, length, length of the text, and one byte of text.
const LEAST_NOTE: usize = 6;

pub(super) fn encode_notes(notes: &[Note]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, notes.len() as u64);
    for note in notes {
        out.push(note.kind.code());
        put_varint(&mut out, u64::from(note.partition));
        put_varint(&mut out, note.range.start);
        // A range that ends before it starts gives a length that no decoder takes.
        put_varint(&mut out, note.range.end.wrapping_sub(note.range.start));
        put_varint(&mut out, note.text.len() as u64);
        out.extend_from_slice(note.text.as_bytes());
    }
    out
}

pub(super) fn decode_notes(mut from: Cursor<'_>) -> Result<Vec<Note>, DecodeManifestError> {
    let count = from.count(LEAST_NOTE)?;
    if count == 0 {
        return Err(from.malformed("are there without a note"));
    }
    if count > MAX_NOTES {
        return Err(from.malformed("are too many"));
    }
    let mut notes = Vec::with_capacity(count);
    for _ in 0..count {
        notes.push(decode_note(&mut from)?);
    }
    from.finish()?;
    Ok(notes)
}

fn decode_note(from: &mut Cursor<'_>) -> Result<Note, DecodeManifestError> {
    let kind = NoteKind::from_code(from.byte()?).ok_or(from.malformed("name an unknown kind"))?;
    let partition = from.number()?;
    let (start, length) = (from.varint()?, from.varint()?);
    let end = start
        .checked_add(length)
        .ok_or(from.malformed("have a range beyond any disk"))?;
    let len = from.number()?;
    let text = std::str::from_utf8(from.bytes(len)?)
        .map_err(|_| from.malformed("have a text that is not UTF-8"))?;
    Ok(Note {
        kind,
        partition,
        range: ByteRange::new(start, end),
        text: text.into(),
    })
}
