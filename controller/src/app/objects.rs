//! Creating, editing and deleting an object of any class, by FOG's rules.

use foghorn_types::Timestamp;
use serde_json::Value;

use super::idempotent::Ticket;
use crate::state::class::{Body, Clash, Class};
use crate::state::dynamic::{self, Declared};
use crate::state::rules::{Rules, Write};
use crate::state::value::{fold, is_falsy, scalar};
use crate::state::{Draft, Refusal, Row, State, Tables, rehearsal};

/// Decides whether a row has the version that a change is meant for. Called with the tables that
/// the change starts from; the row must still be as it was when the change is stored.
pub type Check<'c, R> = dyn Fn(&Tables, &R) -> Result<(), Refusal> + Send + Sync + 'c;

/// Creates an object from what a client sent. Values that PHP takes for false count as not sent;
/// unknown keys are ignored.
///
/// # Errors
/// [`Refusal`]; then nothing is stored, unless the store fails in the middle of a large create: the
/// object is stored first, and an edit with the same body does the rest.
pub async fn create<C: Rules>(
    state: &State,
    body: &Body,
    by: &str,
    ticket: Option<&Ticket>,
) -> Result<u32, Refusal> {
    let sent: Body = body
        .iter()
        .filter(|(_, value)| !is_falsy(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let sent = spelled::<C>(sent)?;
    let declared = state.declared();
    let mut made = None;
    let result = state
        .write_in_steps(|draft| {
            if let Some(id) = made.filter(|_| draft.continues()) {
                spread_on::<C>(draft, &declared, id, true, &sent)?;
                return Ok(id);
            }
            let id = create_in::<C>(draft, &sent, by)?;
            dynamic::change::spread(draft, &declared, C::NAME, id, &sent)?;
            ticket.map_or(Ok(()), |ticket| ticket.mark(draft, Some(id)))?;
            made = Some(id);
            Ok(id)
        })
        .await;
    if matches!(result, Err(Refusal::Unusable { .. })) && !rehearsal::is_on() {
        burn_id::<C>(state).await?;
    }
    result
}

/// Continues with the related rows of a stored object. When the object has been deleted since,
/// there is nothing to do.
fn spread_on<C: Rules>(
    draft: &mut Draft<'_>,
    declared: &Declared,
    id: u32,
    is_new: bool,
    sent: &Body,
) -> Result<(), Refusal> {
    if draft.tables().of::<C>().get(id).is_none() {
        return Ok(());
    }
    draft.require_present::<C>(id);
    C::spread(draft, id, is_new, sent)?;
    dynamic::change::spread(draft, declared, C::NAME, id, sent)
}

/// FOG stores an invalid object and hides it; Foghorn stores nothing, but uses up the id as FOG
/// does, so that scripts that count ids find the same ids.
async fn burn_id<C: Class>(state: &State) -> Result<(), Refusal> {
    state
        .write(|draft| {
            draft.next_id::<C>();
            Ok(())
        })
        .await
}

fn create_in<C: Rules>(draft: &mut Draft<'_>, sent: &Body, by: &str) -> Result<u32, Refusal> {
    let mut object = C::default();
    set_fields(&mut object, sent)?;
    for field in C::FIELDS.iter().filter(|field| field.required) {
        if !sent.contains_key(field.name) {
            return Err(Refusal::Missing { field: field.name });
        }
        if field.show(&object).is_empty() {
            return Err(Refusal::Unusable {
                field: field.name,
                why: "must not be blank".to_owned(),
            });
        }
    }
    stamp(&mut object, sent, by)?;
    refuse_taken(draft, &object)?;
    if let Some(owner) = draft.merges_into(&object) {
        return merge(draft, owner, object, sent);
    }
    object.set_id(draft.next_id::<C>());
    C::on_write(draft, &mut object, Write::Create, sent)?;
    hold_name(draft, &object);
    let id = draft.insert(object)?;
    C::spread(draft, id, true, sent)?;
    Ok(id)
}

/// Where no guard key holds a name, those who check the same one take turns: the second sees the first.
fn hold_name<C: Class>(draft: &mut Draft<'_>, object: &C) {
    let mut uniques = object.uniques().into_iter();
    let has_guard = uniques.any(|unique| unique.field == "name");
    let name = fold(object.name());
    if C::NAMED && !has_guard && !name.is_empty() {
        // Turns stay, names come and go: some names share a turn.
        let turn = blake3::hash(name.as_bytes()).as_bytes()[0];
        draft.take_turn(&format!("name-{}-{turn:02x}", C::NAME), object.id());
    }
}

/// A name that is in use is reported before all other errors.
fn refuse_taken<C: Class>(draft: &Draft<'_>, object: &C) -> Result<(), Refusal> {
    for unique in object
        .uniques()
        .into_iter()
        .filter(|unique| unique.clash == Clash::Refuse)
    {
        if let Some(owner) = draft.tables().of::<C>().owner(unique.field, &unique.value) {
            return Err(Refusal::Taken {
                class: C::NAME,
                field: unique.field,
                value: unique.value,
                owner,
            });
        }
    }
    Ok(())
}

/// A create whose unique value another row has replaces that row instead; what was not sent is as
/// in a new row.
fn merge<C: Rules>(
    draft: &mut Draft<'_>,
    owner: u32,
    mut object: C,
    sent: &Body,
) -> Result<u32, Refusal> {
    let row = draft
        .tables()
        .of::<C>()
        .get(owner)
        .ok_or(Refusal::NotFound {
            class: C::NAME,
            id: owner,
        })?;
    object.set_id(owner);
    C::on_write(draft, &mut object, Write::Edit(row), sent)?;
    let same = C::FIELDS
        .iter()
        .all(|field| field.show(&object) == field.show(row));
    if same {
        return Err(Refusal::Unchanged {
            class: C::NAME,
            owner,
        });
    }
    draft.update(row, &object)?;
    C::spread(draft, owner, false, sent)?;
    Ok(owner)
}

/// Changes the fields that were sent and are not null.
///
/// # Errors
/// [`Refusal`]; then nothing is stored, unless the store fails in the middle of a large edit: the
/// same edit does the rest.
pub async fn edit<C: Rules>(
    state: &State,
    id: u32,
    body: &Body,
    by: &str,
    check: Option<&Check<'_, Row<C>>>,
) -> Result<(), Refusal> {
    let sent: Body = body
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let sent = spelled::<C>(sent)?;
    let declared = state.declared();
    state
        .write_in_steps(|draft| {
            if draft.continues() {
                return spread_on::<C>(draft, &declared, id, false, &sent);
            }
            match draft.tables().of::<C>().get(id) {
                Some(row) => {
                    check.map_or(Ok(()), |check| check(draft.tables(), row))?;
                    edit_in(draft, row, &sent)?;
                }
                None if check.is_none() && answers_any::<C>(id) => {
                    create_at::<C>(draft, id, &sent, by)?
                }
                None => return Err(Refusal::NotFound { class: C::NAME, id }),
            }
            dynamic::change::spread(draft, &declared, C::NAME, id, &sent)
        })
        .await
}

/// What was sent, under the names of the fields.
fn spelled<C: Class>(mut sent: Body) -> Result<Body, Refusal> {
    for (spelling, field) in C::SPELLINGS {
        let Some(value) = sent.remove(*spelling) else {
            continue;
        };
        match sent.get(*field) {
            Some(other) => same(spelling, &value, field, other)?,
            None => drop(sent.insert((*field).to_owned(), value)),
        }
    }
    Ok(sent)
}

/// Refuses two spellings of one thing that say different things.
///
/// # Errors
/// [`Refusal::Invalid`] when they do.
pub(super) fn same(
    spelling: &'static str,
    value: &Value,
    field: &str,
    other: &Value,
) -> Result<(), Refusal> {
    if scalar(value).ok() == scalar(other).ok() {
        return Ok(());
    }
    Err(Refusal::Invalid {
        field: spelling,
        why: format!("is {value}, but {field} is {other}: send one of them"),
    })
}

/// Whether an id without a row is one that a client may act on; see [`Class::ANY_ID`]. Larger ids
/// do not fit FOG's column.
fn answers_any<C: Class>(id: u32) -> bool {
    C::ANY_ID.is_some() && i32::try_from(id).is_ok_and(|id| id > 0)
}

/// What an edit of an id without a row does in a class with [`Class::ANY_ID`].
fn create_at<C: Rules>(
    draft: &mut Draft<'_>,
    id: u32,
    sent: &Body,
    by: &str,
) -> Result<(), Refusal> {
    let mut object = C::default();
    set_fields(&mut object, sent)?;
    stamp(&mut object, sent, by)?;
    refuse_taken(draft, &object)?;
    if draft.merges_into(&object).is_some() {
        return Ok(());
    }
    object.set_id(id);
    draft.skip_to::<C>(id);
    C::on_write(draft, &mut object, Write::Create, sent)?;
    draft.insert(object)?;
    C::spread(draft, id, true, sent)
}

fn edit_in<C: Rules>(draft: &mut Draft<'_>, row: &Row<C>, sent: &Body) -> Result<(), Refusal> {
    let mut object = C::clone(row);
    set_fields(&mut object, sent)?;
    if C::NAMED && sent.contains_key("name") {
        refuse_others_name(draft, row, object.name())?;
    }
    if draft
        .merges_into(&object)
        .is_some_and(|owner| owner != row.id())
    {
        // FOG's database rejects such an edit and FOG does not notice: the row does not change and
        // the answer shows it.
        return Ok(());
    }
    C::on_write(draft, &mut object, Write::Edit(row), sent)?;
    if object.name() != row.name() {
        hold_name(draft, &object);
    }
    draft.update(row, &object)?;
    C::spread(draft, row.id(), false, sent)
}

/// A name that another row has is reported before all other errors.
fn refuse_others_name<C: Class>(
    draft: &Draft<'_>,
    row: &Row<C>,
    name: &str,
) -> Result<(), Refusal> {
    match draft
        .tables()
        .of::<C>()
        .named(name)
        .filter(|_| !name.is_empty())
    {
        Some(owner) if owner.id() != row.id() => Err(Refusal::Taken {
            class: C::NAME,
            field: "name",
            value: name.to_owned(),
            owner: owner.id(),
        }),
        _ => Ok(()),
    }
}

/// Deletes an object and everything that belongs to it.
///
/// # Errors
/// [`Refusal`]; then nothing is deleted, unless a large delete is refused or fails in its middle:
/// the object goes last, so the same delete does the rest.
pub async fn delete<C: Rules>(
    state: &State,
    id: u32,
    check: Option<&Check<'_, Row<C>>>,
) -> Result<(), Refusal> {
    foghorn_faults::wait!("controller.delete.before");
    state
        .write_in_steps::<_, Refusal>(|draft| {
            let Some(row) = draft.tables().of::<C>().get(id) else {
                // A concurrent delete of the same object ended first.
                let fine = draft.continues() || answers_any::<C>(id);
                return if fine {
                    Ok(())
                } else {
                    Err(Refusal::NotFound { class: C::NAME, id })
                };
            };
            if let Some(check) = check.filter(|_| !draft.continues()) {
                check(draft.tables(), row)?;
            }
            // Also in a step that does not delete the row itself yet: what allows it may change.
            draft.unchanged(row);
            C::on_delete(draft, row)?;
            dynamic::change::forget(draft, C::NAME, id)?;
            if draft.postponed() == 0 {
                draft.delete(row);
            }
            Ok(())
        })
        .await?;
    match foghorn_faults::lost!("controller.delete.stored") {
        true => Err(Refusal::Lagging),
        false => Ok(()),
    }
}

fn set_fields<C: Class>(object: &mut C, sent: &Body) -> Result<(), Refusal> {
    for field in C::FIELDS {
        let Some(value) = sent.get(field.name) else {
            continue;
        };
        let invalid = |why: String| Refusal::Invalid {
            field: field.name,
            why,
        };
        if field.is_time() && value.is_number() && !is_falsy(value) {
            return Err(invalid(
                "a time must have the form YYYY-MM-DD HH:MM:SS".to_owned(),
            ));
        }
        if let Some(text) = scalar(value).map_err(|error| invalid(error.to_string()))? {
            field
                .read(object, &text)
                .map_err(|error| invalid(error.to_string()))?;
        }
    }
    Ok(())
}

/// Sets creator and creation time, for classes with such fields, unless the client has set them.
fn stamp<C: Class>(object: &mut C, sent: &Body, by: &str) -> Result<(), Refusal> {
    for (name, value) in [
        ("createdBy", by.to_owned()),
        ("createdTime", Timestamp::now().to_fog()),
    ] {
        let Some(field) = C::FIELDS.iter().find(|field| field.name == name) else {
            continue;
        };
        match sent.get(name).map(Value::to_string) {
            None => field
                .read(object, &value)
                .map_err(|error| Refusal::Invalid {
                    field: name,
                    why: error.to_string(),
                })?,
            Some(sent) if field.is_time() && field.show(object) == crate::state::value::NEVER => {
                return Err(Refusal::Unusable {
                    field: name,
                    why: format!("{sent} is not a time"),
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}
