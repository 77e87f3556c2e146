//! Arrows point down, and only where ARCHITECTURE.md draws them: between crates (`crates`), between
//! the modules of the large crates (`layers`), and never in a circle of files (`circles`).

mod circles;
mod crates;
mod layers;
mod resolve;
mod source;
mod table;

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// # Errors
/// Lists every arrow that ARCHITECTURE.md does not have, everything in it that does not exist, and
/// every circle of files.
pub(crate) fn check() -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let page = std::fs::read_to_string(root.join("ARCHITECTURE.md"))
        .context("could not read ARCHITECTURE.md")?;
    let mut problems = crates::check(root, &page)?;
    for layers in layers::tables(&page)? {
        let source = source::Source::read(&root.join(&layers.name).join("src"))?;
        let arrows = resolve::arrows(&source);
        problems.extend(layers.compare(&source, &arrows));
        problems.extend(
            circles::find(&source, &arrows)
                .into_iter()
                .map(|circle| format!("{}: {circle}", layers.name)),
        );
    }
    if problems.is_empty() {
        println!(
            "deps: every arrow is in ARCHITECTURE.md, and no files name each other in a circle"
        );
        return Ok(());
    }
    bail!(
        "the code and ARCHITECTURE.md disagree:\n  {}",
        problems.join("\n  ")
    );
}
