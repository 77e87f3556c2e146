//! What people are told about volumes, as notes of the image.

use foghorn_image::NoteKind;

use super::VolumeNote;
use super::declared;
use super::probe::{Class, Finding};

pub(super) const BY_ORDER: &str = "taken raw as ordered: every block that is not zero, whatever \
     is in it";

/// What BitLocker means for an image. Free blocks are encrypted too, unless only used space was.
const BITLOCKER: &str = "holds BitLocker: which blocks are in use cannot be told from outside, so \
     every block that is not zero was taken, and encrypted data does not compress. On another \
     computer its TPM does not open it: that takes the recovery key or a password (none if \
     protection was suspended at the capture: then anybody can open it), and all copies share one \
     key. For a small image that starts everywhere, decrypt the drive first (manage-bde -off)";
const LUKS: &str = "holds LUKS: which blocks are in use cannot be told from outside, so every block \
     that is not zero was taken, and encrypted data does not compress. It opens with its \
     passphrases and key files, not with a key in the TPM of this computer, and all copies share \
     one master key";

/// Of a file system that may not be alone.
pub(super) const MARKS_UNREADABLE: &str = "places that it uses, and where something else would have \
     its mark, cannot be read";

fn raw(text: impl Into<String>) -> VolumeNote {
    VolumeNote::new(NoteKind::TakenRaw, text)
}

fn names(found: &[Finding]) -> String {
    let names: Vec<&str> = found.iter().map(|finding| finding.name).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// For a partition in which one thing was found, and no file system that is read here.
pub(super) fn of_one(found: &Finding) -> Option<VolumeNote> {
    match found.class {
        Class::Swap => None,
        Class::BitLocker => Some(VolumeNote::new(NoteKind::Encrypted, BITLOCKER)),
        Class::Luks => Some(VolumeNote::new(NoteKind::Encrypted, LUKS)),
        _ => Some(raw(format!(
            "holds {}: every block that is not zero was taken",
            found.name
        ))),
    }
}

/// For a partition in which nothing was found, or more than one thing.
pub(super) fn of_many(found: &[Finding]) -> VolumeNote {
    if found.is_empty() {
        return raw("holds nothing that is known here: every block that is not zero was taken");
    }
    raw(format!(
        "has the marks of {}: which of them counts cannot be told, so every block that is not zero \
         was taken (wipefs removes marks that are old)",
        names(found)
    ))
}

/// For a partition that is, by its table, no file system that is read here.
pub(super) fn of_declared(name: &'static str, found: &[Finding]) -> Option<VolumeNote> {
    let file_system =
        |finding: &&Finding| matches!(finding.class, Class::Ext | Class::Ntfs | Class::Fat);
    match found {
        [only] if file_system(&only) => Some(raw(format!(
            "is {name} by its type in the table although it begins as {} does: every block that is \
             not zero was taken",
            only.name
        ))),
        [only] => of_one(only),
        [] if declared::is_unremarkable(name) => None,
        [] => Some(raw(format!(
            "is {name} by its type in the table: every block that is not zero was taken"
        ))),
        several => Some(of_many(several)),
    }
}

pub(super) fn not_understood(name: &str, why: &str) -> String {
    format!(
        "its {name} file system could not be understood, so every block that is not zero was \
         taken: {why}"
    )
}

pub(super) fn unreadable(why: &str) -> String {
    format!(
        "what it uses could not be read, so every block that can be read and is not zero was \
         taken: {why}"
    )
}

pub(super) fn unclean(name: &str, why: &str) -> VolumeNote {
    VolumeNote::new(
        NoteKind::Unclean,
        format!(
            "the {name} was not cleanly unmounted ({why}) and accepted so: every block that is not \
             zero was taken"
        ),
    )
}

/// For a partition that was not asked whether it is clean.
pub(super) fn unclean_by_order(name: &str, why: &str) -> VolumeNote {
    VolumeNote::new(
        NoteKind::Unclean,
        format!("the {name} was not cleanly unmounted ({why}), and taken raw as ordered"),
    )
}

/// What the end of a partition means for its size, if something counts from there.
pub(super) fn of_end(found: &[Finding]) -> Option<VolumeNote> {
    let owner = found.iter().find(|finding| finding.ties_size())?;
    Some(VolumeNote::new(
        NoteKind::PartitionSizeTied,
        format!(
            "the marks of {} are counted from its end, where they are found only if its size stays \
             exactly the same (if they are old: wipefs removes them before a capture)",
            owner.name
        ),
    ))
}

pub(super) fn unclean_but_whole(name: &str, why: &str) -> VolumeNote {
    VolumeNote::new(
        NoteKind::Unclean,
        format!(
            "the {name} file system was not cleanly unmounted ({why}): its table is kept up to \
             date all the same, so nothing is missing, but it should be checked"
        ),
    )
}
