//! Which NTFS volumes were not cleanly unmounted, held against `ntfs-3g.probe --readwrite` over
//! generated volumes: logs in every state, hibernation files of every kind, in large and small root
//! directories.

use std::collections::BTreeMap;
use std::process::Command;

use crate::support::{Image, path_text, run};
use foghorn_disk_layout::{DirtyPolicy, ReadVolumeError, read_volume};
use foghorn_image::FileSystemKind;

const SIZE: u64 = 8 << 20;
const PAGE: usize = 4096;

/// Numbers that look random and are the same for each seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// A volume without its log, which every test writes anew.
#[derive(Clone)]
struct Base {
    bytes: Vec<u8>,
    /// Bytes of the volume where the log is.
    log: std::ops::Range<usize>,
    /// Where `$Volume` keeps its flags.
    flags: usize,
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn long(bytes: &[u8], at: usize) -> usize {
    word(bytes, at) | word(bytes, at + 2) << 16
}

/// Contents of `hiberfil.sys`: its first bytes and its size.
type Hibernation = Option<(&'static [u8], usize)>;

fn base(files: usize, hibernation: Hibernation) -> Base {
    let image = Image::new(SIZE);
    run(
        "mkfs.ntfs",
        ["-q", "-Q", "-F", "-c", "4096", path_text(&image.path)],
    );
    let source = image.dir.path().join("source");
    let copy = |name: &str| {
        run(
            "ntfscp",
            ["-q", "-f", path_text(&image.path), path_text(&source), name],
        );
    };
    std::fs::write(&source, b"x").unwrap();
    for number in 0..files {
        copy(&format!(
            "a file with quite a long name, so that the index grows {number}"
        ));
    }
    if let Some((start, size)) = hibernation {
        let mut contents = vec![0; size];
        let length = start.len().min(size);
        contents[..length].copy_from_slice(&start[..length]);
        std::fs::write(&source, contents).unwrap();
        copy("hiberfil.sys");
    }
    let bytes = image.bytes();
    let table = long(&bytes, 48) * 4096;
    let attribute = |record: usize, kind: usize| {
        let record = table + record * 1024;
        let mut at = record + word(&bytes, record + 20);
        while long(&bytes, at) != kind {
            at += long(&bytes, at + 4);
        }
        at
    };
    let data = attribute(2, 0x80);
    let runs = data + word(&bytes, data + 32);
    let (length_size, place_size) = (usize::from(bytes[runs] & 15), usize::from(bytes[runs] >> 4));
    let number = |at: usize, size: usize| {
        (0..size).fold(0, |sum, nth| {
            sum | usize::from(bytes[at + nth]) << (8 * nth)
        })
    };
    let place = number(runs + 1 + length_size, place_size) * 4096;
    let volume = attribute(3, 0x70);
    Base {
        log: place..place + long(&bytes, data + 48),
        flags: volume + word(&bytes, volume + 20) + 10,
        bytes,
    }
}

/// A restart page of the log, and what may be wrong with it.
fn restart_page(dice: &mut Dice, log_size: usize) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    let put = |page: &mut [u8], at: usize, bytes: &[u8]| {
        page[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(
        &mut page,
        0,
        dice.of(&[b"RSTR", b"RSTR", b"RSTR", b"CHKD", b"BAAD"]),
    );
    put(&mut page, 4, &[30, 0, 9, 0]);
    put(&mut page, 16, &4096_u32.to_le_bytes());
    put(&mut page, 20, &4096_u32.to_le_bytes());
    let (major, minor) = dice.of(&[(1_u16, 1_u16), (1, 1), (1, 1), (2, 0), (3, 0)]);
    put(&mut page, 24, &48_u16.to_le_bytes());
    put(&mut page, 26, &minor.to_le_bytes());
    put(&mut page, 28, &major.to_le_bytes());
    let sequence = 0x10_0000 + dice.below(3) as u64 * 0x1000;
    let in_use = dice.of(&[0_u16, 0, 0xffff]);
    let free = if in_use == 0 { 0xffff_u16 } else { 0 };
    let area = 48;
    put(&mut page, area, &sequence.to_le_bytes());
    put(&mut page, area + 8, &1_u16.to_le_bytes());
    put(&mut page, area + 10, &free.to_le_bytes());
    put(&mut page, area + 12, &in_use.to_le_bytes());
    put(&mut page, area + 14, &dice.of(&[0_u16, 0, 2]).to_le_bytes());
    let bits = 67 - (usize::BITS - log_size.leading_zeros());
    put(&mut page, area + 16, &bits.to_le_bytes());
    put(&mut page, area + 20, &(0x40_u16 + 160).to_le_bytes());
    put(&mut page, area + 22, &0x40_u16.to_le_bytes());
    put(&mut page, area + 24, &(log_size as u64).to_le_bytes());
    put(&mut page, area + 36, &[0x30, 0, 0x40, 0]);
    put(&mut page, area + 44, &1_u32.to_le_bytes());
    let client = area + 0x40;
    put(&mut page, client, &sequence.to_le_bytes());
    put(&mut page, client + 8, &sequence.to_le_bytes());
    put(&mut page, client + 16, &[0xff; 4]);
    put(&mut page, client + 28, &8_u32.to_le_bytes());
    put(&mut page, client + 32, b"N\0T\0F\0S\0");
    put(&mut page, 30, &[1, 0]);
    for nth in 0..8 {
        let end = 512 * (nth + 1) - 2;
        page.copy_within(end..end + 2, 32 + 2 * nth);
        put(&mut page, end, &[1, 0]);
    }
    if dice.below(6) == 0 {
        page[1022] ^= 0x55;
    }
    page
}

/// Fills the log and says how.
fn write_log(volume: &mut Base, dice: &mut Dice) -> &'static str {
    let log = &mut volume.bytes[volume.log.clone()];
    let size = log.len();
    log.fill(0xff);
    match dice.below(8) {
        0 | 1 => "emptied",
        2 => {
            log[..PAGE].fill(0);
            "zeros in front"
        }
        3 => {
            log[..4].copy_from_slice(b"RCRD");
            "a record in front"
        }
        4 => {
            let page = restart_page(dice, size);
            log[PAGE..2 * PAGE].copy_from_slice(&page);
            "one page, the second"
        }
        _ => {
            let (first, second) = (restart_page(dice, size), restart_page(dice, size));
            log[..PAGE].copy_from_slice(&first);
            log[PAGE..2 * PAGE].copy_from_slice(&second);
            "two pages"
        }
    }
}

/// The judge's exit code: 0 clean, 14 hibernated, 15 not cleanly unmounted.
fn judge(image: &Image) -> i32 {
    Command::new("ntfs-3g.probe")
        .args(["--readwrite", path_text(&image.path)])
        .output()
        .unwrap_or_else(|why| panic!("ntfs-3g.probe is needed for this test: {why}"))
        .status
        .code()
        .unwrap()
}

fn compare(bases: &[Base], seed: u64) -> bool {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..4 {
        dice.below(2);
    }
    let mut volume = bases[dice.below(bases.len())].clone();
    let log = write_log(&mut volume, &mut dice);
    let marked = dice.below(8) == 0;
    volume.bytes[volume.flags] = u8::from(marked);
    let found = read_volume(&volume.bytes, DirtyPolicy::Refuse);
    let image = Image::new(SIZE);
    for (at, page) in (0..).step_by(PAGE).zip(volume.bytes.chunks(PAGE)) {
        if page.iter().any(|&byte| byte != 0) {
            image.write(at, page);
        }
    }
    let verdict = judge(&image);
    // The judge repairs what is marked dirty; Linux's own driver refuses it.
    let expected = verdict == 0 && !marked;
    let clean = match &found {
        Ok(volume) => volume.kind == FileSystemKind::Ntfs,
        Err(ReadVolumeError::Dirty { .. }) => false,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(
        clean, expected,
        "seed {seed}, log: {log}, marked: {marked}: the judge says {verdict}, we {found:?}"
    );
    if !clean {
        let accepted = read_volume(&volume.bytes, DirtyPolicy::Accept).unwrap();
        assert_eq!(accepted.used.bytes(), SIZE);
    }
    clean
}

fn bases() -> Vec<Base> {
    let files = [0, 25];
    let hibernations: [Hibernation; 6] = [
        None,
        None,
        Some((&b"hibr"[..], 70_000)),
        Some((&b"wake"[..], 70_000)),
        Some((&b""[..], 5000)),
        Some((&b"hibr"[..], 100)),
    ];
    files
        .into_iter()
        .flat_map(|files| hibernations.map(|hibernation| base(files, hibernation)))
        .collect()
}

#[test]
fn the_judge_agrees_about_a_hundred_volumes() {
    let bases = bases();
    let mut counts = BTreeMap::new();
    // The last two once differed: torn pages, of which one was written by the check of Windows.
    for seed in (0..100).chain([1142, 1620]) {
        *counts.entry(compare(&bases, seed)).or_insert(0) += 1;
    }
    assert!(counts[&true] >= 10 && counts[&false] >= 40, "{counts:?}");
}

#[test]
#[ignore = "takes minutes"]
fn the_judge_agrees_about_a_thousand_volumes() {
    let bases = bases();
    for seed in 1000..2000 {
        compare(&bases, seed);
    }
}
