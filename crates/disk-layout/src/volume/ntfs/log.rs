//! Whether `$LogFile` has something to replay.
//!
//! The log begins with two restart pages, of which the newer counts. It says who uses the log: with
//! a user, and without the mark that the volume is clean, the system that wrote it did not end
//! properly. A log of 0xff bytes was emptied and has nothing in it. Version 2.0 of the pages is there
//! only while Windows (8 and newer) has the volume, also when it keeps parts of it in memory over a
//! shutdown; it goes back to 1.1 when it lets go.

use super::record::{apply_fixups, kind};
use super::table::{Ntfs, Value};
use super::{ReadVolumeError, Stream};
use crate::volume::field::{u16_at, u32_at, u64_at};

const LOG_FILE: u64 = 2;
/// Bytes of the log that count.
const MAX_SIZE: u64 = 1 << 32;
const PAGE: u64 = 4096;
/// Two restart pages, and no fewer pages of records than this.
const MIN_PAGES: u64 = 2 + 48;
const BLOCK: u64 = 512;
const NO_CLIENT: u16 = 0xffff;
const VOLUME_IS_CLEAN: u16 = 2;
/// Bytes of a page in front of its update sequence, of the restart area without its users, and of one
/// user.
const HEADER: u64 = 30;
const AREA: usize = 48;
const CLIENT: usize = 160;
const EMPTY: [u8; 4] = [0xff; 4];
const NOT_REPLAYED: &str = "its log was not replayed: the computer stopped without shutting down";

/// What a restart page says.
struct Restart {
    /// Grows with every change of the log.
    sequence: i64,
    in_use: bool,
    cached: bool,
}

pub(super) fn why_in_use(ntfs: &Ntfs<'_>) -> Result<Option<&'static str>, ReadVolumeError> {
    let file = ntfs.record(LOG_FILE)?;
    let Some(Value::Stream(stream)) = ntfs.value(&file, kind::DATA, "")? else {
        return Ok(Some("its log is damaged"));
    };
    let size = stream.size.min(MAX_SIZE) / PAGE * PAGE;
    if size / PAGE < MIN_PAGES {
        return Ok(Some("its log is damaged"));
    }
    let (mut pages, mut is_empty) = (Vec::new(), true);
    let mut at = 0;
    while at < size {
        let block = stream.read(&ntfs.source, at, BLOCK, "the log")?;
        match (block.starts_with(&EMPTY), is_empty) {
            (true, false) => break,
            (empty, _) => is_empty &= empty,
        }
        if block.starts_with(b"RCRD") {
            break;
        }
        if block.starts_with(b"RSTR") || block.starts_with(b"CHKD") {
            let page = restart_page(ntfs, &stream, at, &block)?;
            let is_second = page.is_some() && at != 0;
            pages.extend(page);
            if is_second {
                break;
            }
        }
        // Wherever a page can start, whatever its size.
        at = if at == 0 { BLOCK } else { at * 2 };
    }
    if is_empty {
        return Ok(None);
    }
    // Of two that are equally new the first counts.
    let newest = pages.into_iter().rev().max_by_key(|page| page.sequence);
    Ok(match newest {
        None => Some("its log is damaged"),
        Some(page) if page.in_use => Some(NOT_REPLAYED),
        Some(page) if page.cached => Some(
            "Windows keeps parts of it in memory: it was shut down with fast startup, or stopped",
        ),
        Some(_) => None,
    })
}

/// `None` when the page is not valid. `block`: its first bytes.
fn restart_page(
    ntfs: &Ntfs<'_>,
    stream: &Stream,
    at: u64,
    block: &[u8],
) -> Result<Option<Restart>, ReadVolumeError> {
    let page = u64::from(u32_at(block, 16));
    if !has_valid_header(block, at) || page > stream.size {
        return Ok(None);
    }
    let Ok(mut bytes) = stream.read(&ntfs.source, at, page, "the log") else {
        return Ok(None);
    };
    let checked = block.starts_with(b"CHKD");
    // If a block behind the restart area was not written to its end, the page still counts, and nobody
    // believes that it ended properly.
    let is_whole = is_unprotected(block) || apply_fixups(&mut bytes);
    let area_at = usize::from(u16_at(block, 24));
    let area = &bytes[area_at..];
    let area_end = area_at + usize::from(u16_at(area, 20));
    if !has_valid_area(&bytes, area_at) || !is_whole && area_end as u64 > BLOCK - 2 {
        return Ok(None);
    }
    let has_user = u16_at(area, 12) != NO_CLIENT;
    if !checked && has_user && !has_valid_clients(area) {
        return Ok(None);
    }
    // The check of Windows keeps a number of its own, also in a page that is not whole.
    let sequence = if checked {
        u64_at(&bytes, 8)
    } else {
        u64_at(area, 0)
    };
    Ok(Some(Restart {
        sequence: sequence.cast_signed(),
        in_use: !is_whole || has_user && u16_at(area, 14) & VOLUME_IS_CLEAN == 0,
        cached: u16_at(block, 28) == 2,
    }))
}

/// A page that the check of Windows has written without an update sequence.
fn is_unprotected(block: &[u8]) -> bool {
    block.starts_with(b"CHKD") && u16_at(block, 6) == 0
}

/// Sizes, version, and the places of the update sequence and the restart area.
fn has_valid_header(block: &[u8], at: u64) -> bool {
    let (page, log_page) = (u64::from(u32_at(block, 16)), u64::from(u32_at(block, 20)));
    let sane = |size: u64| size.is_power_of_two() && (BLOCK..=64 << 10).contains(&size);
    let version = (u16_at(block, 28), u16_at(block, 26));
    let (sequence_at, count) = (u64::from(u16_at(block, 4)), u64::from(u16_at(block, 6)));
    let area_at = u64::from(u16_at(block, 24));
    let sequence_end = if is_unprotected(block) {
        HEADER
    } else {
        sequence_at + count * 2
    };
    sane(page)
        && sane(log_page)
        && (at == 0 || at == page)
        && matches!(version, (1, 1) | (2, 0))
        && (is_unprotected(block)
            || count == 1 + page / BLOCK && sequence_at >= HEADER && sequence_end <= BLOCK - 2)
        && area_at.is_multiple_of(8)
        && area_at >= sequence_end
        // What is looked at before the page is known to be whole.
        && area_at + 24 <= BLOCK - 2
        && (block.starts_with(b"CHKD") || u64_at(block, 8) == 0)
}

/// Whether what the restart area says about itself fits together. Its page is longer than the area
/// without the list of users.
fn has_valid_area(page: &[u8], area_at: usize) -> bool {
    let Some(area) = page.get(area_at..).filter(|area| area.len() >= AREA) else {
        return false;
    };
    let (clients, client_at) = (u16_at(area, 8), usize::from(u16_at(area, 22)));
    let length = usize::from(u16_at(area, 20));
    let needed = client_at + usize::from(clients) * CLIENT;
    let file_size = u64_at(area, 24);
    // The number of a record is its place in the log and how often the log went round.
    let sequence_bits = 67 - u64::from(u64::BITS - file_size.leading_zeros());
    let is_client = |index: u16| index == NO_CLIENT || index < clients;
    client_at.is_multiple_of(8)
        && (area_at + client_at) as u64 <= BLOCK - 2
        && needed <= length
        && length <= area.len()
        && is_client(u16_at(area, 10))
        && is_client(u16_at(area, 12))
        && u64::from(u32_at(area, 16)) == sequence_bits
        && u16_at(area, 36).is_multiple_of(8)
        && u16_at(area, 38).is_multiple_of(8)
}

/// Whether the lists of free places and of users end, and have no place twice.
fn has_valid_clients(area: &[u8]) -> bool {
    let (clients, client_at) = (u16_at(area, 8), usize::from(u16_at(area, 22)));
    let mut left = clients;
    for list in [10, 12] {
        let mut index = u16_at(area, list);
        let mut is_first = true;
        while index != NO_CLIENT {
            if left == 0 || index >= clients {
                return false;
            }
            left -= 1;
            let record = &area[client_at + usize::from(index) * CLIENT..];
            if is_first && u16_at(record, 16) != NO_CLIENT {
                return false;
            }
            is_first = false;
            index = u16_at(record, 18);
        }
    }
    true
}
