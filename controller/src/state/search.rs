//! What a search finds in a class: rows one of whose stored fields, or one of whose related objects, contains the needle.

use std::sync::Arc;

use super::class::{Class, Row};
use super::needle::Needle;
use super::scene::Scene;

/// The rows that a search for `needle` finds, by id. Secrets are not searched.
#[must_use]
pub fn rows<'t, C: Class>(scene: &Scene<'t>, needle: &Needle) -> Vec<&'t Arc<Row<C>>> {
    let table = scene.tables.of::<C>();
    if needle.fits_everything() {
        return table.iter().collect();
    }
    let mut found: Vec<u32> = by_fields::<C>(scene, needle).map(|row| row.id()).collect();
    match C::found_through(scene, needle) {
        Some(related) => found.extend(related),
        None => found.extend(table.iter().filter(|row| C::found_by_relation(row, scene, needle)).map(|row| row.id())),
    }
    found.sort_unstable();
    found.dedup();
    found.into_iter().filter_map(|id| table.get(id)).collect()
}

/// The rows of which a stored field contains the needle, in no particular order.
pub(crate) fn by_fields<'t, 'n, C: Class>(
    scene: &Scene<'t>,
    needle: &'n Needle,
) -> impl Iterator<Item = &'t Arc<Row<C>>> + use<'t, 'n, C> {
    let table = scene.tables.of::<C>();
    let candidates = match needle.longest_text() {
        Some(text) => table.holding(text),
        None => table.iter().map(|row| row.id()).collect(),
    };
    candidates.into_iter().filter_map(move |id| table.get(id)).filter(move |row| {
        // A plain text that is somewhere in the row's texts is in one of its fields.
        needle.is_plain()
            || C::FIELDS.iter().filter(|field| !field.hides(row)).any(|field| needle.hits(&field.show(row)))
    })
}
