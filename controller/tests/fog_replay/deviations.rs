//! The written rules about what may differ.

use std::path::Path;

use serde::Deserialize;

use crate::compare::Expected;
use crate::fog_support::Reply;
use crate::recording::Record;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviations {
    deviation: Vec<Rule>,
}

/// Every condition that is there must hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    #[expect(dead_code, reason = "for people")]
    what: String,
    #[expect(dead_code, reason = "for people")]
    why: String,
    /// `METHOD /path`, either part `*`, with `*` for any text in the path.
    routes: Vec<String>,
    fog: Option<Vec<u16>>,
    ours: Option<Vec<u16>>,
    /// The request's body is not JSON.
    #[serde(default)]
    broken_json: bool,
    /// The difference is at a path that ends like one of these, with `*` for any text.
    at: Option<Vec<String>>,
    /// Records whose difference follows from an earlier one in the same file.
    records: Option<Vec<String>>,
}

impl Deviations {
    pub fn load(path: &Path) -> Self {
        toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    pub fn rule(&self, record: &Record, expected: &Expected, reply: &Reply, difference: &str) -> Option<String> {
        self.deviation
            .iter()
            .find(|rule| rule.covers(record, expected, reply, difference))
            .map(|rule| rule.name.clone())
    }
}

impl Rule {
    fn covers(&self, record: &Record, expected: &Expected, reply: &Reply, difference: &str) -> bool {
        let place = difference.split(' ').next().unwrap_or_default();
        self.routes.iter().any(|route| is_route(route, &record.method, &record.path))
            && self.fog.as_ref().is_none_or(|statuses| statuses.contains(&expected.status))
            && self.ours.as_ref().is_none_or(|statuses| statuses.contains(&reply.status.as_u16()))
            && (!self.broken_json || serde_json::from_slice::<serde_json::Value>(&record.body).is_err())
            && self.at.as_ref().is_none_or(|ends| ends.iter().any(|end| ends_like(place, end)))
            && self.records.as_ref().is_none_or(|records| records.contains(&record.id))
    }
}

fn ends_like(place: &str, end: &str) -> bool {
    foghorn_controller::state::needle::is_like(place, &format!("%{}", end.replace('*', "%")))
}

fn is_route(route: &str, method: &str, path: &str) -> bool {
    let (wanted, pattern) = route.split_once(' ').unwrap();
    (wanted == "*" || wanted == method) && foghorn_controller::state::needle::is_like(path, &pattern.replace('*', "%"))
}
