//! Which versions of Kubernetes and Helm were tried, and how far: told in the report of each run,
//! and written from reports into the table of a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::chart::Chart;
use crate::cluster;
use crate::tool::run;

const MOST: Duration = Duration::from_secs(20);
/// Around the table in the page.
const BEGIN: &str = "<!-- made by `make chart-versions` from here on -->\n";
const END: &str = "<!-- up to here -->";

/// From which reports the table is made.
#[derive(Args)]
pub(crate) struct Orders {
    /// Page with the table.
    #[arg(long, default_value = "docs/kubernetes.md")]
    page: PathBuf,
    /// Reports of this program.
    #[arg(required = true)]
    reports: Vec<PathBuf>,
}

/// What was done with two versions, in the order of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Deed {
    Rendered,
    Accepted,
    Box,
    Fleet,
}

impl Deed {
    const fn words(self) -> &'static str {
        match self {
            Self::Rendered => "rendered",
            Self::Accepted => "accepted by the API server",
            Self::Box => "box installed",
            Self::Fleet => "fleet installed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tried {
    kubernetes: String,
    helm: String,
    deed: Deed,
}

/// What was done, with the versions that programs and API server tell of themselves.
///
/// # Errors
/// When one of them does not.
pub(crate) fn tried(deed: Deed, helms: &[&str], chart: &Chart) -> Result<Vec<Tried>> {
    let kubernetes = if deed == Deed::Rendered {
        chart.kubernetes.clone()
    } else {
        cluster::version()?
    };
    let of = |helm: &&str| -> Result<Tried> {
        let said = run(helm, ["version", "--template", "{{.Version}}"], MOST)?.ok()?;
        Ok(Tried {
            kubernetes: kubernetes.clone(),
            helm: said.trim().to_owned(),
            deed,
        })
    };
    helms.iter().map(of).collect()
}

/// What this needs of a report.
#[derive(Deserialize)]
struct Written {
    tried: Vec<Tried>,
}

/// Writes the table into the page.
///
/// # Errors
/// When a report tells of no versions, or the page has no place for the table.
pub(crate) fn write(orders: &Orders) -> Result<()> {
    let mut all = Vec::new();
    for file in &orders.reports {
        let name = file.display();
        let text = fs::read(file).with_context(|| format!("could not read {name}"))?;
        let report: Written = serde_json::from_slice(&text)
            .with_context(|| format!("{name} is no report with versions"))?;
        all.extend(report.tried);
    }
    ensure!(
        !all.is_empty(),
        "no report tells of versions that were tried: `make chart-test` writes one that does"
    );
    let name = orders.page.display();
    let page =
        fs::read_to_string(&orders.page).with_context(|| format!("could not read {name}"))?;
    let page = put(&page, &table(&all)).with_context(|| name.to_string())?;
    fs::write(&orders.page, page).with_context(|| format!("could not write {name}"))
}

/// A version with the numbers in it, by which versions are sorted.
fn version(text: &str) -> (Vec<u64>, &str) {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    let numbers = numbers.filter_map(|number| number.parse().ok());
    (numbers.collect(), text)
}

/// Rows are versions of Kubernetes, the newest first; columns are versions of Helm.
fn table(tried: &[Tried]) -> String {
    if tried.is_empty() {
        return "No version was tried yet.\n".to_owned();
    }
    let mut cells: BTreeMap<_, BTreeMap<_, BTreeSet<Deed>>> = BTreeMap::new();
    let mut helms = BTreeSet::new();
    for one in tried {
        let (row, column) = (version(&one.kubernetes), version(&one.helm));
        helms.insert(column.clone());
        let row = cells.entry(row).or_default();
        row.entry(column).or_default().insert(one.deed);
    }
    let mut text = "| Kubernetes |".to_owned();
    for (_, helm) in &helms {
        let _ = write!(text, " Helm {helm} |");
    }
    let _ = writeln!(text, "\n| --- |{}", " --- |".repeat(helms.len()));
    for ((_, kubernetes), row) in cells.iter().rev() {
        let _ = write!(text, "| {kubernetes} |");
        for helm in &helms {
            let deeds = row.get(helm).into_iter().flatten();
            let words: Vec<&str> = deeds.map(|deed| deed.words()).collect();
            let cell = if words.is_empty() {
                "–".to_owned()
            } else {
                words.join(", ")
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}

/// The page with another table.
fn put(page: &str, table: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("the line {BEGIN:?} is missing"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("the line {END:?} is missing"))?;
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kubernetes: &str, helm: &str, deed: Deed) -> Tried {
        Tried {
            kubernetes: kubernetes.to_owned(),
            helm: helm.to_owned(),
            deed,
        }
    }

    #[test]
    fn a_cell_has_what_was_done_and_nothing_else() {
        let tried = [
            one("v1.9.4", "v4.3.1", Deed::Accepted),
            one("v1.37.2", "v4.3.1", Deed::Fleet),
            one("v1.37.2", "v4.3.1", Deed::Rendered),
            one("v1.37.2", "v3.22.0", Deed::Rendered),
            one("v1.37.2", "v3.22.0", Deed::Rendered),
            one("v1.37.2", "v3.22.0", Deed::Box),
        ];
        assert_eq!(
            table(&tried),
            "| Kubernetes | Helm v3.22.0 | Helm v4.3.1 |\n\
             | --- | --- | --- |\n\
             | v1.37.2 | rendered, box installed | rendered, fleet installed |\n\
             | v1.9.4 | – | accepted by the API server |\n"
        );
    }

    #[test]
    fn only_the_table_of_the_page_is_another_one() {
        let file = foghorn_tests::page::sources().join("docs/kubernetes.md");
        let page = fs::read_to_string(file).unwrap();
        let other = put(&page, "| one |\n").unwrap();
        assert_ne!(other, page);
        assert!(other.contains(&format!("{BEGIN}\n| one |\n\n{END}")));
        let (_, table) = page.split_once(BEGIN).unwrap();
        let (table, _) = table.split_once(END).unwrap();
        let same = put(&other, &format!("{}\n", table.trim()));
        assert_eq!(same.unwrap(), page);
        assert!(put("no table", "| one |\n").is_err());
    }

    #[test]
    fn what_a_run_has_tried_is_read_from_its_report() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let mut report = crate::report::Report::default();
        report.tried(vec![one("v1.37.2", "v4.3.1", Deed::Accepted)]);
        fs::write(file("report.json"), report.to_json().to_string()).unwrap();
        fs::write(
            file("page.md"),
            format!("# Page\n\n{BEGIN}{END}\n\nMore.\n"),
        )
        .unwrap();
        let orders = Orders {
            page: file("page.md"),
            reports: vec![file("report.json")],
        };
        write(&orders).unwrap();
        let page = fs::read_to_string(file("page.md")).unwrap();
        assert!(page.contains("| v1.37.2 | accepted by the API server |"));
        assert!(page.starts_with("# Page\n") && page.ends_with("\n\nMore.\n"));
        fs::write(file("report.json"), "{\"steps\": []}").unwrap();
        let refused = format!("{:#}", write(&orders).unwrap_err());
        assert!(refused.contains("report.json"), "{refused}");
    }
}
