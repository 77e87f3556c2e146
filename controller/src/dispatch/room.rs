//! Whose turn it is in the queue: groups of hosts, and hosts that are in none.

use std::collections::HashMap;

use foghorn_types::{GroupId, HostId};

use crate::state::Tables;
use crate::state::classes::GroupAssociation;

/// Whose turn it is: a group of hosts, or a host that is in none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Room {
    Group(GroupId),
    Host(HostId),
}

/// Groups with more members count as equally large.
const LARGE: usize = 1000;

/// Sizes of groups of hosts, counted once for a snapshot.
#[derive(Default)]
pub(super) struct Rooms(HashMap<GroupId, usize>);

impl Rooms {
    /// The smallest group that the host is in: it says most about where the host is.
    pub(super) fn of(&mut self, tables: &Tables, host: HostId) -> Room {
        let members = tables.of::<GroupAssociation>();
        let groups = members
            .by(GroupAssociation::BY_HOST, host.get().into())
            .filter_map(|row| GroupId::new(row.group));
        let mut size = |group: GroupId| {
            *self.0.entry(group).or_insert_with(|| {
                let all = members.by(GroupAssociation::BY_GROUP, group.get().into());
                all.take(LARGE).count()
            })
        };
        groups
            .min_by_key(|group| (size(*group), *group))
            .map_or(Room::Host(host), Room::Group)
    }
}
