//! A file of the embedded store that is damaged in any way: it is opened, or an error says in words
//! what is wrong. Nothing panics, and no changed value is taken for a right one.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use foghorn_controller::store::embedded::{EmbeddedStore, OpenEmbeddedError};
use foghorn_controller::store::{Store, StoreError, Txn};
use foghorn_types::chain;
use tempfile::TempDir;

use crate::store_conformance::single_calls::{put, write};

/// Damages that went wrong once.
const KEPT: [u64; 1] = [1];
const RANDOM: u64 = 200;

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

fn value(key: &str) -> String {
    format!("the value of {key}").repeat(5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_opened_or_refused_in_words() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("store.redb");
    let store = EmbeddedStore::open(&file).await.unwrap();
    for group in 0..40 {
        let keys: Vec<String> = (0..20).map(|n| format!("/k/{group}/{n}")).collect();
        write(&store, keys.iter().map(|key| put(key, &value(key)))).await;
    }
    drop(store);
    let good = std::fs::read(&file).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first = now.as_nanos() as u64;
    let (mut opened, mut refused) = (0, 0);
    for seed in KEPT.into_iter().chain(first..first + RANDOM) {
        let mut bytes = good.clone();
        damage(&mut bytes, seed);
        std::fs::write(&file, &bytes).unwrap();
        match EmbeddedStore::open(&file).await {
            Ok(store) => {
                opened += 1;
                check(&store, seed).await;
            }
            Err(error) => {
                refused += 1;
                let text = chain(&error).to_string();
                assert!(
                    matches!(
                        error,
                        OpenEmbeddedError::Damaged { .. }
                            | OpenEmbeddedError::Open { .. }
                            | OpenEmbeddedError::Format { .. }
                    ),
                    "damage {seed}: {text}"
                );
                assert!(names(&text, &file), "damage {seed}: {text}");
            }
        }
    }
    assert!(
        opened > 0 && refused > 0,
        "{opened} opened, {refused} refused"
    );
}

fn names(text: &str, file: &Path) -> bool {
    text.contains(&file.display().to_string())
}

/// What is still there is right, and a change is stored or refused.
async fn check(store: &EmbeddedStore, seed: u64) {
    match store.list("").await {
        Ok(found) => {
            for entry in found.entries {
                let expected = value(&entry.key);
                assert_eq!(entry.value, expected.as_bytes(), "damage {seed}");
            }
        }
        Err(StoreError::Unwritable { .. } | StoreError::Unavailable { .. }) => {}
        Err(error) => panic!("damage {seed}: {error:?}"),
    }
    let txn = Txn {
        compares: Vec::new(),
        ops: vec![put("/new", &value("/new"))],
    };
    match store.commit(txn).await {
        Ok(_) => assert!(store.get("/new").await.unwrap().is_some(), "damage {seed}"),
        Err(StoreError::Unwritable { .. }) => {}
        Err(error) => panic!("damage {seed}: {error:?}"),
    }
}
