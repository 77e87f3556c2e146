//! Stores what a machine says of itself in FOG's inventory: to the client that images it, or by its host
//! service.

use std::collections::BTreeMap;

use foghorn_proto::http::Hardware;
use foghorn_types::{HostId, Timestamp};

use crate::state::class::Class;
use crate::state::classes::Inventory;
use crate::state::field::Field;
use crate::state::{Draft, Refusal};

/// The longest value that is taken, in characters; fields keep as many of them as they have room for.
const LONGEST: usize = 255;
/// Fields that are not about the hardware: a machine does not say them.
const NOT_TOLD: [&str; 7] = [
    "id",
    "hostID",
    "primaryUser",
    "other1",
    "other2",
    "createdTime",
    "deleteDate",
];

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
    let values = hardware.fog_fields();
    let values = values.iter().map(|(name, value)| (*name, value.as_str()));
    write(draft, host, values, now)
}

/// Whether a machine may say this of itself. FOG's name of the field that is wrong, and why.
///
/// # Errors
/// The first value that cannot be taken.
pub(super) fn check(told: &BTreeMap<String, String>) -> Result<(), (String, String)> {
    for (name, value) in told {
        if !Inventory::FIELDS.iter().any(|field| is_told(field, name)) {
            let why = "a machine does not tell this; FOG's names of its hardware are taken";
            return Err((name.clone(), why.to_owned()));
        }
        if value.chars().count() > LONGEST {
            let why = format!("a value has at most {LONGEST} characters");
            return Err((name.clone(), why));
        }
    }
    Ok(())
}

fn is_told(field: &Field<Inventory>, name: &str) -> bool {
    field.name == name && !NOT_TOLD.contains(&name)
}

/// As [`record`], by FOG's names. An empty value changes nothing.
///
/// # Errors
/// When a row cannot be drafted.
pub(super) fn write<'v>(
    draft: &mut Draft<'_>,
    host: HostId,
    told: impl Iterator<Item = (&'v str, &'v str)>,
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
    for (name, value) in told.filter(|(_, value)| !value.is_empty()) {
        let mut fields = Inventory::FIELDS.iter();
        if let Some(field) = fields.find(|field| is_told(field, name)) {
            field
                .read(&mut after, value)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_machine_tells_of_its_hardware_and_of_nothing_else() {
        for (name, _) in Hardware::default().fog_fields() {
            assert_eq!(check(&told(name, "x")), Ok(()), "{name}");
        }
        for name in NOT_TOLD.into_iter().chain(["SYSMAN", "memory", ""]) {
            let (field, _) = check(&told(name, "x")).unwrap_err();
            assert_eq!(field, name);
        }
        assert_eq!(check(&told("sysman", &"ä".repeat(LONGEST))), Ok(()));
        let (field, _) = check(&told("sysman", &"ä".repeat(LONGEST + 1))).unwrap_err();
        assert_eq!(field, "sysman");
    }
}
