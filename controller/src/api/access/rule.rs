//! What each route requires, by its method and path.

use std::collections::HashMap;

use axum::http::Method;
use foghorn_types::Role;

use crate::state::machines::scope::Scope;

/// What a route requires of its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Nothing: the route returns no data, or checks a token of its own.
    Nothing,
    /// A user with at least this role.
    Role(Role),
    /// A factory token with this scope.
    Scope(Scope),
}

/// The rules of all routes.
#[derive(Clone, Debug)]
pub(in crate::api) struct Rules {
    /// By path in the form of the router, then by method.
    native: HashMap<&'static str, Vec<(Method, Need)>>,
    /// The FOG dialect has one route for all paths and decides by the path itself.
    fog: fn(&Method, &str) -> Need,
}

impl Rules {
    pub(in crate::api) fn new(
        native: impl IntoIterator<Item = (Method, &'static str, Need)>,
        fog: fn(&Method, &str) -> Need,
    ) -> Self {
        let mut rules: HashMap<_, Vec<_>> = HashMap::new();
        for (method, path, need) in native {
            rules.entry(path).or_default().push((method, need));
        }
        Self { native: rules, fog }
    }

    /// What a native route requires. A route that was not declared is for administrators.
    pub(super) fn native(&self, method: &Method, route: &str) -> Need {
        // axum answers HEAD with the handler of GET.
        let method = if *method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let declared = self
            .native
            .get(route)
            .and_then(|rules| rules.iter().find(|(known, _)| known == method));
        declared.map_or(Need::Role(Role::Administrator), |(_, need)| *need)
    }

    /// What a route of the FoundriesFactory dialect requires, which is served with a slash at its end and
    /// without one. No route at all is closed, too: with a slash it would be the first page.
    pub(super) fn foundries(&self, method: &Method, route: &str) -> Need {
        if route.is_empty() || self.native.contains_key(route) {
            self.native(method, route)
        } else {
            self.native(method, &format!("{route}/"))
        }
    }

    pub(super) fn fog(&self, method: &Method, path: &str) -> Need {
        (self.fog)(method, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_declared_is_for_administrators() {
        let administrator = Need::Role(Role::Administrator);
        let declared = [
            (Method::GET, "/healthz", Need::Nothing),
            (Method::GET, "/v1/tasks/{id}", Need::Role(Role::ReadOnly)),
        ];
        let rules = Rules::new(declared, |_, _| Need::Nothing);
        assert_eq!(rules.native(&Method::GET, "/nosuch"), administrator);
        assert_eq!(
            rules.native(&Method::DELETE, "/v1/tasks/{id}"),
            administrator
        );
        assert_eq!(rules.native(&Method::POST, "/healthz"), administrator);
        let read = Need::Scope(Scope::DevicesRead);
        let declared = [
            (Method::GET, "/", Need::Nothing),
            (Method::GET, "/ota/devices/", read),
        ];
        let ota = Rules::new(declared, |_, _| Need::Nothing);
        for route in ["/ota/devices/", "/ota/devices"] {
            assert_eq!(ota.foundries(&Method::GET, route), read);
            assert_eq!(ota.foundries(&Method::POST, route), administrator);
        }
        assert_eq!(ota.foundries(&Method::GET, ""), administrator);
        assert_eq!(rules.native(&Method::GET, "/healthz"), Need::Nothing);
        assert_eq!(
            rules.native(&Method::HEAD, "/v1/tasks/{id}"),
            Need::Role(Role::ReadOnly)
        );
    }
}
