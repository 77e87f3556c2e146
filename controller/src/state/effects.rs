//! `docs/fog-compatibility.md` names every field of images, groups, hosts and tasks, and every setting,
//! that does nothing here: exactly those that the declarations mark.

use std::collections::BTreeSet;

use super::class::Class;
use super::classes::{Group, Host, Image, Task};
use super::field::Effect;
use super::seed;

const PAGE: &str = include_str!("../../../docs/fog-compatibility.md");

fn marked<C: Class>(effect: Effect) -> BTreeSet<&'static str> {
    let fields = C::FIELDS.iter().filter(|field| field.effect == effect);
    fields.map(|field| field.name).collect()
}

/// The names in backquotes in one cell of a row of a table, the row being named by its first cell.
fn listed(row: &str, cell: usize) -> BTreeSet<&'static str> {
    let start = format!("| {row} |");
    let line = PAGE.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("the page has no row {start}"));
    let cell = line.split('|').nth(cell + 1).expect("a cell");
    cell.split('`').skip(1).step_by(2).collect()
}

fn compare<C: Class>() {
    let row = format!("`{}`", C::NAME);
    assert_eq!(
        listed(&row, 1),
        marked::<C>(Effect::Nothing),
        "{row}: fields without effect"
    );
    assert_eq!(
        listed(&row, 2),
        marked::<C>(Effect::Information),
        "{row}: information"
    );
}

#[test]
fn the_page_names_the_fields_without_effect() {
    compare::<Image>();
    compare::<Group>();
    compare::<Host>();
    compare::<Task>();
}

#[test]
fn the_page_names_the_settings_without_effect() {
    let mut named = BTreeSet::new();
    let from = PAGE
        .split_once("These have no effect:")
        .expect("the page has the list")
        .1;
    let list = from.split("\n\n").nth(1).expect("a paragraph with them");
    named.extend(list.split('`').skip(1).step_by(2));
    let without: BTreeSet<&str> = seed::settings_without_effect().collect();
    assert_eq!(named, without);
    for name in seed::settings_with_effect() {
        let row = format!("| `{name}` |");
        assert!(
            PAGE.contains(&row),
            "the page does not say what {name} does"
        );
    }
}
