//! Creating, editing and deleting an object of a plugin's class, by the rules that hold for every
//! class.

use std::sync::Arc;

use super::idempotent::Ticket;
use super::objects::Check;
use crate::state::class::Body;
use crate::state::dynamic::{ClassSpec, DynamicRow, change};
use crate::state::key;
use crate::state::value::is_falsy;
use crate::state::{Refusal, State};
use crate::store::Compare;

/// Creates an object. Values that PHP takes for false count as not sent, as for the other classes.
///
/// # Errors
/// As [`super::objects::create`].
pub async fn create(
    state: &State,
    class: Arc<ClassSpec>,
    body: &Body,
    ticket: Option<&Ticket>,
) -> Result<u32, Refusal> {
    let sent: Body = body
        .iter()
        .filter(|(_, value)| !is_falsy(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let declared = state.declared();
    let mut made = None;
    state
        .write_in_steps(|draft| {
            let id = match made.filter(|_| draft.continues()) {
                Some(id) if draft.tables().dynamic().get(class.name, id).is_none() => {
                    return Ok(id);
                }
                Some(id) => id,
                None => {
                    let id = change::create(draft, &class, &sent)?;
                    ticket.map_or(Ok(()), |ticket| ticket.mark(draft, Some(id)))?;
                    id
                }
            };
            made = Some(id);
            change::spread(draft, &declared, class.name, id, &sent)?;
            Ok(id)
        })
        .await
}

/// Changes what was sent and is not null.
///
/// # Errors
/// As [`super::objects::edit`].
pub async fn edit(
    state: &State,
    class: Arc<ClassSpec>,
    id: u32,
    body: &Body,
    check: Option<&Check<'_, DynamicRow>>,
) -> Result<(), Refusal> {
    let declared = state.declared();
    state
        .write_in_steps(|draft| {
            if draft.continues() {
                if draft.tables().dynamic().get(class.name, id).is_none() {
                    return Ok(());
                }
            } else {
                if let (Some(check), Some(row)) =
                    (check, draft.tables().dynamic().get(class.name, id))
                {
                    check(draft.tables(), row)?;
                }
                change::edit(draft, &class, id, body)?;
            }
            change::spread(draft, &declared, class.name, id, body)
        })
        .await
}

/// Deletes an object and everything that belongs to it.
///
/// # Errors
/// As [`super::objects::delete`].
pub async fn delete(
    state: &State,
    class: Arc<ClassSpec>,
    id: u32,
    check: Option<&Check<'_, DynamicRow>>,
) -> Result<(), Refusal> {
    state
        .write_in_steps(|draft| {
            let Some(row) = draft.tables().dynamic().get(class.name, id) else {
                return if draft.continues() {
                    Ok(())
                } else {
                    Err(Refusal::NotFound {
                        class: class.name,
                        id,
                    })
                };
            };
            if let Some(check) = check.filter(|_| !draft.continues()) {
                check(draft.tables(), row)?;
                draft.require(Compare::ModifiedAt(
                    key::object(class.name, id),
                    row.modified(),
                ));
            }
            change::delete(draft, class.name, row).map(drop)
        })
        .await
}
