//! To which site hosts and groups of hosts were assigned.

use foghorn_types::{GroupId, HostId, StorageGroupId};

use super::classes::{GroupAssociation, Host};
use super::run::{Home, HomeBy};
use super::tables::Tables;

/// The site that a host was assigned to.
#[must_use]
pub fn assigned(tables: &Tables, host: &Host) -> Option<Home> {
    let by_location = || {
        let places = tables
            .dynamic()
            .table("locationassociation")?
            .by("hostID", &host.id.to_string());
        let place = tables
            .dynamic()
            .get("location", places.first()?.reference("locationID"))?;
        let site = StorageGroupId::new(place.reference("storagegroupID"))?;
        Some(Home {
            site,
            by: HomeBy::Location,
        })
    };
    by_location().or_else(|| {
        let site = of_groups(tables, host.key()?)?;
        Some(Home {
            site,
            by: HomeBy::Group,
        })
    })
}

fn of_groups(tables: &Tables, host: HostId) -> Option<StorageGroupId> {
    let member = |group: &GroupId| {
        let members = tables.of::<GroupAssociation>();
        let mut own = members.by(GroupAssociation::BY_HOST, host.get().into());
        own.any(|row| row.group == group.get())
    };
    with_group(tables, member)
}

/// The site to which all hosts of a group belong, when nothing else says otherwise.
#[must_use]
pub fn of_group(tables: &Tables, group: u32) -> Option<StorageGroupId> {
    with_group(tables, |named| named.get() == group)
}

fn with_group(tables: &Tables, fits: impl Fn(&GroupId) -> bool) -> Option<StorageGroupId> {
    let mut sites = tables.sites().iter();
    sites
        .find(|site| site.body.host_groups.iter().any(&fits))
        .map(|site| site.group)
}
