//! Which devices a list has, and in which order. Pure.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use foghorn_types::{MachineUuid, StorageGroupId, Timestamp};

use super::pattern::Pattern;

/// The factories that a caller sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    All,
    Only(BTreeSet<StorageGroupId>),
}

impl Reach {
    #[must_use]
    pub fn has(&self, factory: StorageGroupId) -> bool {
        match self {
            Self::All => true,
            Self::Only(factories) => factories.contains(&factory),
        }
    }
}

/// What devices must fulfil, all of it. A text that is empty asks for nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    pub factory: Option<StorageGroupId>,
    /// A glob for the name.
    pub name: String,
    /// A pattern of LIKE for the name.
    pub name_ilike: String,
    /// The tag that it follows.
    pub tag: String,
    /// Name of the target that it runs.
    pub target: String,
    /// Name of its group.
    pub group: String,
    pub uuid: String,
    /// Number of its owner.
    pub owner: Option<u32>,
    pub is_prod: Option<bool>,
}

/// What of a device is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts<'d> {
    pub uuid: MachineUuid,
    pub factory: StorageGroupId,
    pub name: &'d str,
    pub tag: &'d str,
    pub target: &'d str,
    /// Empty for none.
    pub group: &'d str,
    pub owner: u32,
    pub is_prod: bool,
    pub last_seen: Option<Timestamp>,
}

/// A filter whose patterns have been read.
pub struct Ready<'f> {
    filter: &'f Filter,
    name: Option<Pattern>,
    name_ilike: Option<Pattern>,
}

impl Filter {
    #[must_use]
    pub fn ready(&self) -> Ready<'_> {
        let given = |text: &str| !text.is_empty();
        Ready {
            filter: self,
            name: given(&self.name).then(|| Pattern::glob(&self.name)),
            name_ilike: given(&self.name_ilike).then(|| Pattern::like(&self.name_ilike)),
        }
    }
}

impl Ready<'_> {
    /// Whether the list has the device.
    #[must_use]
    pub fn takes(&self, device: &Facts<'_>) -> bool {
        let Filter {
            factory,
            tag,
            target,
            group,
            uuid,
            owner,
            is_prod,
            ..
        } = self.filter;
        let is = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        let like = |pattern: &Option<Pattern>| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(device.name))
        };
        factory.is_none_or(|factory| factory == device.factory)
            && is(tag, device.tag)
            && is(target, device.target)
            && is(group, device.group)
            && owner.is_none_or(|owner| owner == device.owner)
            && is_prod.is_none_or(|is_prod| is_prod == device.is_prod)
            && (uuid.is_empty() || uuid.parse::<MachineUuid>() == Ok(device.uuid))
            && like(&self.name)
            && like(&self.name_ilike)
    }
}

/// By what devices are sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    Owner,
    Name,
    LastSeen,
}

/// One step of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sort {
    pub by: Key,
    pub is_descending: bool,
}

/// A text that is no order.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "devices cannot be sorted by {0:?}: name or last_seen, with - in front for the other direction"
)]
pub struct BadSort(String);

/// Reads `name,-last_seen`. Nothing stands for owner, then name.
///
/// # Errors
/// [`BadSort`]
pub fn read_sort(text: &str) -> Result<Vec<Sort>, BadSort> {
    let up = |by| Sort {
        by,
        is_descending: false,
    };
    let given: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .collect();
    if given.is_empty() {
        return Ok(vec![up(Key::Owner), up(Key::Name)]);
    }
    let read = |key: &str| {
        let (name, is_descending) = match key.strip_prefix('-') {
            Some(name) => (name, true),
            None => (key, false),
        };
        let by = match name {
            "name" => Key::Name,
            "last_seen" | "last-seen" => Key::LastSeen,
            _ => return Err(BadSort(name.chars().take(64).collect())),
        };
        Ok(Sort { by, is_descending })
    };
    given.into_iter().map(read).collect()
}

/// The order of two devices; that of their UUIDs where they are equal.
#[must_use]
pub fn compare(sort: &[Sort], one: &Facts<'_>, other: &Facts<'_>) -> Ordering {
    let by = |sort: &Sort| {
        let order = match sort.by {
            Key::Owner => one.owner.cmp(&other.owner),
            Key::Name => one.name.cmp(other.name),
            Key::LastSeen => one.last_seen.cmp(&other.last_seen),
        };
        if sort.is_descending {
            order.reverse()
        } else {
            order
        }
    };
    let orders = sort.iter().map(by);
    let first = orders.fold(Ordering::Equal, Ordering::then);
    first.then(one.uuid.cmp(&other.uuid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(number: u32, name: &str) -> Facts<'_> {
        Facts {
            uuid: MachineUuid::from_bits(number.into()),
            factory: StorageGroupId::new(1).unwrap(),
            name,
            tag: "lab",
            target: "disk-3",
            group: "room",
            owner: 7,
            is_prod: false,
            last_seen: Some(Timestamp::from_millis(i64::from(number))),
        }
    }

    #[test]
    fn what_is_empty_asks_for_nothing_and_all_else_must_fit() {
        let device = facts(1, "device-1");
        let takes = |change: &dyn Fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            filter.ready().takes(&device)
        };
        assert!(takes(&|_| {}));
        let uuid = device.uuid.to_string().to_uppercase();
        type Change<'a> = &'a dyn Fn(&mut Filter);
        let fits: [(Change<'_>, Change<'_>); 9] = [
            (&|f| f.name = "dev*".into(), &|f| f.name = "Dev*".into()),
            (&|f| f.name_ilike = "DEV%".into(), &|f| {
                f.name_ilike = "dev".into()
            }),
            (&|f| f.tag = "lab".into(), &|f| f.tag = "la".into()),
            (&|f| f.target = "disk-3".into(), &|f| {
                f.target = "disk".into()
            }),
            (&|f| f.group = "room".into(), &|f| f.group = "other".into()),
            (&|f| f.uuid = uuid.clone(), &|f| f.uuid = "device-1".into()),
            (&|f| f.owner = Some(7), &|f| f.owner = Some(8)),
            (&|f| f.is_prod = Some(false), &|f| f.is_prod = Some(true)),
            (&|f| f.factory = StorageGroupId::new(1), &|f| {
                f.factory = StorageGroupId::new(2);
            }),
        ];
        for (place, (yes, no)) in fits.into_iter().enumerate() {
            assert!(takes(yes) && !takes(no), "{place}");
        }
        assert!(!takes(&|f| {
            f.tag = "lab".into();
            f.owner = Some(8);
        }));
    }

    #[test]
    fn orders_are_read_and_kept() {
        let (one, two) = (facts(1, "b"), facts(2, "a"));
        let order = |text| compare(&read_sort(text).unwrap(), &one, &two);
        assert_eq!(
            order(""),
            Ordering::Greater,
            "the same owner, then the name"
        );
        assert_eq!(order("-name"), Ordering::Less);
        assert_eq!(order("last_seen"), Ordering::Less);
        assert_eq!(order("-last_seen,name"), Ordering::Greater);
        let same = facts(3, "b");
        let by_name = read_sort("name").unwrap();
        assert_eq!(compare(&by_name, &one, &same), Ordering::Less);
        assert!(read_sort("owner").is_err() && read_sort("name,size").is_err());
    }
}
