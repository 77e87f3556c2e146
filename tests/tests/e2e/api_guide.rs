//! `docs/api/README.md` is run: its shell blocks in order, in one shell, and each must answer what
//! the page shows.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::page::blocks;
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use serde_json::Value;

/// Whether every line is as shown; `…` stands for anything, and an alternative line end for none.
fn text_is(shown: &str, found: &str) -> bool {
    let (shown, found): (Vec<&str>, Vec<&str>) = (
        shown.trim().lines().collect(),
        found.trim().lines().collect(),
    );
    shown.len() == found.len()
        && shown
            .iter()
            .zip(&found)
            .all(|(shown, found)| line_is(shown.trim_end(), found.trim_end()))
}

fn line_is(shown: &str, found: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|start| found.strip_prefix(start)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        last = Some(part);
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    match last {
        None => rest.is_empty(),
        Some(part) => part.is_empty() || found.ends_with(part),
    }
}

/// Whether what is shown is part of what was found: objects may have more members.
fn json_is(shown: &Value, found: &Value) -> bool {
    match (shown, found) {
        (Value::Object(shown), Value::Object(found)) => shown
            .iter()
            .all(|(name, shown)| found.get(name).is_some_and(|found| json_is(shown, found))),
        (Value::Array(shown), Value::Array(found)) => {
            shown.len() == found.len()
                && shown
                    .iter()
                    .zip(found)
                    .all(|(shown, found)| json_is(shown, found))
        }
        (Value::String(shown), Value::String(found)) => line_is(shown, found),
        (shown, found) => shown == found,
    }
}

#[test]
fn every_block_of_the_guide_answers_what_it_shows() -> Result<()> {
    let stack = Stack::controller_only(Engine::Embedded, &Options::default())?;
    let page = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/api/README.md"
    ))?;
    let blocks = blocks(&page);
    ensure!(
        blocks.iter().filter(|block| block.language == "sh").count() > 10,
        "the guide has lost its examples"
    );
    let folder = stack.folder().join("guide");
    fs::create_dir(&folder)?;
    fs::write(folder.join("ca.pem"), &stack.rest.ca_pem)?;
    // One shell for all, so that a block can use what an earlier one has set.
    let mut script = "set -euo pipefail\n".to_owned();
    for (place, block) in blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| block.language == "sh")
    {
        script.push_str(&format!("{{\n{}}} > out-{place} 2>&1\n", block.text));
    }
    fs::write(folder.join("script"), script)?;
    let mut command = Command::new("bash");
    command
        .arg("script")
        .current_dir(&folder)
        .env("FOGHORN_URL", &stack.rest.url)
        .env("FOGHORN_API_TOKEN", &stack.rest.api_token)
        .env("FOGHORN_USER_TOKEN", &stack.rest.user_token);
    let mut shell = Process::start(stack.folder(), "guide", &mut command)?;
    let status = shell.wait(PATIENCE)?;
    for (place, pair) in blocks.windows(2).enumerate() {
        let [block, shown] = pair else { continue };
        let output = folder.join(format!("out-{place}"));
        if block.language != "sh" || !output.exists() {
            continue;
        }
        let found = fs::read_to_string(&output)?;
        let right = match shown.language.as_str() {
            "text" => text_is(&shown.text, &found),
            "json" => {
                let shown: Value = serde_json::from_str(&shown.text)
                    .context("an answer in the guide is not JSON")?;
                serde_json::from_str(&found).is_ok_and(|found| json_is(&shown, &found))
            }
            _ => true,
        };
        ensure!(
            right,
            "the block in line {} should answer\n{}\nbut answered\n{found}",
            block.line,
            shown.text
        );
    }
    ensure!(
        status.success(),
        "a block failed, {status}:\n{}",
        shell.log()
    );
    Ok(())
}

#[test]
fn what_is_shown_is_compared_line_by_line() {
    assert!(text_is("a\nb…d\n", "a\nb c d\n\n") && !text_is("a", "a\nb") && !text_is("a…c", "abd"));
    assert!(json_is(
        &serde_json::json!({"a": ["x…"]}),
        &serde_json::json!({"a": ["xyz"], "b": 1})
    ));
    assert!(!json_is(
        &serde_json::json!({"a": []}),
        &serde_json::json!({"a": [1]})
    ));
}
