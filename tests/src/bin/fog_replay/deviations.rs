//! The written rules about what may differ: `tests/fog-deviations.toml`.

use std::path::Path;

use anyhow::{Context, Result};
use foghorn_controller::state::needle::is_like;
use serde::Deserialize;
use serde_json::Value;

use super::compare::{Difference, Kind};
use super::http::Reply;
use super::recording::Exchange;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deviations {
    deviation: Vec<Rule>,
}

/// Every condition that is there must hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) name: String,
    #[expect(dead_code, reason = "for people")]
    what: String,
    #[expect(dead_code, reason = "for people")]
    why: String,
    /// `METHOD /path`, either part `*`, with `*` for any text in the path.
    routes: Vec<String>,
    /// Recorded status.
    fog: Option<Vec<u64>>,
    /// Our status.
    ours: Option<Vec<u16>>,
    /// The request's body is not JSON.
    #[serde(default)]
    broken_json: bool,
    /// The request's body has a member of this name.
    body_has: Option<String>,
    /// A member of the request's body is a list or an object.
    #[serde(default)]
    list_for_value: bool,
    /// A text in the request's body has a character that FOG escapes.
    #[serde(default)]
    escaped_text: bool,
    /// A name with blanks around it has been sent before.
    #[serde(default)]
    after_padded_name: bool,
    /// The text searched for is one or two digits beside wildcards: such are part of many a time.
    #[serde(default)]
    short_number_searched: bool,
    /// The request's path has `%`.
    #[serde(default)]
    percent_encoded: bool,
    /// The recorded list is empty.
    #[serde(default)]
    found_nothing: bool,
    /// Times of day decide whether anything falls under the rule.
    #[serde(default)]
    by_chance: bool,
    kind: Option<Kind>,
    /// The difference is at a path that ends like one of these, with `*` for any text.
    at: Option<Vec<String>>,
    /// The rule is for what follows from an earlier deviation of the same file: both servers know
    /// different objects since.
    #[serde(default)]
    follows: bool,
    /// The request is not even sent, because everything after it would be about something else; a
    /// test of its own has it.
    #[serde(default)]
    apart: bool,
}

impl Deviations {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))
    }

    /// The rule that covers a difference.
    pub(crate) fn rule(
        &self,
        record: &Exchange,
        reply: &Reply,
        difference: &Difference,
        padded: bool,
    ) -> Option<&Rule> {
        let may = |rule: &Rule| !rule.follows && (padded || !rule.after_padded_name);
        self.deviation
            .iter()
            .find(|rule| may(rule) && rule.covers(record, reply, difference))
    }

    /// The rule under which a request is not sent.
    pub(crate) fn apart(&self, record: &Exchange) -> Option<&Rule> {
        self.deviation
            .iter()
            .find(|rule| rule.apart && rule.is_for(record))
    }

    /// The rules under which something falls in every replay of all recordings.
    pub(crate) fn certain(&self) -> impl Iterator<Item = &Rule> {
        self.deviation.iter().filter(|rule| !rule.by_chance)
    }

    /// The rule for what follows from an earlier deviation.
    pub(crate) fn consequence(&self) -> Option<&Rule> {
        self.deviation.iter().find(|rule| rule.follows)
    }
}

impl Rule {
    fn covers(&self, record: &Exchange, reply: &Reply, difference: &Difference) -> bool {
        self.is_for(record)
            && self
                .ours
                .as_ref()
                .is_none_or(|statuses| statuses.contains(&reply.status))
            && self.kind.is_none_or(|kind| kind == difference.kind)
            && self
                .at
                .as_ref()
                .is_none_or(|ends| ends.iter().any(|end| ends_like(&difference.at, end)))
    }

    /// Whether the recording meets what the rule says about it.
    fn is_for(&self, record: &Exchange) -> bool {
        let status = record.response["status"].as_u64().unwrap_or_default();
        let body = serde_json::from_slice::<Value>(&record.body);
        self.routes
            .iter()
            .any(|route| is_route(route, &record.method, &record.path))
            && self
                .fog
                .as_ref()
                .is_none_or(|statuses| statuses.contains(&status))
            && (!self.broken_json || (body.is_err() && !record.body.is_empty()))
            && (!self.list_for_value || body.as_ref().is_ok_and(has_list))
            && (!self.short_number_searched || searches_short_number(&record.path))
            && (!self.percent_encoded || record.path.contains('%'))
            && (!self.found_nothing || record.response["body"]["count"] == 0)
            && (!self.escaped_text || body.as_ref().is_ok_and(has_escapes))
            && self
                .body_has
                .as_ref()
                .is_none_or(|name| body.is_ok_and(|body| body.get(name).is_some()))
    }
}

fn has_list(body: &Value) -> bool {
    body.as_object().is_some_and(|members| {
        members
            .values()
            .any(|value| value.is_array() || value.is_object())
    })
}

fn has_escapes(body: &Value) -> bool {
    body.as_object().is_some_and(|members| {
        members
            .values()
            .filter_map(Value::as_str)
            .any(|text| text.contains(['<', '>', '&', '"', '\'']))
    })
}

/// In a search's path as it was sent: `%25` is the wildcard `%` and the number 25.
fn searches_short_number(path: &str) -> bool {
    let Some((_, text)) = path.rsplit_once("/search/") else {
        return false;
    };
    let number = text.trim_matches(['%', '_', '+']);
    matches!(number.len(), 1 | 2) && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn ends_like(place: &str, end: &str) -> bool {
    is_like(place, &format!("%{}", end.replace('*', "%")))
}

fn is_route(route: &str, method: &str, path: &str) -> bool {
    let Some((wanted, pattern)) = route.split_once(' ') else {
        return false;
    };
    (wanted == "*" || wanted == method) && is_like(path, &pattern.replace('*', "%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_told_from_other_searches() {
        for (path, short) in [
            ("/fog/host/search/%25", true),
            ("/fog/task/search/3", true),
            ("/fog/host/search/10.1.1.11", false),
            ("/fog/host/search/pc0", false),
            ("/fog/host/search/%", false),
            ("/fog/host/25", false),
        ] {
            assert_eq!(searches_short_number(path), short, "{path}");
        }
    }
}
