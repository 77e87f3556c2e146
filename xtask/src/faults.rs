//! The list of fault points: every `foghorn_faults::…!("name")` of the code, in
//! `docs/fault-points.md`. A name is used once, and says whose it is, in what, and when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use proc_macro2::{TokenStream, TokenTree};

const PAGE: &str = "docs/fault-points.md";
/// The folders whose code is looked at, but for tests.
const CODE: [&str; 8] = [
    "agent/src",
    "cli/src",
    "client/src",
    "controller/src",
    "crates/chunk-store/src",
    "crates/telemetry/src",
    "crates/transport/src",
    "proto/src",
];
/// The forms of a point, and what can be made to happen at each.
const FORMS: [(&str, &str); 5] = [
    ("point", "kill, delay"),
    ("fail", "kill, delay, error"),
    ("wait", "kill, delay"),
    ("wait_or_fail", "kill, delay, error"),
    ("lost", "kill, delay, lost"),
];
const FEWEST: usize = 40;

/// Where a point is, and what can happen there.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Point {
    file: String,
    takes: &'static str,
}

/// Compares the page with the code, or writes it.
///
/// # Errors
/// A name that is used twice or is no name; a page that is not what the code has.
pub(crate) fn run(write: bool) -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut points = BTreeMap::new();
    for folder in CODE {
        for file in files(&root.join(folder))? {
            let text = std::fs::read_to_string(&file)?;
            let tokens: TokenStream = text
                .parse()
                .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
            let name = file.strip_prefix(root).unwrap_or(&file);
            collect(tokens, &name.display().to_string(), &mut points)?;
        }
    }
    ensure!(
        points.len() >= FEWEST,
        "only {} fault points are left; there are to be at least {FEWEST}",
        points.len()
    );
    let (page, expected) = (root.join(PAGE), render(&points));
    if write {
        std::fs::write(&page, expected).with_context(|| format!("could not write {PAGE}"))?;
        println!("faults: {PAGE} lists {} points", points.len());
        return Ok(());
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    if found != expected {
        bail!("{PAGE} is not what the code has; run `cargo run -p xtask -- faults --write`");
    }
    println!(
        "faults: {PAGE} lists all {} points, each name once",
        points.len()
    );
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Adds the points of a file, also those inside other macros.
fn collect(tokens: TokenStream, file: &str, points: &mut BTreeMap<String, Point>) -> Result<()> {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        if let TokenTree::Group(group) = tree {
            collect(group.stream(), file, points)?;
        }
        if is_word(tree, "foghorn_faults")
            && let Some((name, takes)) = point(&trees[at + 1..])
        {
            ensure!(
                is_name(&name),
                "{file}: {name:?} is no name of a fault point: WHO.WHAT.WHEN in small letters"
            );
            let file = file.to_owned();
            if let Some(other) = points.insert(name.clone(), Point { file, takes }) {
                bail!(
                    "the fault point {name} is used twice: in {} and in {}",
                    other.file,
                    points[&name].file
                );
            }
        }
    }
    Ok(())
}

/// What follows the name of the crate, if it is a point: `::form!("name")`.
fn point(rest: &[TokenTree]) -> Option<(String, &'static str)> {
    let [_, _, form, bang, TokenTree::Group(group), ..] = rest else {
        return None;
    };
    let (_, takes) = FORMS.iter().find(|(name, _)| is_word(form, name))?;
    let is_macro = matches!(bang, TokenTree::Punct(punct) if punct.as_char() == '!');
    let name = group.stream().to_string();
    let name = name.strip_prefix('"')?.strip_suffix('"')?;
    is_macro.then(|| (name.to_owned(), *takes))
}

fn is_word(tree: &TokenTree, word: &str) -> bool {
    matches!(tree, TokenTree::Ident(ident) if ident == word)
}

fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    };
    name.split('.').count() == 3 && name.split('.').all(is_part)
}

fn render(points: &BTreeMap<String, Point>) -> String {
    let mut page = format!(
        "# Fault points\n\n\
         Written by `cargo run -p xtask -- faults --write`; do not edit. There are {} named places, before and\n\
         after each durable step, at which tests let something go wrong: see [testing](testing.md#fault-points).\n\n\
         | point | may be made to | in |\n| --- | --- | --- |\n",
        points.len()
    );
    for (name, point) in points {
        page.push_str(&format!(
            "| `{name}` | {} | `{}` |\n",
            point.takes, point.file
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> Result<BTreeMap<String, Point>> {
        let mut points = BTreeMap::new();
        collect(code.parse().unwrap(), "a.rs", &mut points)?;
        Ok(points)
    }

    #[test]
    fn points_are_found_wherever_they_are() {
        let points = found(
            "fn a() { foghorn_faults::point!(\"a.b.c\"); }\n\
             async fn b() { tokio::select! { () = x => foghorn_faults::wait!(\"d.e.f-g\"), } }\n\
             // foghorn_faults::point!(\"only.a.comment\")\n",
        );
        let points = points.unwrap();
        let names: Vec<&str> = points.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.b.c", "d.e.f-g"]);
        let page = render(&points);
        assert!(
            page.contains("| `a.b.c` | kill, delay | `a.rs` |"),
            "{page}"
        );
    }

    #[test]
    fn a_name_is_used_once_and_is_a_name() {
        let twice =
            "fn a() { foghorn_faults::point!(\"a.b.c\"); foghorn_faults::lost!(\"a.b.c\"); }";
        let problem = found(twice).unwrap_err().to_string();
        assert!(problem.contains("a.b.c is used twice"), "{problem}");
        let odd = found("fn a() { foghorn_faults::fail!(\"What happens\"); }");
        assert!(odd.unwrap_err().to_string().contains("is no name"));
    }
}
