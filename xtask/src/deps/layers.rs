//! Layers of a crate's modules: each may name what stands in rows below its own, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::resolve::Arrow;
use super::source::Source;
use super::table;

/// One table of ARCHITECTURE.md.
pub(super) struct Layers {
    /// The crate's folder.
    pub(super) name: String,
    /// The row of each module, from the top.
    rows: BTreeMap<String, usize>,
    /// Arrows within a row.
    beside: BTreeSet<(String, String)>,
}

/// The tables with the heading ``| modules of `CRATE` |``: one row for each layer, its modules in
/// the first cell. Modules of one row do not know each other, except where the cell says `a → b`.
pub(super) fn tables(page: &str) -> Result<Vec<Layers>> {
    let tables: Vec<Layers> = table::tables(page, "| modules of ")
        .iter()
        .map(|table| read(table))
        .collect();
    ensure!(!tables.is_empty(), "ARCHITECTURE.md has no table of layers");
    Ok(tables)
}

fn read(table: &[Vec<String>]) -> Layers {
    let mut cells = table.iter().filter_map(|row| row.first());
    let name = cells
        .next()
        .and_then(|heading| heading.split('`').nth(1))
        .unwrap_or_default()
        .to_owned();
    let mut layers = Layers {
        name,
        rows: BTreeMap::new(),
        beside: BTreeSet::new(),
    };
    for (row, cell) in cells.enumerate() {
        for part in cell.split(',') {
            let modules: Vec<&str> = part
                .split('→')
                .map(|name| name.trim().trim_matches('`'))
                .collect();
            layers
                .rows
                .extend(modules.iter().map(|name| ((*name).to_owned(), row)));
            layers.beside.extend(
                modules
                    .windows(2)
                    .map(|two| (two[0].to_owned(), two[1].to_owned())),
            );
        }
    }
    layers
}

/// What is above all modules.
const ROOT: &str = "lib";
/// A program of its own, which sees the library from outside.
const MAIN: &str = "main";

impl Layers {
    pub(super) fn compare(&self, source: &Source, arrows: &BTreeSet<Arrow>) -> Vec<String> {
        let top = |path: &[String]| path.first().cloned().unwrap_or_else(|| ROOT.to_owned());
        let real: BTreeSet<String> = source.modules.keys().map(|path| top(path)).collect();
        let mut problems = Vec::new();
        problems.extend(
            real.iter()
                .filter(|name| !self.rows.contains_key(*name))
                .map(|name| format!("{name} is in no layer")),
        );
        problems.extend(
            self.rows
                .keys()
                .filter(|name| *name != MAIN && !real.contains(*name))
                .map(|name| format!("there is no module {name}")),
        );
        for arrow in arrows {
            let (from, to) = (top(&arrow.from), top(&arrow.to));
            let (Some(above), Some(below)) = (self.rows.get(&from), self.rows.get(&to)) else {
                continue;
            };
            let beside = || self.beside.contains(&(from.clone(), to.clone()));
            if from != to && above >= below && !(above == below && beside()) {
                let file = &source.modules[&arrow.from].file;
                problems.push(format!("{file} names {to}, which is not below {from}"));
            }
        }
        problems
            .into_iter()
            .map(|problem| format!("{}: {problem}", self.name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{circles, resolve};
    use super::*;

    const PAGE: &str = "| modules of `small` | what |\n| --- | --- |\n| `lib` | all |\n| `api`, `serve` → `link` | faces |\n\
        | `app` | use cases |\n| `state` | tables |\n\nend\n";

    /// A crate as [`PAGE`] says, with some files changed.
    fn problems(changed: &[(&str, &str)]) -> Vec<String> {
        let files = BTreeMap::from([
            (
                "lib.rs",
                "mod api; mod app; mod link; mod serve; mod state; pub use app::Ctx;",
            ),
            (
                "api.rs",
                "use crate::Ctx; fn route() { crate::app::tasks::create() }",
            ),
            (
                "app/mod.rs",
                "pub mod hosts; pub mod tasks; pub use self::tasks::create; pub struct Ctx;",
            ),
            ("app/hosts.rs", "use super::Ctx;"),
            (
                "app/tasks.rs",
                "use super::{Ctx, hosts}; use crate::state; fn create() { state::write() }",
            ),
            ("link.rs", "use crate::app::Ctx;"),
            ("serve.rs", "use crate::link::Link;"),
            ("state.rs", ""),
        ]);
        let files: BTreeMap<_, _> = files.into_iter().chain(changed.iter().copied()).collect();
        let source =
            Source::from_files(|file| files.get(file).map(|text| (*text).to_owned())).unwrap();
        let arrows = resolve::arrows(&source);
        let layers = tables(PAGE).unwrap().remove(0);
        [
            layers.compare(&source, &arrows),
            circles::find(&source, &arrows),
        ]
        .concat()
    }

    #[test]
    fn arrows_that_point_down_are_nobodys_business() {
        assert_eq!(problems(&[]), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_upward_is_found() {
        let upward = problems(&[("state.rs", "fn f(ctx: &crate::Ctx) {}")]);
        assert_eq!(
            upward[0],
            "small: state.rs names app, which is not below state"
        );
        let renamed = problems(&[(
            "state.rs",
            "use crate::api as rest; fn f() { assert!(rest::is_on()) }",
        )]);
        assert_eq!(
            renamed[0],
            "small: state.rs names api, which is not below state"
        );
        let to_the_root = problems(&[("state.rs", "use crate::Controller;")]);
        assert_eq!(
            to_the_root[0],
            "small: state.rs names lib, which is not below state"
        );
    }

    #[test]
    fn an_arrow_within_a_layer_must_be_drawn() {
        assert_eq!(
            problems(&[("api.rs", "use crate::link;")]),
            ["small: api.rs names link, which is not below api"]
        );
        assert_eq!(
            problems(&[("link.rs", "use crate::serve;")])[0],
            "small: link.rs names serve, which is not below link"
        );
    }

    #[test]
    fn a_circle_within_a_module_is_found() {
        let circle = problems(&[("app/hosts.rs", "use super::create;")]);
        assert_eq!(
            circle,
            ["a circle of 2 files: app/hosts.rs → app/tasks.rs → app/hosts.rs"]
        );
    }

    #[test]
    fn a_module_without_a_layer_and_a_layer_without_a_module_are_found() {
        let lib = "mod api; mod app; mod link; mod state; mod new;";
        let found = problems(&[("lib.rs", lib), ("new.rs", ""), ("api.rs", "")]);
        assert_eq!(
            found,
            [
                "small: new is in no layer",
                "small: there is no module serve"
            ]
        );
    }
}
