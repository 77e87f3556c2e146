//! Compares the crates' real dependencies on each other with the table in ARCHITECTURE.md: a crate
//! boundary is the only rule that the compiler keeps for us, and a new arrow is a design change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::table;

/// Crate folder → folders of the crates it names. Development dependencies do not count: tests may
/// look further.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// What a crate may name.
#[derive(PartialEq, Eq, Debug)]
enum Allowed {
    Any,
    These(BTreeSet<String>),
}

/// Every arrow that the table does not have, every crate without a row, and every row without a
/// crate.
pub(super) fn check(root: &Path, page: &str) -> Result<Vec<String>> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root)
        .output()
        .context("could not run cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    Ok(compare(&real(&metadata)?, &allowed(page)?))
}

/// Our packages by the name of their folder, which is what the table says.
fn real(metadata: &Value) -> Result<Graph> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let folder = |manifest: &str| {
        manifest
            .trim_end_matches("/Cargo.toml")
            .rsplit('/')
            .next()
            .map(str::to_owned)
    };
    let mut folders = BTreeMap::new();
    for package in packages {
        let name = package["name"]
            .as_str()
            .context("a package without a name")?;
        let manifest = package["manifest_path"]
            .as_str()
            .context("a package without a manifest")?;
        folders.insert(
            name,
            folder(manifest).context("a manifest without a folder")?,
        );
    }
    let mut graph = Graph::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let named = package["dependencies"].as_array().into_iter().flatten();
        let ours = named
            .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .filter_map(|dependency| folders.get(dependency["name"].as_str()?).cloned());
        graph.insert(folders[name].clone(), ours.collect());
    }
    Ok(graph)
}

/// The table with the heading `| crate |`; the crate is the first cell, what it may name the last.
fn allowed(page: &str) -> Result<BTreeMap<String, Allowed>> {
    let mut allowed = BTreeMap::new();
    for row in table::tables(page, "| crate |")
        .iter()
        .flat_map(|table| table.iter().skip(1))
    {
        let (Some(first), Some(last)) = (row.first(), row.last()) else {
            continue;
        };
        let name = first
            .trim_matches('`')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        allowed.insert(name.to_owned(), words(last));
    }
    ensure!(
        !allowed.is_empty(),
        "ARCHITECTURE.md has no table of crates"
    );
    Ok(allowed)
}

/// A cell is `any`, `–`, or crates between commas; the words between them (`serve` also …) are for
/// people.
fn words(cell: &str) -> Allowed {
    if cell == "any" {
        return Allowed::Any;
    }
    let plain: String = cell
        .chars()
        .map(|c| if c == ',' || c == ';' { ' ' } else { c })
        .collect();
    let crates = plain
        .split_whitespace()
        .map(|word| word.trim_matches('`'))
        .filter(|word| *word != "–");
    Allowed::These(crates.map(str::to_owned).collect())
}

fn compare(real: &Graph, table: &BTreeMap<String, Allowed>) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, named) in real {
        match table.get(name) {
            None => problems.push(format!("{name} has no row in the table")),
            Some(Allowed::Any) => {}
            Some(Allowed::These(allowed)) => {
                problems.extend(
                    named
                        .difference(allowed)
                        .map(|extra| format!("{name} names {extra}")),
                );
            }
        }
    }
    let gone = table.keys().filter(|name| !real.contains_key(*name));
    problems.extend(gone.map(|name| format!("the table has a row for {name}, which is no crate")));
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PAGE: &str = "# A\n\n| crate | is | may name (of ours) |\n| --- | --- | --- |\n\
        | `crates/types` | ids | – |\n| `cli` | commands | types; `serve` also agent |\n| `tests` | all | any |\n\nend\n";

    #[test]
    fn the_table_is_read_as_people_write_it() {
        let table = allowed(PAGE).unwrap();
        assert_eq!(table["types"], Allowed::These(BTreeSet::new()));
        assert!(matches!(
            &table["cli"],
            Allowed::These(names) if names.contains("types") && names.contains("agent")
        ));
        assert_eq!(table["tests"], Allowed::Any);
    }

    #[test]
    fn a_new_arrow_is_found_and_a_test_may_look_further() {
        let metadata = json!({"packages": [
            {"name": "x-types", "manifest_path": "/w/crates/types/Cargo.toml", "dependencies": []},
            {"name": "x-cli", "manifest_path": "/w/cli/Cargo.toml", "dependencies": [
                {"name": "x-types", "kind": null}, {"name": "x-tests", "kind": null},
                    {"name": "serde", "kind": null}]},
            {"name": "x-tests", "manifest_path": "/w/tests/Cargo.toml",
                "dependencies": [{"name": "x-cli", "kind": null}]},
        ]});
        let problems = compare(&real(&metadata).unwrap(), &allowed(PAGE).unwrap());
        assert_eq!(problems, ["cli names tests"]);
    }
}
