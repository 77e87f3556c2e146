//! How often a machine asks its gateway.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

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
