//! Stores what a client reports about its machine in FOG's inventory.

use foghorn_proto::http::Hardware;
use foghorn_types::{HostId, Timestamp};

use crate::state::class::Class;
use crate::state::classes::Inventory;
use crate::state::{Draft, Refusal};

/// Types of cases by their number in the SMBIOS specification (DSP0134, 7.4.1); others show as
/// their number.
const CASES: [(&str, &str); 12] = [
    ("3", "Desktop"),
    ("4", "Low Profile Desktop"),
    ("6", "Mini Tower"),
    ("7", "Tower"),
    ("8", "Portable"),
    ("9", "Laptop"),
    ("10", "Notebook"),
    ("13", "All In One"),
    ("17", "Main Server Chassis"),
    ("23", "Rack Mount Chassis"),
    ("31", "Convertible"),
    ("35", "Mini PC"),
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
    for (name, value) in told(hardware)
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

/// FOG's fields and their values.
fn told(hardware: &Hardware) -> Vec<(&'static str, String)> {
    let Hardware {
        system,
        bios,
        board,
        chassis,
        cpu,
        disk,
        ..
    } = hardware;
    let mhz = |number: &str| {
        if number.is_empty() {
            String::new()
        } else {
            format!("{number} MHz")
        }
    };
    let case = CASES
        .iter()
        .find(|(number, _)| *number == hardware.chassis_type);
    let case = case.map_or(hardware.chassis_type.as_str(), |(_, name)| name);
    let fields = [
        ("sysman", &system.maker),
        ("sysproduct", &system.model),
        ("sysversion", &system.version),
        ("sysserial", &system.serial),
        ("sysuuid", &hardware.system_uuid),
        ("biosversion", &bios.version),
        ("biosvendor", &bios.maker),
        ("biosdate", &hardware.bios_date),
        ("mbman", &board.maker),
        ("mbproductname", &board.model),
        ("mbversion", &board.version),
        ("mbserial", &board.serial),
        ("mbasset", &board.asset),
        ("cpuman", &cpu.maker),
        ("cpuversion", &cpu.model),
        ("hdmodel", &disk.model),
        ("hdserial", &disk.serial),
        ("hdfirmware", &disk.version),
        ("caseman", &chassis.maker),
        ("casever", &chassis.version),
        ("caseserial", &chassis.serial),
        ("caseasset", &chassis.asset),
    ];
    let mut told: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| (name, value.clone()))
        .collect();
    told.push((
        "systype",
        if case.is_empty() {
            String::new()
        } else {
            format!("Type: {case}")
        },
    ));
    told.push(("cpucurrent", mhz(&hardware.cpu_mhz)));
    told.push(("cpumax", mhz(&hardware.cpu_most_mhz)));
    told.push((
        "mem",
        match hardware.memory_kib {
            0 => String::new(),
            kib => format!("MemTotal: {kib} kB"),
        },
    ));
    told
}
