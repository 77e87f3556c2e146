//! The site's time zone: in which schedules are meant and shown.

use jiff::tz::TimeZone;

use super::tables::Tables;

/// The zone of the setting `FOG_TZ_INFO`; UTC when there is none or nobody knows it.
#[must_use]
pub fn of(tables: &Tables) -> TimeZone {
    named(tables.setting("FOG_TZ_INFO").unwrap_or_default())
}

fn named(name: &str) -> TimeZone {
    match name.trim() {
        "" | "UTC" => TimeZone::UTC,
        name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_zones_are_utc() {
        assert_eq!(named("Europe/Berlin").iana_name(), Some("Europe/Berlin"));
        assert_eq!(
            [named(""), named(" UTC "), named("Mars/Base")],
            [TimeZone::UTC, TimeZone::UTC, TimeZone::UTC]
        );
    }
}
