//! Objects that only one of the two servers knows, because one refused what the other did, and
//! objects that have another id since. A recording is a chain: later answers differ by just these
//! objects, and must be the same without them.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_controller::state::value::fold;
use serde_json::Value;

use super::compare::{Difference, Kind};
use super::http::Reply;
use super::recording::Exchange;

#[derive(Default)]
pub(crate) struct Apart {
    ids: BTreeMap<String, BTreeSet<String>>,
    /// Rows that FOG stored while it answered an error; it does not say under which id.
    unseen: BTreeMap<String, usize>,
    /// Names of such rows, by class.
    unseen_names: BTreeSet<(String, String)>,
    /// Our ids of objects, by class and FOG's id.
    renamed: BTreeMap<String, BTreeMap<String, String>>,
    /// Images that both have deleted: their tasks are cancelled here and wait for ever there.
    images: BTreeSet<String>,
}

impl Apart {
    /// Takes note of a request that both servers have answered alike.
    pub(crate) fn note_same(&mut self, record: &Exchange) {
        if let ("image", Some(id)) = record.object()
            && record.method == "DELETE"
        {
            self.images.insert(id.to_owned());
        }
    }

    /// Takes note of a request that both answer with 404, FOG after storing something that it then
    /// hides: ours says why it stored nothing.
    pub(crate) fn note_refused(&mut self, record: &Exchange, reply: &Reply) {
        let (class, id) = record.object();
        let unknown =
            reply.problem.ends_with("does not exist") || reply.problem.starts_with("an equal ");
        if reply.status != 404 || unknown || reply.problem.is_empty() {
            return;
        }
        match (record.method.as_str(), id) {
            ("POST", None) => self.note_unseen(record),
            ("PUT", Some(id)) => drop(
                self.ids
                    .entry(class.to_owned())
                    .or_default()
                    .insert(id.to_owned()),
            ),
            _ => {}
        }
    }

    fn note_unseen(&mut self, record: &Exchange) {
        let class = record.object().0.to_owned();
        *self.unseen.entry(class.clone()).or_default() += 1;
        if let Some(name) = sent_name(record) {
            self.unseen_names.insert((class, name));
        }
    }

    /// Takes note of a request that was answered differently on purpose.
    pub(crate) fn note(&mut self, record: &Exchange, reply: &Reply, differences: &[Difference]) {
        let (class, id) = record.object();
        let status = record.response["status"].as_u64().unwrap_or_default();
        if record.method == "POST" && id.is_none() && status != 200 {
            self.note_unseen(record);
        }
        let refused = status == 404
            || differences
                .iter()
                .any(|difference| difference.kind == Kind::Status);
        if record.method == "GET" || !refused {
            return;
        }
        let ours: Value = serde_json::from_str(&reply.text).unwrap_or_default();
        let created = [&record.response["body"]["id"], &ours["id"]]
            .into_iter()
            .filter_map(Value::as_str);
        let ids: Vec<String> = id.into_iter().chain(created).map(str::to_owned).collect();
        self.ids.entry(class.to_owned()).or_default().extend(ids);
    }

    /// After a difference, a create may give another id here than there.
    pub(crate) fn note_created(&mut self, record: &Exchange, reply: &Reply) {
        let (class, id) = record.object();
        let disagree = self.ids.contains_key(class) || self.unseen.contains_key(class);
        let ours: Value = serde_json::from_str(&reply.text).unwrap_or_default();
        if let (Some(fog), Some(ours)) =
            (record.response["body"]["id"].as_str(), ours["id"].as_str())
            && record.method == "POST"
            && id.is_none()
            && disagree
            && fog != ours
        {
            self.renamed
                .entry(class.to_owned())
                .or_default()
                .insert(fog.to_owned(), ours.to_owned());
        }
    }

    /// The path to send: with our id of the object.
    pub(crate) fn our_path(&self, record: &Exchange) -> String {
        let (class, id) = record.object();
        let ours = id.and_then(|id| Some((id, self.renamed.get(class)?.get(id)?)));
        match ours {
            Some((fog, ours)) => record
                .path
                .replacen(&format!("/{fog}"), &format!("/{ours}"), 1),
            None => record.path.clone(),
        }
    }

    /// Whether the request is about an object that one server lacks.
    pub(crate) fn is_about(&self, record: &Exchange) -> bool {
        let (class, id) = record.object();
        id.is_some_and(|id| self.has(class, id))
    }

    /// Whether FOG refuses a create because of a row that it stored while it answered an error. Not
    /// to be sent here: ours uses up an id for it, and FOG none.
    pub(crate) fn clashes_unseen(&self, record: &Exchange) -> bool {
        let (class, id) = record.object();
        let taken = record.response["body"]["error"] == "Already created";
        let unseen = |name| self.unseen_names.contains(&(class.to_owned(), name));
        record.method == "POST" && id.is_none() && taken && sent_name(record).is_some_and(unseen)
    }

    fn has(&self, class: &str, id: &str) -> bool {
        self.ids.get(class).is_some_and(|ids| ids.contains(id))
    }

    /// Both answers with FOG's ids and without what one server lacks; `None` when there was nothing
    /// of that kind.
    pub(crate) fn aligned(
        &self,
        record: &Exchange,
        fog: &Value,
        ours: &Value,
    ) -> Option<(Value, Value)> {
        let class = record.object().0;
        let (mut left, mut right) = (fog.clone(), ours.clone());
        let renamed = self.rename(class, &mut right);
        let known = ids_in(class, &right);
        let mut budget = self.unseen.get(class).copied().unwrap_or(0);
        let lost = |row: &Value| {
            class == "task"
                && row["imageID"]
                    .as_str()
                    .is_some_and(|id| self.images.contains(id))
        };
        let removed = strip(class, &mut left, &mut |row| {
            let Some(id) = id_of(row) else { return false };
            let unseen = !known.contains(id) && budget > 0;
            budget -= usize::from(unseen);
            unseen || self.has(class, id) || lost(row)
        }) + strip(class, &mut right, &mut |row| {
            id_of(row).is_some_and(|id| self.has(class, id)) || lost(row)
        });
        let shifted = self.unseen.contains_key("host") && align_parts(class, &mut left, &mut right);
        (renamed || removed > 0 || shifted).then_some((left, right))
    }

    /// Puts FOG's ids in the place of ours.
    fn rename(&self, class: &str, answer: &mut Value) -> bool {
        let Some(names) = self.renamed.get(class) else {
            return false;
        };
        let fogs = |ours: &str| {
            names
                .iter()
                .find(|(_, own)| *own == ours)
                .map(|(fog, _)| fog.clone())
        };
        let mut changed = false;
        let mut one = |row: &mut Value| {
            let Some(fog) = id_of(row).and_then(fogs) else {
                return;
            };
            changed = true;
            match row {
                Value::Object(members) => drop(members.insert("id".to_owned(), Value::String(fog))),
                other => *other = Value::String(fog),
            }
        };
        match rows(class, answer) {
            Some(rows) => rows.iter_mut().for_each(&mut one),
            None => one(answer),
        }
        changed
    }
}

/// The name in the request's body, in the form in which names are compared.
fn sent_name(record: &Exchange) -> Option<String> {
    let body: Value = serde_json::from_slice(&record.body).ok()?;
    Some(fold(body["name"].as_str()?))
}

/// Rows of hosts that only FOG has are left out, and further ones have lower ids here for that.
/// Returns whether there were any.
fn align_parts(class: &str, fog: &mut Value, ours: &mut Value) -> bool {
    if let (Some(count), Some(number)) = (fog.get_mut("count"), ours.get("count")) {
        // The rows themselves are compared.
        *count = number.clone();
    }
    let (Some(fog), Some(ours)) = (rows(class, fog), rows(class, ours)) else {
        return false;
    };
    let host = |row: &Value| row["hostID"].as_str().map(str::to_owned);
    let hosts: BTreeSet<String> = ours.iter().filter_map(host).collect();
    let before = fog.len();
    fog.retain(|row| host(row).is_none_or(|id| hosts.contains(&id)));
    let number = |row: &Value| row["id"].as_str().and_then(|id| id.parse::<u32>().ok());
    for (fog, ours) in fog
        .iter()
        .zip(ours.iter_mut())
        .filter(|(fog, ours)| number(fog) > number(ours))
    {
        ours["id"] = fog["id"].clone();
    }
    fog.len() < before
}

/// The rows of an answer: of an envelope, of a list of names, of a list of ids.
fn rows<'v>(class: &str, answer: &'v mut Value) -> Option<&'v mut Vec<Value>> {
    match answer {
        Value::Array(rows) => Some(rows),
        Value::Object(members) => members.get_mut(&format!("{class}s"))?.as_array_mut(),
        _ => None,
    }
}

fn id_of(row: &Value) -> Option<&str> {
    row.as_str().or_else(|| row.get("id")?.as_str())
}

fn ids_in(class: &str, answer: &Value) -> BTreeSet<String> {
    let mut answer = answer.clone();
    let rows = rows(class, &mut answer)
        .map(std::mem::take)
        .unwrap_or_default();
    rows.iter().filter_map(id_of).map(str::to_owned).collect()
}

fn strip(class: &str, answer: &mut Value, drops: &mut dyn FnMut(&Value) -> bool) -> usize {
    let Some(rows) = rows(class, answer) else {
        return 0;
    };
    let before = rows.len();
    rows.retain(|row| !drops(row));
    let removed = before - rows.len();
    if let Some(count) = answer.get_mut("count") {
        *count = count.as_u64().map_or(Value::Null, |count| {
            count.saturating_sub(removed as u64).into()
        });
    }
    removed
}
