//! Sites: to which one a host belongs, and who serves it.
//!
//! A storage group is a site. A host belongs to the site whose subnet it checks in from, else to the
//! one it was assigned to: by its location, or by a group of hosts.

use std::net::IpAddr;

use foghorn_lifecycle::{Effect, TaskEvent};
use foghorn_types::{StorageGroupId, Timestamp};

use crate::config::MOST_SOURCES;
use crate::ctx::Ctx;
pub use crate::state::belonging::assigned;
use crate::state::classes::{Group, StorageGroup, StorageNode};
use crate::state::run::{Home, HomeBy, Run, RunKind};
use crate::state::site::{Site, SiteBody};
use crate::state::{Draft, Refusal, Row, Tables, zone};

/// Sites that may serve a run, best first; never empty.
#[must_use]
pub fn tiers(tables: &Tables, run: &Run) -> Vec<StorageGroupId> {
    match (&run.home, run.kind) {
        (Some(home), RunKind::Deploy { .. }) => serving(tables, home.site, run.storage_group),
        _ => vec![run.storage_group],
    }
}

/// A site and its fallbacks; the group of the image, if none are configured.
#[must_use]
pub fn serving(
    tables: &Tables,
    site: StorageGroupId,
    of_image: StorageGroupId,
) -> Vec<StorageGroupId> {
    let fallbacks = tables.sites().get(&site).map(|site| &site.body.fallbacks);
    let mut tiers = vec![site];
    match fallbacks.filter(|fallbacks| !fallbacks.is_empty()) {
        Some(fallbacks) => tiers.extend(fallbacks),
        None => tiers.push(of_image),
    }
    let mut seen = std::collections::BTreeSet::new();
    tiers.retain(|group| seen.insert(*group));
    tiers
}

/// A machine has checked in from this address: its site serves it from now on. A node that has the
/// task and may not serve it gives it back; returned is what that means for it.
pub(crate) fn settle(draft: &Draft<'_>, run: &mut Run, address: Option<IpAddr>) -> Vec<Effect> {
    let tables = draft.tables();
    let is_real = |address: &IpAddr| !address.is_unspecified();
    let Some(address) = address.filter(is_real) else {
        return Vec::new();
    };
    let Some(site) = tables.sites().around(address) else {
        return Vec::new();
    };
    if !matches!(run.kind, RunKind::Deploy { .. }) {
        return Vec::new();
    }
    run.home = Some(Home {
        site,
        by: HomeBy::Address(address),
    });
    let own = |run: &Run| {
        let row = tables.storage_nodes().get(run.node()?.get())?;
        Some(row.group() == Some(site))
    };
    match (run.node(), own(run)) {
        // The planner takes it to the right one, and back here if there is none better.
        (Some(node), Some(false)) if run.life.started().is_none() => run
            .life
            .apply(Timestamp::now(), TaskEvent::NodeLacks { node })
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// From where a task is served, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServedFrom {
    pub site: StorageGroupId,
    /// Whether that is the host's own site; always, if it belongs to none.
    pub own: bool,
    pub why: String,
}

/// The site of the node that has the task.
#[must_use]
pub fn served_from(tables: &Tables, run: &Run) -> Option<ServedFrom> {
    let row = tables.storage_nodes().get(run.node()?.get())?;
    let site = row.group()?;
    let name = |group: StorageGroupId| {
        let row = tables.of::<StorageGroup>().get(group.get());
        row.map_or_else(|| format!("site {group}"), |row| row.name.clone())
    };
    let Some(home) = &run.home else {
        return Some(ServedFrom {
            site,
            own: true,
            why: format!("{}: the storage group of the image", name(site)),
        });
    };
    let belongs = match home.by {
        HomeBy::Address(address) => format!("it checked in from {address}"),
        HomeBy::Location => "its location says so".to_owned(),
        HomeBy::Group => "its group of hosts says so".to_owned(),
    };
    let own = home.site == site;
    let why = if own {
        format!("{}, its own site: {belongs}", name(site))
    } else {
        format!(
            "{}, a fallback: no storage node of its own site {} ({belongs}) could serve it",
            name(site),
            name(home.site)
        )
    };
    Some(ServedFrom { site, own, why })
}

/// Changes what a storage group is as a site.
///
/// # Errors
/// When the storage group, or one that the site names, does not exist, a subnet belongs to another
/// site, or there is no such time zone.
pub async fn edit(
    ctx: &Ctx,
    group: StorageGroupId,
    change: impl Fn(&mut SiteBody),
) -> Result<(), Refusal> {
    ctx.state
        .write(|draft| {
            let tables = draft.tables();
            let groups = tables.of::<StorageGroup>();
            if groups.get(group.get()).is_none() {
                return Err(Refusal::NotFound {
                    class: "storagegroup",
                    id: group.get(),
                });
            }
            let stored = tables.sites().get(&group);
            let mut site = Site {
                group,
                body: stored.map(|site| site.body.clone()).unwrap_or_default(),
                modified: stored.map_or(0, |site| site.modified),
            };
            change(&mut site.body);
            check(tables, group, &site.body)?;
            draft.require_present::<StorageGroup>(group.get());
            for fallback in &site.body.fallbacks {
                draft.require_present::<StorageGroup>(fallback.get());
            }
            // Two sites must not get one subnet at the same time.
            draft.take_turn("sites", group.get());
            if site.body == SiteBody::default() {
                if site.modified > 0 {
                    draft.discard(&site);
                }
            } else {
                draft.replace(&site);
            }
            Ok(())
        })
        .await
}

fn check(tables: &Tables, group: StorageGroupId, body: &SiteBody) -> Result<(), Refusal> {
    let invalid = |field, why| Err(Refusal::Invalid { field, why });
    for fallback in &body.fallbacks {
        if *fallback == group {
            return invalid("fallbacks", "a site is no fallback of its own".to_owned());
        }
        if tables.of::<StorageGroup>().get(fallback.get()).is_none() {
            return invalid(
                "fallbacks",
                format!("storage group {fallback} does not exist"),
            );
        }
    }
    for id in &body.host_groups {
        if tables.of::<Group>().get(id.get()).is_none() {
            return invalid("host_groups", format!("group {id} does not exist"));
        }
    }
    if let Some(name) = body
        .time_zone
        .as_ref()
        .filter(|name| zone::named(name).is_none())
    {
        return invalid(
            "time_zone",
            format!("there is no time zone {name}, such as Europe/Berlin"),
        );
    }
    if body
        .sources_per_client
        .is_some_and(|most| most > MOST_SOURCES)
    {
        return invalid(
            "sources_per_client",
            format!("a machine fetches from at most {MOST_SOURCES} storage nodes at a time"),
        );
    }
    let others = tables.sites().iter().filter(|site| site.group != group);
    for site in others {
        if let Some(subnet) = body
            .subnets
            .iter()
            .find(|it| site.body.subnets.contains(it))
        {
            let why = format!(
                "{subnet} belongs to the site of storage group {}",
                site.group
            );
            return invalid("subnets", why);
        }
        if let Some(id) = body
            .host_groups
            .iter()
            .find(|it| site.body.host_groups.contains(it))
        {
            let why = format!(
                "group {id} belongs to the site of storage group {}",
                site.group
            );
            return invalid("host_groups", why);
        }
    }
    Ok(())
}

/// Nodes of a site, by name.
#[must_use]
pub fn nodes(tables: &Tables, group: StorageGroupId) -> Vec<&Row<StorageNode>> {
    let rows = tables.storage_nodes();
    rows.by(StorageNode::BY_GROUP, group.get().into())
        .map(AsRef::as_ref)
        .collect()
}
