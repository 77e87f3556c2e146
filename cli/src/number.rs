//! Whole numbers and durations on the command line.

use std::ops::RangeInclusive;
use std::time::Duration;

use foghorn_types::BitRate;

/// Reads a whole number within these limits.
pub fn within(
    limits: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        text.parse()
            .ok()
            .filter(|number| limits.contains(number))
            .ok_or_else(|| {
                let (least, most) = (limits.start(), limits.end());
                format!("it must be a whole number from {least} to {most}")
            })
    }
}

/// Reads a whole number.
///
/// # Errors
/// When it is not one or too large.
pub fn any(text: &str) -> Result<u32, String> {
    within(0..=u32::MAX)(text)
}

/// Reads the limit of a transfer, such as `500m`; 0 is no limit.
///
/// # Errors
/// When it is no rate, or so low that the unit was probably forgotten.
pub fn rate_limit(text: &str) -> Result<BitRate, String> {
    let rate: BitRate = text
        .parse()
        .map_err(|error: foghorn_types::ParseBitRateError| error.to_string())?;
    rate.as_limit().map_err(|error| error.to_string())
}

/// Reads what [`parse_duration`] reads, and days, such as `7d`; at least a second.
///
/// # Errors
/// When the text does not have this form.
pub fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time until something expires: use 30m, 12h or 7d");
    let read = match text.trim().strip_suffix('d') {
        Some(days) => days
            .trim()
            .parse::<u64>()
            .ok()
            .and_then(|days| days.checked_mul(24 * 3600))
            .map(Duration::from_secs),
        None => parse_duration(text).ok(),
    };
    read.filter(|time| !time.is_zero()).ok_or_else(wrong)
}

/// Reads `90`, `90s`, `30m` or `2h`.
///
/// # Errors
/// When the text does not have this form.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, seconds) = match text.trim().char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => (text, 1),
    };
    let number: u64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is not a duration: use 90s, 30m or 2h"))?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_expires_may_do_so_in_days() {
        for (text, seconds) in [
            ("7d", 604_800),
            ("12h", 43_200),
            ("90", 90),
            (" 1d ", 86_400),
        ] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "d", "0d", "0", "-1d", "1w", "99999999999999999d"] {
            assert!(lifetime(bad).is_err(), "{bad:?} was taken");
        }
    }
}
