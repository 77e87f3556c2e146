//! Time zones: in which schedules are meant and shown.
//!
//! A site may have its own; everything else has that of the setting `FOG_TZ_INFO`.

use foghorn_types::StorageGroupId;
use jiff::tz::TimeZone;

use super::belonging;
use super::classes::scheduled_task::Target;
use super::classes::{PowerManagement, ScheduledTask};
use super::tables::Tables;

/// The zone of the setting `FOG_TZ_INFO`; UTC when there is none or nobody knows it.
#[must_use]
pub fn of(tables: &Tables) -> TimeZone {
    named(tables.setting("FOG_TZ_INFO").unwrap_or_default()).unwrap_or(TimeZone::UTC)
}

/// `None` when nobody knows it.
#[must_use]
pub fn named(name: &str) -> Option<TimeZone> {
    match name.trim() {
        "" | "UTC" => Some(TimeZone::UTC),
        name => TimeZone::get(name).ok(),
    }
}

/// The zone of a site.
#[must_use]
pub fn of_site(tables: &Tables, site: Option<StorageGroupId>) -> TimeZone {
    let site = site.and_then(|site| tables.sites().get(&site));
    let own = site.and_then(|site| named(site.body.time_zone.as_ref()?));
    own.unwrap_or_else(|| of(tables))
}

/// The zone in which a scheduled task is meant: that of its host's, or its group's, site.
#[must_use]
pub fn of_task(tables: &Tables, row: &ScheduledTask) -> TimeZone {
    if !any(tables) {
        return of(tables);
    }
    match row.target() {
        Target::Host(host) => of_host(tables, host),
        Target::Group(group) => of_site(tables, belonging::of_group(tables, group)),
    }
}

/// The zone in which a rule of power management is meant.
#[must_use]
pub fn of_rule(tables: &Tables, row: &PowerManagement) -> TimeZone {
    if any(tables) {
        of_host(tables, row.host)
    } else {
        of(tables)
    }
}

fn of_host(tables: &Tables, host: u32) -> TimeZone {
    let host = tables.hosts().get(host);
    let home = host.and_then(|host| belonging::assigned(tables, host));
    of_site(tables, home.map(|home| home.site))
}

/// Whether any site has a zone of its own: finding the site of a host costs something.
fn any(tables: &Tables) -> bool {
    let mut sites = tables.sites().iter();
    sites.any(|site| site.body.time_zone.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_zones_are_none() {
        let berlin = named("Europe/Berlin").unwrap();
        assert_eq!(berlin.iana_name(), Some("Europe/Berlin"));
        assert_eq!(
            [named(""), named(" UTC "), named("Mars/Base")],
            [Some(TimeZone::UTC), Some(TimeZone::UTC), None]
        );
    }
}
