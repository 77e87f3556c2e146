//! What messages tell people to do can be done: every command that a text of ours names exists, with
//! the options that the text gives it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use foghorn_cli::args::Cli;

const PROGRAM: &str = env!("CARGO_BIN_EXE_foghorn");

/// Source files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The code without comments and tests.
fn code_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| {
            // What is on `///` of arguments is help, which people read.
            let line = line.trim_start();
            !line.starts_with("//!") && !line.starts_with("// ")
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

/// What follows `foghorn ` in the texts, up to the end of the command.
fn commands_in(code: &str) -> Vec<String> {
    code.split("foghorn ")
        .skip(1)
        .map(|rest| {
            let rest = rest.split("\\n").next().unwrap_or_default();
            let end = rest.find(['`', '"', '\n', ';', ',', '|', '&', '>', '<', '\\', ')']);
            rest[..end.unwrap_or(rest.len())].trim().to_owned()
        })
        .filter(|text| text.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect()
}

/// The words of the command, or why there is no such command.
fn resolve(text: &str) -> Result<Vec<String>, String> {
    let root = Cli::command();
    let (mut command, mut words) = (&root, Vec::new());
    let mut tokens = text.split_whitespace().peekable();
    if tokens.peek() == Some(&"help") {
        tokens.next();
    }
    for token in tokens {
        if let Some(option) = token.strip_prefix("--") {
            let option = option
                .trim_end_matches(['.', ':', '\''])
                .split('=')
                .next()
                .unwrap_or_default();
            let known = |command: &clap::Command| {
                command
                    .get_arguments()
                    .any(|arg| arg.get_long() == Some(option))
            };
            if !known(command) && !known(&root) && !matches!(option, "" | "help" | "version") {
                return Err(format!("{words:?} has no option --{option}"));
            }
            continue;
        }
        match command.find_subcommand(token) {
            Some(sub) => {
                words.push(token.to_owned());
                command = sub;
            }
            // The command is known when it runs.
            None if words.is_empty() && token.starts_with('{') => return Ok(words),
            None if words.is_empty() => return Err(format!("there is no command {token:?}")),
            // A class that is known when it runs, such as in `foghorn {command} list`.
            None if token.starts_with('{') || token.chars().all(|c| c.is_ascii_uppercase()) => {}
            None if command.is_subcommand_required_set() => {
                return Err(format!("{words:?} has no command {token:?}"));
            }
            None => {}
        }
    }
    Ok(words)
}

#[test]
fn every_command_that_a_message_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["cli/src", "controller/src", "agent/src", "client/src"] {
        sources(&root.join(folder), &mut files);
    }
    let (mut wrong, mut named) = (Vec::new(), BTreeSet::new());
    for file in &files {
        for text in commands_in(&code_of(file)) {
            match resolve(&text) {
                Ok(words) => {
                    named.insert(words);
                }
                Err(why) => wrong.push(format!("{}: {text:?}: {why}", file.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(named.len() > 30, "only {} commands were found", named.len());
    for words in named {
        let output = Command::new(PROGRAM).args(&words).arg("--help").output();
        let output = output.expect("the program runs");
        assert!(output.status.success(), "foghorn {words:?} --help");
    }
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    assert_eq!(
        resolve("image undo win11 --version 3").unwrap(),
        ["image", "undo"]
    );
    assert!(resolve("image restore win11").is_err());
    assert!(resolve("image undo win11 --force").is_err());
    assert!(resolve("revert").is_err());
    let code = "advise(\"run `foghorn image undo {name}` again\")";
    assert_eq!(commands_in(code), ["image undo {name}"]);
}
