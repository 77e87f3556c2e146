//! What each native route needs. A route that is not here is for administrators.

use axum::http::Method;
use foghorn_proto::http::{CA_PATH, CHECK_IN_PATH, ENROL_PATH, ORDER_PATH};
use foghorn_types::Role::{self, Administrator, Operator, ReadOnly};

use super::Need;

/// Method, route as the router spells it, and what it needs.
type Rule = (Method, &'static str, Need);

const OPEN: Need = Need::Nothing;

const fn role(role: Role) -> Need {
    Need::Role(role)
}

pub(super) static RULES: &[Rule] = &[
    // Agents and clients have no user: enrolment and check-in take one-time tokens, the order a bearer of the check-in.
    (Method::GET, CA_PATH, OPEN),
    (Method::POST, ENROL_PATH, OPEN),
    (Method::POST, CHECK_IN_PATH, OPEN),
    (Method::GET, ORDER_PATH, OPEN),
    // No data of the fleet.
    (Method::GET, "/healthz", OPEN),
    (Method::GET, "/readyz", OPEN),
    (Method::GET, "/metrics", OPEN),
    (Method::GET, "/openapi.json", OPEN),
    (Method::GET, "/openapi-3.0.json", OPEN),
    (Method::GET, "/docs", OPEN),
    (Method::GET, "/docs/", OPEN),
    (Method::GET, "/docs/{*rest}", OPEN),
    // Looking.
    (Method::GET, "/events", role(ReadOnly)),
    (Method::GET, "/foghorn/v1/events", role(ReadOnly)),
    (Method::GET, "/foghorn/v1/images/{id}", role(ReadOnly)),
    (Method::GET, "/foghorn/v1/jobs/{id}", role(ReadOnly)),
    (Method::GET, "/foghorn/v1/multicast-sessions", role(ReadOnly)),
    (Method::GET, "/foghorn/v1/multicast-sessions/{id}", role(ReadOnly)),
    (Method::GET, "/foghorn/v1/nodes", role(ReadOnly)),
    (Method::GET, "/foghorn/v1/schedules", role(ReadOnly)),
    (Method::GET, "/foghorn/v1/tasks", role(ReadOnly)),
    (Method::GET, "/foghorn/v1/tasks/{id}", role(ReadOnly)),
    // The daily work.
    (Method::POST, "/foghorn/v1/hosts/{id}/boot-token", role(Operator)),
    // What is told counts as told, so this is more than looking.
    (Method::GET, "/foghorn/v1/hosts/{id}/power", role(Operator)),
    (Method::POST, "/foghorn/v1/hosts/{id}/user-tracking", role(Operator)),
    (Method::GET, "/foghorn/v1/hosts/{id}/snapins/next", role(Operator)),
    (Method::POST, "/foghorn/v1/hosts/{id}/snapintasks/{task}/result", role(Operator)),
    (Method::GET, "/foghorn/v1/snapins/{id}/file", role(Operator)),
    (Method::PUT, "/foghorn/v1/snapins/{id}/file", role(Operator)),
    (Method::POST, "/foghorn/v1/images/{id}/verify", role(Operator)),
    (Method::POST, "/foghorn/v1/nodes/{id}/scrub", role(Operator)),
    (Method::POST, "/foghorn/v1/multicast-sessions", role(Operator)),
    (Method::PATCH, "/foghorn/v1/multicast-sessions/{id}", role(Operator)),
    (Method::DELETE, "/foghorn/v1/multicast-sessions/{id}", role(Operator)),
    // Who belongs to the installation.
    (Method::POST, "/foghorn/v1/nodes/join-token", role(Administrator)),
    (Method::POST, "/foghorn/v1/nodes/{id}/revoke", role(Administrator)),
    // Who may use the API, and what they did.
    (Method::GET, "/foghorn/v1/api", role(Administrator)),
    (Method::PUT, "/foghorn/v1/api", role(Administrator)),
    (Method::GET, "/foghorn/v1/audit", role(Administrator)),
    (Method::GET, "/foghorn/v1/users", role(Administrator)),
    (Method::POST, "/foghorn/v1/users", role(Administrator)),
    (Method::GET, "/foghorn/v1/users/{id}", role(Administrator)),
    (Method::PATCH, "/foghorn/v1/users/{id}", role(Administrator)),
    (Method::DELETE, "/foghorn/v1/users/{id}", role(Administrator)),
    (Method::PUT, "/foghorn/v1/users/{id}/password", role(Administrator)),
    (Method::POST, "/foghorn/v1/users/{id}/token", role(Administrator)),
    // Last: replaces the token with which everything else is called.
    (Method::POST, "/foghorn/v1/api/token", role(Administrator)),
];

/// What the route needs for this method.
pub(super) fn needed(method: &Method, route: &str) -> Need {
    let entered = RULES.iter().find(|(known, path, _)| known == method && *path == route);
    entered.map_or(Need::Role(Administrator), |(_, _, need)| *need)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_not_entered_is_for_administrators() {
        assert_eq!(needed(&Method::GET, "/foghorn/v1/nosuch"), role(Administrator));
        assert_eq!(needed(&Method::DELETE, "/foghorn/v1/tasks/{id}"), role(Administrator));
        assert_eq!(needed(&Method::POST, "/healthz"), role(Administrator));
    }

    #[test]
    fn no_route_has_two_rules() {
        let mut seen = HashSet::new();
        assert!(RULES.iter().all(|(method, path, _)| seen.insert((method, path))));
    }

    #[test]
    fn nothing_that_changes_is_for_those_who_only_look() {
        assert!(RULES.iter().all(|(method, _, need)| *need != role(ReadOnly) || method == Method::GET));
    }
}
