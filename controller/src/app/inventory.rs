//! Stores what a client reports about its machine in FOG's inventory.

use foghorn_proto::http::Hardware;
use foghorn_types::{HostId, Timestamp};

use crate::state::class::Class;
use crate::state::classes::Inventory;
use crate::state::{Draft, Refusal};

/// Adds the machine to the draft: the first row of a host, or changes of its existing row. Values
/// that the client could not determine are not changed, nor are values that users have entered
/// (user, other).
///
/// # Errors
/// When a row cannot be drafted.
pub(super) fn record(
    draft: &mut Draft<'_>,
    host: HostId,
    hardware: &Hardware,
    now: Timestamp,
) -> Result<(), Refusal> {
    let row = draft
        .tables()
        .of::<Inventory>()
        .by(Inventory::BY_HOST, host.get().into())
        .next();
    let before = row.map_or_else(
        || Inventory {
            host: host.get(),
            created_time: now.into(),
            ..Inventory::default()
        },
        |row| Inventory::clone(row),
    );
    let mut after = before.clone();
    for (name, value) in hardware
        .fog_fields()
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    {
        if let Some(field) = Inventory::FIELDS.iter().find(|field| field.name == name) {
            field
                .read(&mut after, &value)
                .map_err(|error| Refusal::Invalid {
                    field: "hardware",
                    why: error.to_string(),
                })?;
        }
    }
    match row {
        Some(_) if after == before => Ok(()),
        Some(row) => draft.update(row, &after),
        None => draft.insert(after).map(|_| ()),
    }
}
