//! The table of pages in `docs/testing.md` is whole.

use std::fs;
use std::path::Path;

use anyhow::Result;
use foghorn_tests::page::{blocks, sources};

/// Pages with shell blocks, as paths from the folder of sources.
fn with_commands(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(sources().join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            with_commands(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "md") {
            let page = blocks(&fs::read_to_string(sources().join(&path))?);
            if page.iter().any(|block| block.language == "sh") {
                found.push(path.display().to_string());
            }
        }
    }
    Ok(())
}

#[test]
fn every_page_with_commands_is_named_with_who_runs_it() -> Result<()> {
    let mut pages = vec!["README.md".to_owned()];
    with_commands(Path::new("docs"), &mut pages)?;
    let testing = fs::read_to_string(sources().join("docs/testing.md"))?;
    pages.retain(|page| !testing.contains(&format!("| `{page}` |")));
    assert!(
        pages.is_empty(),
        "docs/testing.md has no rows for {pages:?}"
    );
    Ok(())
}
