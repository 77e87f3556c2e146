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
