//! Writes to standard output: tables for people, JSON and YAML for programs. Messages go to
//! standard error.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::human::Zone;
use crate::sheet::Sheet;

/// Output format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// Foghorn's own objects as the API returns them
    Json,
    /// The same as YAML
    Yaml,
}

/// Where and how a command prints.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output {
    pub format: Format,
    /// Print only ids and results, no messages.
    pub quiet: bool,
    /// Of the times in tables and texts; in JSON and YAML they are in UTC.
    pub zone: Zone,
}

impl Output {
    /// Tables may contain more than the API's objects; JSON, YAML and ids may not.
    #[must_use]
    pub fn is_for_people(self) -> bool {
        self.format == Format::Table && !self.quiet
    }

    /// A time of the API for people.
    #[must_use]
    pub fn time(self, text: &str) -> String {
        self.zone.time(text)
    }
}

/// Rows of text under headings.
#[derive(Clone, Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    #[must_use]
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; the first cell is the id that `--quiet` prints.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // A line break or a control character in a name must not start a second row or move the
        // cursor.
        let clean = |cell: String| {
            cell.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect()
        };
        self.rows.push(cells.into_iter().map(clean).collect());
    }

    /// Columns separated by two spaces, as wide as needed, without trailing spaces.
    #[must_use]
    pub fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count());
            cells
                .chain([self.headings[column].chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<String> = cells
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}", width = *width))
                .collect();
            format!("{}\n", padded.join("  ").trim_end())
        };
        let mut text = line(&mut self.headings.iter().copied());
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        text
    }

    fn first_column(&self) -> String {
        self.rows
            .iter()
            .filter_map(|row| row.first())
            .map(|cell| format!("{cell}\n"))
            .collect()
    }
}

impl Output {
    /// Prints `table` or `value`, depending on the flags.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn show(&self, table: &Table, value: &impl Serialize) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table if self.quiet => table.first_column(),
            Format::Table => table.render(),
            Format::Json | Format::Yaml => self.structured(value)?,
        };
        print(&text)
    }

    /// Prints one object: as a table with one field per line, or as JSON or YAML.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub fn show_object(&self, id: &str, value: &Value) -> Result<(), Failure> {
        if self.format != Format::Table {
            return self.show(&Table::new(&[]), value);
        }
        if self.quiet {
            return print(&format!("{id}\n"));
        }
        let mut table = Table::new(&["FIELD", "VALUE"]);
        for (field, value) in value.as_object().into_iter().flatten() {
            if let Some(text) = cell(value) {
                table.row([field.clone(), text]);
            }
        }
        print(&table.render())
    }

    /// Prints one of Foghorn's own objects: for people as a sheet, or as JSON or YAML.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub fn show_sheet(
        &self,
        id: impl std::fmt::Display,
        sheet: &Sheet,
        value: &Value,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table if self.quiet => print(&format!("{id}\n")),
            Format::Table => print(&sheet.render()),
            Format::Json | Format::Yaml => print(&self.structured(value)?),
        }
    }

    /// Prints a single value for further use, such as a token, or the object that contains it.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub fn show_value(&self, text: &str, value: &impl Serialize) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&format!("{text}\n")),
            Format::Json | Format::Yaml => print(&self.structured(value)?),
        }
    }

    /// Prints a message for people; nothing for programs or with `--quiet`.
    pub fn say(&self, text: &str) {
        if !self.quiet && self.format == Format::Table {
            eprintln!("{text}");
        }
    }

    fn structured(&self, value: &impl Serialize) -> Result<String, Failure> {
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::new(Exit::Failed, "could not print the result in this format").caused_by(error)
        };
        match self.format {
            Format::Yaml => serde_yaml_ng::to_string(value).map_err(|error| broken(error.into())),
            Format::Json | Format::Table => serde_json::to_string_pretty(value)
                .map(|text| text + "\n")
                .map_err(|error| broken(error.into())),
        }
    }
}

/// A field as one cell; embedded objects only when they are small enough for one line.
fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        // FOG's zero date means "never", and its icons are for its own pages.
        Value::String(text)
            if text.is_empty() || text.starts_with("0000-00-00") || text.starts_with('<') =>
        {
            None
        }
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let words: Vec<String> = items.iter().filter_map(cell).collect();
            (!words.is_empty()).then(|| words.join(", "))
        }
        Value::Object(fields) => fields.get("name").and_then(cell),
        plain => Some(plain.to_string()),
    }
}

/// Writes to standard output; a closed pipe (`| head`) is a normal end, not a failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, "could not write the result").caused_by(error))
        }
        _ => Ok(()),
    }
}

/// Whether standard error may contain colour and progress bars.
#[must_use]
pub fn is_decorated() -> bool {
    io::stderr().is_terminal() && !no_colour()
}

/// <https://no-color.org>: any value except the empty one.
#[must_use]
pub fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["ID", "NAME", "STATE"]);
        table.row(["1".into(), "lab-pc01".into(), String::new()]);
        table.row(["12".into(), "ü\nx".into(), "ok".into()]);
        assert_eq!(
            table.render(),
            "ID  NAME      STATE\n1   lab-pc01\n12  ü x       ok\n"
        );
        assert_eq!(table.first_column(), "1\n12\n");
    }

    #[test]
    fn cells_leave_out_what_says_nothing() {
        assert_eq!(cell(&json!("")), None);
        assert_eq!(cell(&json!("0000-00-00 00:00:00")), None);
        assert_eq!(
            cell(&json!({"id": "3", "name": "win11"})).as_deref(),
            Some("win11")
        );
        assert_eq!(cell(&json!({"id": ""})), None);
        assert_eq!(cell(&json!(["a", "b"])).as_deref(), Some("a, b"));
    }
}
