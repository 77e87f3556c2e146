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
const EMPTY: [u8; 4] = [0xff; 4];
const NOT_REPLAYED: &str = "its log was not replayed: the computer stopped without shutting down";

/// What a restart page says.
struct Restart {
    /// Grows with every change of the log.
    sequence: u64,
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
    while at < size && pages.len() < 2 {
        let block = stream.read(&ntfs.source, at, BLOCK, "the log")?;
        match (block.starts_with(&EMPTY), is_empty) {
            (true, false) => break,
            (empty, _) => is_empty &= empty,
        }
        if block.starts_with(b"RCRD") {
            break;
        }
        if block.starts_with(b"RSTR") || block.starts_with(b"CHKD") {
            pages.extend(restart_page(ntfs, &stream, at, &block)?);
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
    let (page, log_page) = (u64::from(u32_at(block, 16)), u64::from(u32_at(block, 20)));
    let version = (u16_at(block, 28), u16_at(block, 26));
    let area_at = usize::from(u16_at(block, 24));
    let sane = |size: u64| size.is_power_of_two() && (BLOCK..=64 << 10).contains(&size);
    if !sane(page)
        || !sane(log_page)
        || (at != 0 && at != page)
        || !matches!(version, (1, 1) | (2, 0))
        || !area_at.is_multiple_of(8)
        || area_at as u64 + 48 > page
    {
        return Ok(None);
    }
    let Ok(mut bytes) = stream.read(&ntfs.source, at, page, "the log") else {
        return Ok(None);
    };
    // If a block behind the restart area was not written to its end, the page still is the newest, and
    // nobody believes that it ended properly.
    let is_whole = apply_fixups(&mut bytes);
    let area = &bytes[area_at..];
    let area_end = area_at + usize::from(u16_at(area, 20));
    if !is_whole && area_end as u64 > BLOCK - 2 {
        return Ok(None);
    }
    let (clients, client_at) = (u16_at(area, 8), usize::from(u16_at(area, 22)));
    let (free, in_use) = (u16_at(area, 10), u16_at(area, 12));
    let file_size = u64_at(area, 24);
    let is_client = |index: u16| index == NO_CLIENT || index < clients;
    // The number of a record is its place in the log and how often the log went round.
    let sequence_bits = 67 - u64::from(u64::BITS - file_size.leading_zeros());
    if !client_at.is_multiple_of(8)
        || area_at + client_at + usize::from(clients) * 160 > bytes.len()
        || !is_client(free)
        || !is_client(in_use)
        || file_size >> 63 != 0
        || u64::from(u32_at(area, 16)) != sequence_bits
    {
        return Ok(None);
    }
    let checked = is_whole && bytes.starts_with(b"CHKD");
    Ok(Some(Restart {
        sequence: if checked {
            u64_at(&bytes, 8)
        } else {
            u64_at(area, 0)
        },
        in_use: !is_whole || in_use != NO_CLIENT && u16_at(area, 14) & VOLUME_IS_CLEAN == 0,
        cached: version == (2, 0),
    }))
}
