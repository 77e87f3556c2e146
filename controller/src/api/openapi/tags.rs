//! The headings under which routes are listed: our own first, then FOG's classes by what they are
//! about, so that a person can read them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::state::schema::ClassSchema;

/// Our own, in the order in which people need them.
const OWN: [(&str, &str); 14] = [
    ("tasks", "Imaging tasks with their progress, in bytes."),
    ("images", "Contents of images."),
    ("hosts", "Further routes of hosts."),
    ("nodes", "Current state of storage nodes."),
    (
        "multicast",
        "Deploys to several hosts with one stream, with one row per receiver.",
    ),
    ("snapins", "Files of snapins, and their execution on hosts."),
    (
        "users",
        "Users, the state and token of the API, the audit log.",
    ),
    ("events", "Changes and progress, as server-sent events."),
    (
        "health",
        "For load balancers, Prometheus and `foghorn doctor`.",
    ),
    (
        "clients",
        "The client, for machines that have none yet. No credentials.",
    ),
    (
        "notifications",
        "Who is told of what happens: webhooks, chats, mails, and what became of each message.",
    ),
    (
        "background",
        "What the controller does by itself, and how its last rounds ended.",
    ),
    ("controllers", "The controllers that share the store."),
    (
        "enrolment",
        "How agents and clients get their certificates.",
    ),
];

/// A heading over classes of FOG, and which these are.
struct Heading {
    tag: &'static str,
    about: &'static str,
    classes: &'static [&'static str],
}

static SYSTEM: Heading = Heading {
    tag: "FOG: system",
    about: "Test of the API, its version, and the search in every class.",
    classes: &[],
};
static OF_PLUGINS: Heading = Heading {
    tag: "FOG: classes of plugins",
    about: "Classes that plugins declare.",
    classes: &[],
};

static HEADINGS: [Heading; 8] = [
    Heading {
        tag: "FOG: hosts and groups",
        about: "Machines, their network addresses, their hardware, and sets of them.",
        classes: &[
            "host",
            "group",
            "groupassociation",
            "macaddressassociation",
            "inventory",
            "powermanagement",
            "oui",
        ],
    },
    Heading {
        tag: "FOG: images",
        about: "Images and what they are for.",
        classes: &[
            "image",
            "imageassociation",
            "imagetype",
            "imagepartitiontype",
            "imaginglog",
            "os",
        ],
    },
    Heading {
        tag: "FOG: tasks",
        about: "What is done on machines, now or at a time, and what became of it.",
        classes: &[
            "task",
            "taskstate",
            "tasktype",
            "tasklog",
            "scheduledtask",
            "multicastsession",
            "multicastsessionassociation",
            "history",
        ],
    },
    Heading {
        tag: "FOG: storage",
        about: "Storage groups and nodes.",
        classes: &["storagegroup", "storagenode", "nodefailure"],
    },
    Heading {
        tag: "FOG: snapins and printers",
        about: "What is installed on machines after they were imaged.",
        classes: &[
            "snapin",
            "snapinassociation",
            "snapingroupassociation",
            "snapinjob",
            "snapintask",
            "printer",
            "printerassociation",
        ],
    },
    Heading {
        tag: "FOG: client on installed machines",
        about: "What FOG's client for installed machines asks for and reports.",
        classes: &[
            "module",
            "moduleassociation",
            "clientupdater",
            "dircleaner",
            "greenfog",
            "hostautologout",
            "hostscreensetting",
            "usercleanup",
            "usertracking",
            "virus",
        ],
    },
    Heading {
        tag: "FOG: users and settings",
        about: "Users, settings, notifications and plugins.",
        classes: &[
            "user",
            "service",
            "hookevent",
            "notifyevent",
            "keysequence",
            "plugin",
        ],
    },
    Heading {
        tag: "FOG: network boot",
        about: "Menus of machines that boot over the network.",
        classes: &["ipxe", "pxemenuoptions"],
    },
];

/// The heading of FOG's routes that belong to no class.
pub(super) fn system() -> &'static str {
    SYSTEM.tag
}

/// The heading of a class of FOG's dialect.
pub(super) fn of_class(name: &str) -> &'static str {
    HEADINGS
        .iter()
        .find(|heading| heading.classes.contains(&name))
        .map_or(OF_PLUGINS.tag, |heading| heading.tag)
}

/// Those of FOG that have a class in them.
fn used(described: &[ClassSchema]) -> Vec<&'static Heading> {
    let tags: BTreeSet<&str> = described
        .iter()
        .map(|class| of_class(&class.name))
        .collect();
    let with_classes = HEADINGS.iter().chain([&OF_PLUGINS]);
    let mut used = vec![&SYSTEM];
    used.extend(with_classes.filter(|heading| tags.contains(heading.tag)));
    used
}

/// `tags` of the document.
pub(super) fn all(described: &[ClassSchema]) -> Value {
    let own = OWN.iter().copied();
    let fog = used(described)
        .into_iter()
        .map(|heading| (heading.tag, heading.about));
    own.chain(fog)
        .map(|(name, about)| json!({"name": name, "description": about}))
        .collect()
}

/// The two groups of them, for programs that show such.
pub(super) fn groups(described: &[ClassSchema]) -> Value {
    let own: Vec<&str> = OWN.iter().map(|(name, _)| *name).collect();
    let fog: Vec<&str> = used(described).iter().map(|heading| heading.tag).collect();
    json!([
        {"name": "Foghorn", "tags": own},
        {"name": "FOG's dialect", "tags": fog},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_place_and_none_has_two() {
        let mut placed = BTreeSet::new();
        for heading in &HEADINGS {
            for class in heading.classes {
                assert!(placed.insert(*class), "{class} has two places");
            }
        }
        let known: BTreeSet<&str> = crate::state::classes::CLASSES
            .iter()
            .map(|class| class.name())
            .collect();
        assert_eq!(placed, known);
    }

    #[test]
    fn a_class_of_a_plugin_has_a_heading_too() {
        assert_eq!(of_class("location"), OF_PLUGINS.tag);
        assert_eq!(of_class("host"), "FOG: hosts and groups");
    }
}
