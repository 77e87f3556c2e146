//! How often a machine asks its gateway.

use std::time::Duration;

use foghorn_types::Timestamp;

/// How long it waits before each further try of one check-in that was not answered.
pub const RETRY_PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(13),
    Duration::from_secs(30),
];
/// How often it checks in, unless it is told otherwise.
pub const INTERVAL: Duration = Duration::from_secs(300);
/// The longest pause after check-ins that failed, unless the interval is longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long to wait until the next check-in. `failures` of them have failed in a row: from the second on the pause doubles.
/// Machines that were started together do not stay together: a tenth of the interval, and half of a pause after a failure,
/// depends on `random`, which is any number, evenly spread over `u32`.
#[must_use]
pub fn pause(interval: Duration, failures: u32, random: u32) -> Duration {
    let share = f64::from(random) / f64::from(u32::MAX);
    let Some(doubled) = failures.checked_sub(1) else {
        return interval.mul_f64(0.95 + share / 10.0);
    };
    let whole = interval.saturating_mul(1 << doubled.min(20));
    whole.min(LONGEST.max(interval)).mul_f64(0.5 + share / 2.0)
}

/// How long to wait before the first check-in: a fleet that gets its power back does not ask all at once.
#[must_use]
pub fn first_pause(interval: Duration, random: u32) -> Duration {
    let most = interval.min(Duration::from_secs(30));
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Whether a certificate that is valid in this time is to be renewed by now: when a third of its life is left. Machines that
/// were set up together do not stay together: up to a twentieth of the life later, as `random` says, which has to be the same
/// number for the same certificate.
#[must_use]
pub fn renewal_is_due(from: Timestamp, until: Timestamp, now: Timestamp, random: u32) -> bool {
    let life = until.since(from);
    let share = f64::from(random) / f64::from(u32::MAX);
    now >= from && now.since(from) >= life.mul_f64(2.0 / 3.0 + share / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_the_last_third_of_its_life() {
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let is_due = |now, random| renewal_is_due(at(100), at(400), at(now), random);
        assert!(!is_due(50, 0), "the clock is wrong");
        assert!(!is_due(299, 0) && is_due(301, 0));
        assert!(!is_due(314, u32::MAX) && is_due(316, u32::MAX));
        assert!(is_due(500, u32::MAX), "whoever is asked may still say yes");
    }

    #[test]
    fn pauses_are_spread_and_grow_with_failures() {
        let seconds = |failures, random| pause(INTERVAL, failures, random).as_secs_f64().round();
        assert_eq!((seconds(0, 0), seconds(0, u32::MAX)), (285.0, 315.0));
        assert_eq!((seconds(1, 0), seconds(1, u32::MAX)), (150.0, 300.0));
        assert_eq!((seconds(3, 0), seconds(3, u32::MAX)), (600.0, 1200.0));
        assert_eq!(seconds(u32::MAX, u32::MAX), 3600.0);
        let daily = Duration::from_secs(86_400);
        assert_eq!(pause(daily, 9, u32::MAX), daily);
        assert_eq!(first_pause(INTERVAL, u32::MAX), Duration::from_secs(30));
        assert_eq!(first_pause(Duration::from_secs(5), 0), Duration::ZERO);
    }
}
