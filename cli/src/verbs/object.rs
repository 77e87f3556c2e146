//! Listing, showing and deleting objects of every class.

use foghorn_rest_types::fog::{FogObject, Row};
use serde_json::Value;

use crate::api::Api;
use crate::confirm::confirm;
use crate::exit::{Exit, Failure, of_many};
use crate::find::find;
use crate::output::{Output, Table};

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
    yes: bool,
    loss: impl Fn(&Row<T>) -> Result<String, Failure>,
) -> Result<Exit, Failure> {
    let rows = names
        .iter()
        .map(|name| find::<T>(api, name))
        .collect::<Result<Vec<_>, _>>()?;
    let losses = if yes {
        Vec::new()
    } else {
        rows.iter().map(loss).collect::<Result<Vec<_>, _>>()?
    };
    confirm(yes, &losses, "Delete?")?;
    let mut failures = Vec::new();
    for row in &rows {
        match api.delete::<T>(row.view.number()) {
            Ok(()) => output.say(&format!("deleted {} {}", T::NOUN, row.view.name())),
            Err(error) => failures.push((row.view.name().to_owned(), Failure::from(error))),
        }
    }
    match failures.len() {
        0 => Ok(Exit::Ok),
        1 if rows.len() == 1 => Err(failures.remove(0).1),
        failed => {
            for (name, failure) in &failures {
                eprintln!("error: {name}: {failure}");
            }
            Ok(of_many(rows.len() - failed, failed))
        }
    }
}

/// A list of words in a table's cell.
pub fn dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}
