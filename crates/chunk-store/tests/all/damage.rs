//! An index that is damaged in any way: the store opens, holds what it held, and goes on.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::crash::open_again;
use crate::world::{chunk, chunks, small_packs, store};

/// Damages that went wrong once.
const KEPT: [u64; 1] = [1];
const RANDOM: u64 = 200;
const CHUNKS: u32 = 60;

/// Repeats itself for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

/// Flips bits, zeroes or scrambles pages, cuts the end off, or repeats a page elsewhere.
fn damage(bytes: &mut Vec<u8>, seed: u64) {
    const PAGE: usize = 4096;
    let mut random = Random(seed);
    for _ in 0..=random.below(3) {
        let len = bytes.len();
        // The beginning is a small part of the file, and all of it depends on that.
        let at = if random.below(3) == 0 {
            random.below(len.min(2 * PAGE))
        } else {
            random.below(len)
        };
        let page = at / PAGE * PAGE..(at / PAGE * PAGE + PAGE).min(len);
        match random.below(6) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[page].fill(0),
            3 => {
                for byte in &mut bytes[page] {
                    *byte = random.below(256) as u8;
                }
            }
            4 => bytes.truncate(at.max(1)),
            _ => {
                let other = random.below(len) / PAGE * PAGE;
                let size = page.len().min(len - other);
                bytes.copy_within(page.start..page.start + size, other);
            }
        }
    }
}

#[test]
fn a_damaged_index_is_rebuilt_whatever_the_damage_is() {
    let dir = tempfile::tempdir().unwrap();
    let packs = store(dir.path());
    for first in (0..CHUNKS).step_by(10) {
        packs.put_batch(&chunks(first..first + 10)).unwrap();
    }
    drop(packs);
    let index = dir.path().join("index.redb");
    let good = std::fs::read(&index).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first = now.as_nanos() as u64;
    for seed in KEPT.into_iter().chain(first..first + RANDOM) {
        let mut bytes = good.clone();
        damage(&mut bytes, seed);
        std::fs::write(&index, &bytes).unwrap();
        check(dir.path(), seed);
    }
}

fn check(path: &Path, seed: u64) {
    let opened = open_again(path, small_packs(), &format!("damage {seed}"));
    assert_eq!(
        opened.stats().unwrap().chunks,
        u64::from(CHUNKS),
        "damage {seed}"
    );
    for number in 0..CHUNKS {
        let id = chunk(number).id;
        assert!(opened.read(id).is_ok(), "damage {seed} lost {number}");
    }
    opened.put_batch(&chunks(0..2)).unwrap();
}

/// What it named may be needed, so nothing is swept; the other images are shown all the same.
#[test]
fn a_damaged_entry_hides_no_other_image() {
    let dir = tempfile::tempdir().unwrap();
    let packs = store(dir.path());
    std::fs::write(dir.path().join("images/5"), [0xff, b'x']).unwrap();
    let found = packs.readable_manifests().unwrap();
    assert!(found.images.is_empty());
    assert_eq!(found.damaged, [dir.path().join("images/5")]);
    assert!(packs.manifests().is_err());
}
