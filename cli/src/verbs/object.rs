//! Listing, showing and deleting objects of every class.

use foghorn_rest_types::fog::{FogObject, Row};
use serde::Serialize;
use serde_json::Value;

use crate::api::{Api, ApiError};
use crate::confirm::{Consent, NOTHING_CHANGED, Rehearsal, confirm};
use crate::exit::{Exit, Failure, of_many};
use crate::find::find;
use crate::native::Native;
use crate::output::{Output, Table};
use crate::sheet::Sheet;

/// Prints rows as a table of `columns`, or the objects themselves.
///
/// # Errors
/// When standard output cannot be written.
pub fn show_rows<T>(
    output: Output,
    rows: &[Row<T>],
    headings: &[&'static str],
    cells: impl Fn(&T) -> Vec<String>,
) -> Result<(), Failure> {
    let mut table = Table::new(headings);
    for row in rows {
        table.row(cells(&row.view));
    }
    let objects: Vec<&Value> = rows.iter().map(|row| &row.raw).collect();
    output.show(&table, &objects)
}

/// Prints one object.
///
/// # Errors
/// When standard output cannot be written.
pub fn show_row<T: FogObject>(output: Output, row: &Row<T>) -> Result<(), Failure> {
    output.show_object(&row.view.number().to_string(), &row.raw)
}

/// Prints Foghorn's own objects: `table`, or the objects as the server sent them.
///
/// # Errors
/// When standard output cannot be written.
pub fn show_natives<T>(
    output: Output,
    table: &Table,
    objects: &[Native<T>],
) -> Result<(), Failure> {
    let raw: Vec<&Value> = objects.iter().map(|object| &object.raw).collect();
    output.show(table, &raw)
}

/// Prints all objects of a class as FOG has them: as a table their ids and names.
///
/// # Errors
/// As the server answers.
pub fn fog_list<T: FogObject>(api: &Api, output: Output) -> Result<Exit, Failure> {
    let rows = api.list::<T>()?;
    show_fog(output, &rows)?;
    Ok(Exit::Ok)
}

/// Prints objects as FOG has them: as a table their ids and names.
///
/// # Errors
/// When standard output cannot be written.
pub fn show_fog<T: FogObject>(output: Output, rows: &[Row<T>]) -> Result<(), Failure> {
    show_rows(output, rows, &["ID", "NAME"], |row| {
        vec![row.number().to_string(), row.name().to_owned()]
    })
}

/// Says that an object was created or changed, and what one usually does next; for programs its
/// id, or the object.
///
/// # Errors
/// When standard output cannot be written.
pub fn show_done<T: FogObject>(
    output: Output,
    done: &str,
    (id, name): (u32, &str),
    next: &str,
    object: &Value,
) -> Result<(), Failure> {
    let sheet = Sheet::new(format!("{done} {} {name} (id {id})", T::NOUN));
    output.show_sheet(id, &sheet, object)?;
    output.say(&format!("next: {next}"));
    Ok(())
}

/// Deletes the objects after a question that lists the `loss` for each.
///
/// All names are looked up first: nothing is deleted when one of them does not exist.
///
/// # Errors
/// When a name does not exist, the answer is no, or a deletion failed.
pub fn delete_all<T: FogObject>(
    api: &Api,
    output: Output,
    names: &[String],
    consent: Consent,
    loss: impl Fn(&Row<T>) -> Result<String, Failure>,
) -> Result<Exit, Failure> {
    let rows = names
        .iter()
        .map(|name| find::<T>(api, name))
        .collect::<Result<Vec<_>, _>>()?;
    let losses = if consent.tells() {
        rows.iter().map(loss).collect::<Result<Vec<_>, _>>()?
    } else {
        Vec::new()
    };
    confirm(consent, &losses, "Delete?")?;
    let api = api.rehearsing(consent.is_dry_run())?;
    let mut failures = Vec::new();
    for row in &rows {
        match api.delete::<T>(row.view.number()) {
            Err(ApiError::Rehearsed { .. }) => {
                output.say(&format!("would delete {} {}", T::NOUN, row.view.name()));
            }
            Ok(()) => output.say(&format!("deleted {} {}", T::NOUN, row.view.name())),
            Err(error) => failures.push((row.view.name().to_owned(), Failure::from(error))),
        }
    }
    match failures.len() {
        0 => {
            if consent.is_dry_run() {
                output.say(NOTHING_CHANGED);
            }
            Ok(Exit::Ok)
        }
        1 if rows.len() == 1 => Err(failures.remove(0).1),
        failed => {
            for (name, failure) in &failures {
                eprintln!("error: {} {name}: {failure}", T::NOUN);
            }
            Ok(of_many(rows.len() - failed, failed))
        }
    }
}

/// Changes an object, or says in a dry run what would be changed.
///
/// # Errors
/// As the server answers; a dry run ends with [`ApiError::Rehearsed`].
pub fn change<T: FogObject>(
    api: &Api,
    rehearsal: Rehearsal,
    row: &Row<T>,
    body: &impl Serialize,
) -> Result<Row<T>, Failure> {
    tell_changes(rehearsal, row, body)?;
    let api = api.rehearsing(rehearsal.dry_run)?;
    Ok(api.edit::<T>(row.view.number(), body)?)
}

/// In a dry run, says which fields of an object would be changed to what.
///
/// # Errors
/// When the change cannot be written as JSON.
fn tell_changes<T: FogObject>(
    rehearsal: Rehearsal,
    row: &Row<T>,
    body: &impl Serialize,
) -> Result<(), Failure> {
    if !rehearsal.dry_run {
        return Ok(());
    }
    let body = serde_json::to_value(body).map_err(|error| {
        Failure::new(Exit::Failed, "could not write the change").caused_by(error)
    })?;
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => format!("{text:?}"),
        Some(value) => value.to_string(),
    };
    for (field, new) in body.as_object().into_iter().flatten() {
        let old = text(row.raw.get(field));
        rehearsal.tell(&format!(
            "change {} {}: {field} from {old} to {}",
            T::NOUN,
            row.view.name(),
            text(Some(new))
        ));
    }
    Ok(())
}

/// A list of words in a table's cell.
pub fn dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}
