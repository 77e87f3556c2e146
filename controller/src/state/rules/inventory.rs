//! Hardware of a host, as it reported it.

use super::Rules;
use crate::state::classes::Inventory;
use crate::state::json::JsonObject;
use crate::state::row::Row;
use crate::state::scene::Scene;

impl Rules for Inventory {
    fn extras(row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        out.text("memory", &memory(row.map_or("", |row| &row.mem)));
    }
}

/// Size of the memory for people, from a line such as `MemTotal: 16303424 kB`.
fn memory(line: &str) -> String {
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0);
    let mut size = kib * 1024.0;
    let mut unit = 0;
    const UNITS: [&str; 6] = ["i", "Ki", "Mi", "Gi", "Ti", "Pi"];
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.2} {}B", UNITS[unit])
}
