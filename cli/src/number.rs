//! Whole numbers on the command line.

use std::ops::RangeInclusive;

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
