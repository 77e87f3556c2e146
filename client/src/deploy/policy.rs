//! Whether a chunk that may already be on the disk is looked for there or fetched at once. Pure.
//!
//! Reading and hashing the target saves network only where it hits, and costs disk time everywhere.
//! So a few chunks spread over the disk are looked at first: when none of them is right, the disk
//! is blank or foreign and is not read further. Otherwise the measured hit ratio and rates decide.

use foghorn_types::BitRate;

/// Spread-out chunks that are looked at before anything is decided.
pub const SAMPLE: usize = 32;

/// What the network is taken for until it was measured: gigabit Ethernet.
const ASSUMED_FETCH_RATE: BitRate = BitRate::from_mbit(944);

/// From this hit ratio on, the disk is the better source unless it is much slower than the network.
const MOSTLY_RIGHT: f64 = 0.5;

/// What is to become of the chunks about which nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Leave them to the scanner; fetch only what it did not find.
    Scan,
    /// The scanner goes on from the front, and the network takes them from the far end meanwhile.
    Share,
    /// Stop scanning and fetch everything.
    Fetch,
}

/// What has been learnt so far.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Evidence {
    /// Chunks of the sample that still have to be looked at.
    pub sample_left: usize,
    /// Share of the recently scanned chunks that were right, 0 to 1.
    pub hit_ratio: f64,
    /// Of plain bytes that all scanner threads together read and hash, once known.
    pub scan_rate: Option<BitRate>,
    /// Of plain bytes that arrive, once known.
    pub fetch_rate: Option<BitRate>,
}

/// The decision that follows from the evidence.
#[must_use]
pub fn decide(evidence: &Evidence) -> Decision {
    if evidence.sample_left > 0 {
        return Decision::Scan;
    }
    if evidence.hit_ratio < 0.01 {
        return Decision::Fetch;
    }
    let as_float = |rate: BitRate| rate.bits_per_second() as f64;
    let fetch_rate = as_float(evidence.fetch_rate.unwrap_or(ASSUMED_FETCH_RATE));
    // An unmeasured scanner has met holes only, which cost nothing.
    let scan_rate = evidence.scan_rate.map_or(f64::INFINITY, as_float);
    // A chunk that is scanned in 1/scan_rate saves hit_ratio/fetch_rate of network time. Where most
    // is right, what is spared belongs to everybody on the network, so the disk may be up to
    // four times slower.
    let advantage = scan_rate * evidence.hit_ratio / fetch_rate;
    let needed = if evidence.hit_ratio >= MOSTLY_RIGHT {
        0.25
    } else {
        1.0
    };
    if advantage >= needed {
        Decision::Scan
    } else {
        Decision::Share
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decided(hit_ratio: f64, scan_mb: f64, fetch_mb: f64) -> Decision {
        decide(&Evidence {
            sample_left: 0,
            hit_ratio,
            scan_rate: Some(BitRate::from_bytes_per_second((scan_mb * 1e6) as u64)),
            fetch_rate: Some(BitRate::from_bytes_per_second((fetch_mb * 1e6) as u64)),
        })
    }

    #[test]
    fn the_cases_that_matter() {
        assert_eq!(
            decided(0.0, 500.0, 118.0),
            Decision::Fetch,
            "blank or foreign disk"
        );
        assert_eq!(
            decided(0.95, 500.0, 118.0),
            Decision::Scan,
            "previous version on a fast disk"
        );
        assert_eq!(
            decided(0.95, 150.0, 400.0),
            Decision::Scan,
            "previous version, disk somewhat slower"
        );
        assert_eq!(
            decided(0.95, 80.0, 1100.0),
            Decision::Share,
            "old disk on a very fast network"
        );
        assert_eq!(decided(0.1, 300.0, 118.0), Decision::Share, "few hits");
        assert_eq!(
            decide(&Evidence {
                sample_left: 1,
                ..Evidence::default()
            }),
            Decision::Scan,
            "sample first"
        );
    }

    proptest! {
        #[test]
        fn more_hits_never_lead_away_from_the_disk(low in 0.0..1.0f64, more in 0.0..1.0f64,
            scan in 1.0..5000.0f64, fetch in 1.0..5000.0f64) {
            let rank = |decision| match decision { Decision::Fetch => 0, Decision::Share => 1,
                Decision::Scan => 2 };
            prop_assert!(
                rank(decided((low + more).min(1.0), scan, fetch)) >= rank(decided(low, scan, fetch))
            );
        }
    }
}
