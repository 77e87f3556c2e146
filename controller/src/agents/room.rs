//! When the disk of a storage node is nearly full.

use foghorn_types::ByteCount;

use super::live::NodeLive;

/// A disk with less than this part of it free is nearly full, unless it is so large that this is
/// more than [`ENOUGH`] …
const PART: u64 = 50;
const ENOUGH: ByteCount = ByteCount::from_mib(4 * 1024);
/// … and so is one with less free than this many times what its node keeps free.
const RESERVES: u64 = 2;

/// Free space below which the disk is nearly full.
fn little(total: ByteCount, keep_free: ByteCount) -> u64 {
    let little = (total.bytes() / PART).min(ENOUGH.bytes());
    little.max(keep_free.bytes().saturating_mul(RESERVES))
}

impl NodeLive {
    /// Whether its disk is nearly full.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        self.disk_free.bytes() < little(self.disk_total, self.keep_free)
    }

    /// Whether its disk has clearly more free than what is little.
    #[must_use]
    pub fn has_room_again(&self) -> bool {
        let little = little(self.disk_total, self.keep_free);
        self.disk_free.bytes() >= little.saturating_add(little / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_nearly_full_by_its_size() {
        let gib = |count: u32| ByteCount::from_mib(1024 * count);
        for (free, total, keep_free, full) in [
            (gib(1), gib(100), 0, true),
            (gib(3), gib(100), 0, false),
            (gib(3), gib(100), 2, true),
            (gib(3), gib(4000), 0, true),
            (gib(5), gib(4000), 0, false),
            (gib(5), gib(4000), 3, true),
            (ByteCount::ZERO, ByteCount::ZERO, 0, false),
        ] {
            let live = NodeLive {
                disk_free: free,
                disk_total: total,
                keep_free: gib(keep_free),
                ..NodeLive::default()
            };
            assert_eq!(
                live.is_nearly_full(),
                full,
                "{free} of {total}, keeps {keep_free}"
            );
            assert!(!(live.is_nearly_full() && live.has_room_again()));
        }
    }
}
