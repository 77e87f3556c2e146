//! Creating, editing and deleting rows of plugins' classes, and what goes with them, all inside one
//! [`Draft`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::record;
use super::row::DynamicRow;
use super::spec::{ClassSpec, Declared, Kind, MemberSpec, WhenGone};
use super::word::word;
use crate::state::class::Body;
use crate::state::draft::Draft;
use crate::state::key;
use crate::state::refusal::Refusal;
use crate::state::value::{ids, scalar};
use crate::store::{Compare, Op};

/// Keys and values of a row that connects two objects, and its guards, generously.
const ASSOCIATION_BYTES: usize = 1024;
/// Rows that refer to rows that refer to rows …
const MOST_DEPTH: usize = 8;

/// Stores a new row; returns its id.
///
/// # Errors
/// [`Refusal`]; then nothing is stored.
pub fn create(draft: &mut Draft<'_>, class: &ClassSpec, sent: &Body) -> Result<u32, Refusal> {
    let mut fields = BTreeMap::new();
    read_fields(class, sent, &mut fields)?;
    for field in class.fields.iter().filter(|field| field.required) {
        let kept = fields.get(field.name).map_or("", String::as_str);
        if !sent.contains_key(field.name) || kept.is_empty() || kept == field.kind.nothing() {
            return Err(Refusal::Missing { field: field.name });
        }
    }
    insert(draft, class, fields)
}

/// Changes the fields of a row that were sent.
///
/// # Errors
/// [`Refusal`]; then nothing is stored.
pub fn edit(draft: &mut Draft<'_>, class: &ClassSpec, id: u32, sent: &Body) -> Result<(), Refusal> {
    let row = draft
        .tables()
        .dynamic()
        .get(class.name, id)
        .ok_or(Refusal::NotFound {
            class: class.name,
            id,
        })?;
    let mut fields = row.fields.clone();
    read_fields(class, sent, &mut fields)?;
    for field in class
        .fields
        .iter()
        .filter(|field| field.required && sent.contains_key(field.name))
    {
        if fields
            .get(field.name)
            .is_none_or(|value| value.is_empty() || value == field.kind.nothing())
        {
            return Err(Refusal::Invalid {
                field: field.name,
                why: "is required".to_owned(),
            });
        }
    }
    update(draft, class, row, fields)
}

fn read_fields(
    class: &ClassSpec,
    sent: &Body,
    fields: &mut BTreeMap<String, String>,
) -> Result<(), Refusal> {
    for field in &class.fields {
        let Some(value) = sent.get(field.name) else {
            continue;
        };
        let invalid = |why: String| Refusal::Invalid {
            field: field.name,
            why,
        };
        if let Some(text) = scalar(value).map_err(|error| invalid(error.to_string()))? {
            fields.insert(
                field.name.to_owned(),
                field.kind.read(&text).map_err(invalid)?,
            );
        }
    }
    Ok(())
}

fn built(class: &ClassSpec, id: u32, mut fields: BTreeMap<String, String>) -> DynamicRow {
    for field in &class.fields {
        if fields
            .get(field.name)
            .is_some_and(|value| value == field.kind.nothing())
        {
            fields.remove(field.name);
        }
    }
    let references = class
        .fields
        .iter()
        .filter_map(|field| match field.kind {
            Kind::Reference { class, gone } => {
                Some((field.name.to_owned(), (class.to_owned(), gone)))
            }
            _ => None,
        })
        .collect();
    let uniques = class
        .uniques
        .iter()
        .map(|set| set.iter().map(|field| (*field).to_owned()).collect())
        .collect();
    DynamicRow {
        id,
        modified: 0,
        fields,
        references,
        uniques,
    }
}

fn insert(
    draft: &mut Draft<'_>,
    class: &ClassSpec,
    fields: BTreeMap<String, String>,
) -> Result<u32, Refusal> {
    let mut row = built(class, 0, fields);
    require_targets(draft, class, None, &row)?;
    row.id = draft.next_id_of(class.name);
    guard(draft, class, None, &row)?;
    let key = key::object(class.name, row.id);
    draft.require(Compare::Absent(key.clone()));
    draft.operate(Op::Put {
        key,
        value: record::encode(&row),
    });
    draft.announce(class.name, row.id);
    Ok(row.id)
}

fn update(
    draft: &mut Draft<'_>,
    class: &ClassSpec,
    old: &Arc<DynamicRow>,
    fields: BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let row = built(class, old.id, fields);
    if require_targets(draft, class, Some(old), &row)? {
        // Whoever deletes what the row now refers to has to notice.
        draft.announce(class.name, row.id);
    }
    guard(draft, class, Some(old), &row)?;
    put(draft, class.name, old, &row);
    Ok(())
}

fn put(draft: &mut Draft<'_>, class: &str, old: &DynamicRow, row: &DynamicRow) {
    let key = key::object(class, old.id);
    draft.require(Compare::ModifiedAt(key.clone(), old.modified));
    draft.operate(Op::Put {
        key,
        value: record::encode(row),
    });
}

/// What the row newly refers to has to exist when it is stored. Says whether there is any.
fn require_targets(
    draft: &mut Draft<'_>,
    class: &ClassSpec,
    old: Option<&Arc<DynamicRow>>,
    row: &DynamicRow,
) -> Result<bool, Refusal> {
    let mut any = false;
    for field in &class.fields {
        let Kind::Reference { class: target, .. } = field.kind else {
            continue;
        };
        let id = row.reference(field.name);
        if id == 0 || old.is_some_and(|old| old.reference(field.name) == id) {
            continue;
        }
        any = true;
        let key = key::object(target, id);
        if draft.puts_key(&key) {
            continue; // Made by the same draft.
        }
        if !draft.tables().has_object(target, id) {
            return Err(Refusal::Invalid {
                field: field.name,
                why: format!("{target} {id} does not exist"),
            });
        }
        if !draft.compares_key(&key) {
            draft.require(Compare::Present(key));
        }
    }
    Ok(any)
}

/// Moves the guards of unique values from what the row was to what it is.
fn guard(
    draft: &mut Draft<'_>,
    class: &ClassSpec,
    old: Option<&Arc<DynamicRow>>,
    row: &DynamicRow,
) -> Result<(), Refusal> {
    let (before, after) = (
        old.map(|old| old.guards()).unwrap_or_default(),
        row.guards(),
    );
    for (field, value) in before.iter().filter(|unique| !after.contains(unique)) {
        draft.release(class.name, field, value);
    }
    for (field, value) in after.iter().filter(|unique| !before.contains(unique)) {
        let owner = owner(draft, class, field, row);
        draft.claim(class.name, first_field(field), field, value, row.id, owner)?;
    }
    Ok(())
}

fn first_field(fields: &str) -> &'static str {
    word(fields.split('+').next().unwrap_or(fields)).unwrap_or("name")
}

/// The row that has the same values, also one that was stored before they had to be unique.
fn owner(draft: &Draft<'_>, class: &ClassSpec, fields: &str, row: &DynamicRow) -> Option<u32> {
    let fields: Vec<&str> = fields.split('+').collect();
    let table = draft.tables().dynamic().table(class.name)?;
    let value = |field: &str| crate::state::value::fold(row.get(field).unwrap_or_default());
    let first = fields.first()?;
    table
        .by(first, &value(first))
        .into_iter()
        .find(|other| {
            other.id != row.id
                && fields.iter().all(|field| {
                    crate::state::value::fold(other.get(field).unwrap_or_default()) == value(field)
                })
        })
        .map(|other| other.id)
}

/// Deletes a row and, before it, what goes with it; `false` when there was no room for all, so that
/// the row stays for now.
///
/// # Errors
/// When rows refer to one another too deeply.
pub fn delete(draft: &mut Draft<'_>, class: &str, row: &DynamicRow) -> Result<bool, Refusal> {
    delete_at(draft, class, row, 0)
}

fn delete_at(
    draft: &mut Draft<'_>,
    class: &str,
    row: &DynamicRow,
    depth: usize,
) -> Result<bool, Refusal> {
    forget_at(draft, class, row.id, depth + 1)?;
    if draft.postponed() > 0 {
        return Ok(false);
    }
    for (field, value) in row.guards() {
        draft.release(class, &field, &value);
    }
    let key = key::object(class, row.id);
    draft.require(Compare::ModifiedAt(key.clone(), row.modified));
    draft.operate(Op::Delete { key });
    Ok(true)
}

/// Does for the rows that refer to an object what they ask for when it is deleted, as far as there
/// is room.
///
/// # Errors
/// When rows refer to one another too deeply.
pub fn forget(draft: &mut Draft<'_>, class: &str, id: u32) -> Result<(), Refusal> {
    forget_at(draft, class, id, 0)
}

fn forget_at(draft: &mut Draft<'_>, class: &str, id: u32, depth: usize) -> Result<(), Refusal> {
    if depth > MOST_DEPTH {
        let why = format!("the chain of references to {class} {id} is too long");
        return Err(Refusal::Invalid { field: "id", why });
    }
    let dynamic = draft.tables().dynamic();
    for referring in dynamic.referring_to(class) {
        draft.require_unannounced(referring);
    }
    for (other, row) in dynamic.pointing_at(class, id) {
        if draft.deletes_key(&key::object(&other, row.id))
            || !draft.has_room(2 + row.uniques.len(), row.stored_bytes())
        {
            continue;
        }
        let points = |(field, (target, _)): &(&String, &(String, WhenGone))| {
            target == class && row.reference(field) == id
        };
        if row
            .references
            .iter()
            .filter(points)
            .any(|(_, (_, gone))| *gone == WhenGone::Delete)
        {
            delete_at(draft, &other, &row, depth)?;
        } else {
            clear(draft, &other, &row, |field| {
                row.reference(field) == id && row.references[field].0 == class
            });
        }
    }
    Ok(())
}

/// Makes references 0.
fn clear(draft: &mut Draft<'_>, class: &str, row: &DynamicRow, which: impl Fn(&str) -> bool) {
    let mut new = row.clone();
    for field in row.references.keys().filter(|field| which(field)) {
        new.fields.remove(field);
    }
    let kept = new.guards();
    for (field, value) in row
        .guards()
        .into_iter()
        .filter(|guard| !kept.contains(guard))
    {
        draft.release(class, &field, &value);
    }
    put(draft, class, row, &new);
}

/// Makes the lists of related objects in the body of a write of `class` `id` true, as far as there
/// is room; called again until all is done.
///
/// # Errors
/// [`Refusal`] when a list names what does not exist.
pub fn spread(
    draft: &mut Draft<'_>,
    declared: &Declared,
    class: &str,
    id: u32,
    sent: &Body,
) -> Result<(), Refusal> {
    for member in declared.members_of(class) {
        let Some(wanted) = sent.get(member.name) else {
            continue;
        };
        let Some(through) = declared.class(member.through) else {
            continue;
        };
        replace(draft, through, member, id, &ids(wanted))?;
    }
    Ok(())
}

/// Makes `wanted` the members: deletes rows for others, adds those that are missing, moves those
/// that belong to somebody else where they may belong to one only.
fn replace(
    draft: &mut Draft<'_>,
    through: &ClassSpec,
    member: &MemberSpec,
    owner: u32,
    wanted: &[u32],
) -> Result<(), Refusal> {
    let target = match through.field(member.other).map(|field| field.kind) {
        Some(Kind::Reference { class, .. }) => class,
        _ => return Ok(()),
    };
    if let Some(id) = wanted
        .iter()
        .find(|id| !draft.tables().has_object(target, **id))
    {
        return Err(Refusal::Invalid {
            field: member.name,
            why: format!("{target} {id} does not exist"),
        });
    }
    let tables = draft.tables();
    let rows = tables.dynamic().table(through.name);
    let own: HashMap<u32, Arc<DynamicRow>> = rows
        .map(|table| table.by(member.own, &owner.to_string()))
        .into_iter()
        .flatten()
        .map(|row| (row.reference(member.other), row.clone()))
        .collect();
    for row in rows
        .map(|table| table.by(member.own, &owner.to_string()))
        .into_iter()
        .flatten()
    {
        if !wanted.contains(&row.reference(member.other))
            && draft.has_room(2 + row.uniques.len(), row.stored_bytes())
        {
            delete(draft, through.name, row)?;
        }
    }
    let moves = through.is_unique(member.other);
    for id in wanted.iter().filter(|id| !own.contains_key(id)) {
        if !draft.has_room(4 + through.uniques.len(), ASSOCIATION_BYTES) {
            continue;
        }
        let elsewhere = rows
            .filter(|_| moves)
            .and_then(|table| table.by(member.other, &id.to_string()).first().copied());
        let mut fields = elsewhere.map(|row| row.fields.clone()).unwrap_or_default();
        fields.insert(member.own.to_owned(), owner.to_string());
        fields.insert(member.other.to_owned(), id.to_string());
        match elsewhere {
            Some(row) => update(draft, through, row, fields)?,
            None => drop(insert(draft, through, fields)?),
        }
    }
    Ok(())
}
