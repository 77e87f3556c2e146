//! Which role a request of the FOG dialect needs.

use axum::http::Method;
use foghorn_types::Role;

use super::path::{self, Route};
use crate::api::access::Need;

/// Classes, in every spelling that routes take, whose objects operators may change. Every other
/// one, whoever adds it, is for administrators: settings, plugins, storage, the fixed lists, and
/// the logs of what has happened.
const OPERATED: &[&str] = &[
    "clientupdater",
    "dircleaner",
    "greenfog",
    "group",
    "groupassociation",
    "host",
    "hostautologout",
    "hostscreensetting",
    "image",
    "imageassociation",
    "inventory",
    "keysequence",
    "macaddressassociation",
    "moduleassociation",
    "multicastsession",
    "multicastsessionassociation",
    "multicastsessionsassociation",
    "powermanagement",
    "printer",
    "printerassociation",
    "scheduledtask",
    "snapin",
    "snapinassociation",
    "snapingroupassociation",
    "snapinjob",
    "snapins",
    "snapintask",
    "task",
    "usercleanup",
    "virus",
];

/// What a request needs. It is taken apart by the same function that serves it, so the two cannot
/// disagree.
pub(in crate::api) fn needed(method: &Method, path: &str) -> Need {
    let role = match path::parse(method, path) {
        Some(Route::Version | Route::Page) => return Need::Nothing,
        Some(
            Route::Info
            | Route::List { .. }
            | Route::Active { .. }
            | Route::Names { .. }
            | Route::Ids { .. }
            | Route::Search { .. }
            | Route::SearchAll { .. }
            | Route::Get { .. },
        ) => Role::ReadOnly,
        Some(Route::Task { .. } | Route::Cancel { .. }) => Role::Operator,
        Some(Route::Create { class } | Route::Edit { class, .. } | Route::Delete { class, .. }) => {
            if OPERATED.contains(&class) {
                Role::Operator
            } else {
                Role::Administrator
            }
        }
        // Answered with 501 whatever the role is; looking for a route that does not exist harms
        // nobody.
        None if *method == Method::GET || *method == Method::HEAD => Role::ReadOnly,
        None => Role::Administrator,
    };
    Need::Role(role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(method: &Method, path: &str) -> Role {
        match needed(method, path) {
            Need::Role(role) => role,
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    #[test]
    fn looking_working_and_ruling() {
        for path in [
            "/fog/host",
            "/fog/search/x",
            "/fog/service/list",
            "/fog/host/1",
            "/fog/task/active",
            "/fog/nosuch",
            "/fog",
        ] {
            assert_eq!(role(&Method::GET, path), Role::ReadOnly, "{path}");
        }
        for (method, path) in [
            (Method::POST, "/fog/host"),
            (Method::PUT, "/fog//host//1/edit/"),
            (Method::DELETE, "/fog/group/1"),
            (Method::POST, "/fog/host/1/task"),
            (Method::DELETE, "/fog/task/cancel"),
            (Method::DELETE, "/fog/scheduledtask/1/cancel"),
        ] {
            assert_eq!(role(&method, path), Role::Operator, "{method} {path}");
        }
        for (method, path) in [
            (Method::PUT, "/fog/service/1"),
            (Method::POST, "/fog/plugin"),
            (Method::DELETE, "/fog/storagenode/1/delete"),
            (Method::POST, "/fog/storagegroup/create"),
            (Method::POST, "/fog/tasktype"),
            (Method::DELETE, "/fog/imaginglog/1"),
            (Method::POST, "/fog/madeup/create"),
            (Method::PATCH, "/fog/host/1"),
        ] {
            assert_eq!(role(&method, path), Role::Administrator, "{method} {path}");
        }
    }
}
