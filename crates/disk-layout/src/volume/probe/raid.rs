//! Members of RAIDs and pools whose places depend on the size of the partition: md, ZFS, DRBD, and
//! the firmware RAIDs whose signature alone is too short to be believed.

use super::magics::{PROMISE, PROMISE_SECTORS};
use super::pages::Pages;
use super::{Class, Findings};
use crate::volume::ReadVolumeError;
use crate::volume::field::{u16_at, u32_at, u64_at};

const SECTOR: u64 = 512;
/// `MD_SB_MAGIC` of `linux/raid/md_p.h`.
const MD: u32 = 0xa92b_4efc;
const MD_NAME: &str = "a Linux RAID";
/// `UBERBLOCK_MAGIC` of ZFS, in both byte orders.
const UBERBLOCK: [u64; 2] = [0x00ba_b10c, 0x0cb1_ba00_0000_0000];
/// A ZFS label; its second half is the ring of uberblocks, which are apart by 1 KiB or more.
const LABEL: u64 = 256 << 10;
const UBERBLOCK_STEP: usize = 1024;

pub(super) fn find(pages: &Pages<'_>, found: &mut Findings) -> Result<(), ReadVolumeError> {
    md(pages, found)?;
    zfs(pages, found)?;
    drbd(pages, found)?;
    firmware(pages, found)
}

/// Version 0.90 is 64 KiB to 128 KiB in front of the end, in the byte order of its maker; of version
/// 1, sub-version 0 is 8 KiB to 12 KiB in front of the end, 1 at the start, 2 at 4 KiB, and all of them
/// say in which sector they are.
fn md(pages: &Pages<'_>, found: &mut Findings) -> Result<(), ReadVolumeError> {
    let size = pages.size();
    if let Some(old) = (size & !0xffff).checked_sub(0x1_0000)
        && let Some(head) = pages.bytes(old, 8)?
        && (u32_at(&head, 0) == MD || u32_at(&head, 0) == MD.swap_bytes())
    {
        found.add_at_end(MD_NAME, Class::Member, old);
    }
    let at_end = (size / SECTOR)
        .checked_sub(16)
        .map(|sector| (sector & !7) * SECTOR);
    for (place, is_end) in [(at_end, true), (Some(0), false), (Some(4096), false)] {
        if let Some(place) = place
            && let Some(head) = pages.bytes(place, 152)?
            && u32_at(&head, 0) == MD
            && u32_at(&head, 4) == 1
            && u64_at(&head, 144) == place / SECTOR
        {
            if is_end {
                // It names its place: if it lies in a partition, it still is none of what is in that.
                found.add_at_end(MD_NAME, Class::Member, size);
            } else {
                found.add(MD_NAME, Class::Member, place);
            }
        }
    }
    Ok(())
}

/// Four labels: two at the start, two at the end of the partition, counted in whole labels.
fn zfs(pages: &Pages<'_>, found: &mut Findings) -> Result<(), ReadVolumeError> {
    let end = pages.size() / LABEL * LABEL;
    let at_end = [end.checked_sub(2 * LABEL), end.checked_sub(LABEL)];
    let places = [(Some(0), false), (Some(LABEL), false)]
        .into_iter()
        .chain(at_end.map(|place| (place, true)));
    for (place, is_end) in places {
        let Some(place) = place else { continue };
        let Some(ring) = pages.long(place + LABEL / 2, LABEL / 2)? else {
            continue;
        };
        let uberblock = |block: &[u8]| {
            block
                .first_chunk()
                .is_some_and(|head| UBERBLOCK.contains(&u64::from_le_bytes(*head)))
        };
        if ring.chunks_exact(UBERBLOCK_STEP).any(uberblock) {
            if is_end {
                found.add_at_end("a ZFS pool", Class::Member, place);
            } else {
                found.add("a ZFS pool", Class::Member, place + LABEL / 2);
            }
        }
    }
    Ok(())
}

/// DRBD's meta data is in the last 4 KiB; its versions put their magic at different places near the
/// beginning of that.
fn drbd(pages: &Pages<'_>, found: &mut Findings) -> Result<(), ReadVolumeError> {
    if let Some(place) = (pages.size() & !4095).checked_sub(4096)
        && let Some(block) = pages.bytes(place, 256)?
        && block
            .chunks_exact(4)
            .any(|word| word[..3] == [0x83, 0x74, 0x02] && matches!(word[3], 0x67..=0x6e))
    {
        found.add_at_end("DRBD", Class::Member, place);
    }
    Ok(())
}

fn firmware(pages: &Pages<'_>, found: &mut Findings) -> Result<(), ReadVolumeError> {
    let sectors = pages.size() / SECTOR;
    for before in PROMISE_SECTORS {
        if let Some(sector) = sectors.checked_sub(before)
            && pages.has(sector * SECTOR, PROMISE)?
        {
            found.add_at_end("a Promise RAID", Class::Member, sector * SECTOR);
        }
    }
    let Some(last) = sectors.checked_sub(1) else {
        return Ok(());
    };
    let at = last * SECTOR;
    let Some(last) = pages.bytes(at, SECTOR as usize)? else {
        return Ok(());
    };
    if is_via(&last) {
        found.add_at_end("a VIA RAID", Class::Member, at);
    }
    if is_jmicron(&last) {
        found.add_at_end("a JMicron RAID", Class::Member, at);
    }
    Ok(())
}

/// Signature 0xAA55 in front, and in byte 50 the sum of the bytes before it.
fn is_via(sector: &[u8]) -> bool {
    let sum = sector[..50]
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    u16_at(sector, 0) == 0xaa55 && sector[2] <= 2 && sum == sector[50]
}

/// `JM` in front; the 16-bit words of the 128 bytes add up to 0 or 1.
fn is_jmicron(sector: &[u8]) -> bool {
    let sum = sector[..128]
        .chunks_exact(2)
        .fold(0_u16, |sum, word| sum.wrapping_add(u16_at(word, 0)));
    sector.starts_with(b"JM") && sum <= 1
}
