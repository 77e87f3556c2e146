//! What a request does, in words for people: they know hosts and images, not methods and paths.

/// A class of objects.
pub struct ClassWords {
    /// In paths.
    pub class: &'static str,
    /// What people call one.
    pub noun: &'static str,
    /// The command for it; empty without one.
    pub command: &'static str,
}

const fn class(class: &'static str, noun: &'static str, command: &'static str) -> ClassWords {
    ClassWords {
        class,
        noun,
        command,
    }
}

/// Classes that commands use, and those that messages of the server speak of.
const CLASSES: &[ClassWords] = &[
    class("host", "host", "host"),
    class("image", "image", "image"),
    class("group", "group", "group"),
    class("snapin", "snapin", "snapin"),
    class("storagenode", "storage node", "node"),
    class("storagegroup", "storage group", "storage-group"),
    class("scheduledtask", "schedule", "schedule"),
    class("service", "setting", "setting"),
    class("plugin", "plugin", "plugin"),
    class("task", "task", "task"),
    class("multicastsession", "multicast session", "session"),
    class("user", "user", "user"),
    class("inventory", "inventory", "inventory"),
    class("snapinassociation", "assignment of a snapin", ""),
    class("groupassociation", "membership of a host", ""),
];

/// The words for a class of the API.
#[must_use]
pub fn words_of(class: &str) -> Option<&'static ClassWords> {
    CLASSES.iter().find(|words| words.class == class)
}

/// Routes of our own: method, path below `/foghorn/v1/` with `*` for ids, and what it does.
const ROUTES: &[(&str, &str, &str)] = &[
    ("POST", "tasks", "create the tasks"),
    ("GET", "tasks", "read the state of the tasks"),
    ("GET", "tasks/*", "read task {0}"),
    ("GET", "images/*", "read image {0}"),
    ("POST", "images/*/verify", "verify image {0}"),
    ("POST", "images/*/undo", "undo the capture of image {0}"),
    ("GET", "images/*/versions", "list the versions of image {0}"),
    (
        "DELETE",
        "images/*/versions/*",
        "delete version {1} of image {0}",
    ),
    ("GET", "replication", "read how images are copied"),
    ("POST", "replication/stop", "stop copying the image"),
    ("POST", "replication/start", "copy the image"),
    (
        "GET",
        "replication/limits",
        "list the limits of replication",
    ),
    (
        "POST",
        "replication/limits",
        "change the limit of replication",
    ),
    ("GET", "orphans", "list unknown content"),
    ("POST", "orphans/adopt", "adopt the content"),
    ("POST", "orphans/drop", "drop the content"),
    (
        "POST",
        "hosts/*/boot-token",
        "make a boot token for host {0}",
    ),
    ("PUT", "snapins/*/file", "upload the file of snapin {0}"),
    ("GET", "snapins/*/file", "download the file of snapin {0}"),
    ("GET", "nodes", "list the storage nodes"),
    ("POST", "nodes/join-token", "make a join token"),
    ("GET", "join-tokens", "list the join tokens for many nodes"),
    ("POST", "join-tokens", "make a join token for many nodes"),
    (
        "DELETE",
        "join-tokens/*",
        "delete join token {0} for many nodes",
    ),
    ("GET", "host-tokens", "list the machine tokens"),
    ("POST", "host-tokens", "make a machine token"),
    ("DELETE", "host-tokens/*", "delete machine token {0}"),
    ("GET", "devices", "list the devices"),
    ("GET", "devices/*", "read device {0}"),
    ("DELETE", "devices/*", "delete device {0}"),
    ("GET", "denied-devices", "list the deleted devices"),
    ("DELETE", "denied-devices/*", "let device {0} in again"),
    ("GET", "factory-tokens", "list the factory tokens"),
    ("POST", "factory-tokens", "make a factory token"),
    ("DELETE", "factory-tokens/*", "revoke factory token {0}"),
    ("POST", "nodes/*/cordon", "cordon storage node {0}"),
    ("POST", "nodes/*/uncordon", "uncordon storage node {0}"),
    ("POST", "nodes/*/readmit", "readmit storage node {0}"),
    ("GET", "sites", "list the sites"),
    ("GET", "sites/*", "read site {0}"),
    ("PUT", "sites/*", "change site {0}"),
    ("POST", "nodes/*/revoke", "revoke storage node {0}"),
    ("POST", "nodes/*/scrub", "scrub storage node {0}"),
    ("POST", "nodes/*/sweep", "sweep storage node {0}"),
    ("GET", "jobs/*", "read job {0}"),
    ("GET", "multicast-sessions", "list the multicast sessions"),
    ("GET", "multicast-sessions/*", "read multicast session {0}"),
    (
        "PATCH",
        "multicast-sessions/*",
        "change multicast session {0}",
    ),
    (
        "DELETE",
        "multicast-sessions/*",
        "cancel multicast session {0}",
    ),
    ("GET", "users", "list the users"),
    ("POST", "users", "create the user"),
    ("PATCH", "users/*", "change user {0}"),
    ("DELETE", "users/*", "remove user {0}"),
    ("PUT", "users/*/password", "set the password of user {0}"),
    ("POST", "users/*/token", "make a new token for user {0}"),
    ("GET", "api", "read whether the API is on"),
    ("PUT", "api", "turn the API on or off"),
    ("POST", "api/token", "replace the API token"),
    ("GET", "audit", "read the audit log"),
    ("GET", "schedules", "list the schedules"),
    ("GET", "hosts", "list the hosts"),
    ("GET", "hosts/*", "read host {0}"),
    ("GET", "groups", "list the groups"),
    ("GET", "groups/*", "read group {0}"),
    ("GET", "images", "list the images"),
    ("GET", "nodes/*", "read storage node {0}"),
    ("GET", "backups", "list the backups"),
    ("POST", "backups", "back up the state"),
    ("POST", "state/export", "export the state"),
    ("POST", "state/import", "import the state"),
    ("POST", "boot-tokens", "make boot tokens"),
    ("GET", "notifications", "list who is told"),
    ("POST", "notifications", "add somebody who is told"),
    ("GET", "notifications/*", "read notification {0}"),
    ("PATCH", "notifications/*", "change notification {0}"),
    ("DELETE", "notifications/*", "delete notification {0}"),
    ("POST", "notifications/*/test", "send a test message"),
];

/// What the request does, such as "create the host"; `name` names an object of a class, by its id,
/// as people should read it.
#[must_use]
pub fn action(method: &str, path: &str, name: impl Fn(&str, &str) -> String) -> String {
    let path = path.split('?').next().unwrap_or_default();
    if let Some(words) = path
        .strip_prefix("/fog/")
        .and_then(|rest| of_class(method, rest, &name))
    {
        return words;
    }
    if let Some(words) = path
        .strip_prefix("/foghorn/v1/")
        .and_then(|rest| of_route(method, rest, &name))
    {
        return words;
    }
    if method == "GET" {
        "get an answer of the server".to_owned()
    } else {
        "make this change".to_owned()
    }
}

fn of_class(method: &str, rest: &str, name: &impl Fn(&str, &str) -> String) -> Option<String> {
    let parts: Vec<&str> = rest.split('/').collect();
    let words = words_of(parts[0])?;
    let noun = words.noun;
    let one = |id: &str| format!("{noun} {}", name(words.class, id));
    Some(match (method, &parts[1..]) {
        ("GET", []) => format!("list {}", plural(noun)),
        ("GET", ["active"]) => format!("list active {}", plural(noun)),
        (_, ["create"]) => format!("create the {noun}"),
        (_, [id, "edit"]) => format!("change {}", one(id)),
        (_, [id, "delete"]) => format!("delete {}", one(id)),
        (_, [id, "task"]) => format!("create a task for {}", one(id)),
        (_, [id, "cancel"]) => format!("cancel {}", one(id)),
        ("GET", [id]) => format!("read {}", one(id)),
        _ => return None,
    })
}

fn of_route(method: &str, rest: &str, name: &impl Fn(&str, &str) -> String) -> Option<String> {
    let parts: Vec<&str> = rest.split('/').collect();
    let (_, pattern, words) = ROUTES.iter().find(|(known, pattern, _)| {
        let mut pattern = pattern.split('/');
        let fits = parts
            .iter()
            .all(|part| pattern.next().is_some_and(|p| p == "*" || p == *part));
        *known == method && fits && pattern.next().is_none()
    })?;
    let mut words = (*words).to_owned();
    let ids = pattern
        .split('/')
        .zip(&parts)
        .filter(|(pattern, _)| *pattern == "*");
    for (number, (_, id)) in ids.enumerate() {
        // The first id is that of an object of the class before it.
        let shown = if number == 0 {
            name(class_of_route(parts[0]), id)
        } else {
            (*id).to_owned()
        };
        words = words.replace(&format!("{{{number}}}"), &shown);
    }
    Some(words)
}

/// `images` → `image`, `nodes` → `storagenode`.
fn class_of_route(resource: &str) -> &str {
    match resource {
        "nodes" => "storagenode",
        "sites" => "storagegroup",
        "multicast-sessions" => "multicastsession",
        other => other.strip_suffix('s').unwrap_or(other),
    }
}

fn plural(noun: &str) -> String {
    match noun {
        "inventory" => "inventories".to_owned(),
        "assignment of a snapin" => "assignments of snapins".to_owned(),
        "membership of a host" => "memberships of hosts".to_owned(),
        noun => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(method: &str, path: &str) -> String {
        action(method, path, |class, id| match (class, id) {
            ("host", "7") => "pc1 (7)".to_owned(),
            (_, id) => id.to_owned(),
        })
    }

    #[test]
    fn requests_are_told_without_methods_and_paths() {
        for (method, path, said) in [
            ("POST", "/fog/host/create", "create the host"),
            ("PUT", "/fog/host/7/edit", "change host pc1 (7)"),
            (
                "DELETE",
                "/fog/storagenode/3/delete",
                "delete storage node 3",
            ),
            ("POST", "/fog/host/7/task", "create a task for host pc1 (7)"),
            ("GET", "/fog/scheduledtask", "list schedules"),
            ("GET", "/fog/task/active", "list active tasks"),
            (
                "DELETE",
                "/foghorn/v1/images/4/versions/2",
                "delete version 2 of image 4",
            ),
            (
                "POST",
                "/foghorn/v1/hosts/7/boot-token",
                "make a boot token for host pc1 (7)",
            ),
            (
                "GET",
                "/foghorn/v1/tasks?ids=1,2",
                "read the state of the tasks",
            ),
            ("POST", "/foghorn/v1/something", "make this change"),
            ("GET", "/healthz", "get an answer of the server"),
        ] {
            assert_eq!(words(method, path), said, "{method} {path}");
        }
    }
}
