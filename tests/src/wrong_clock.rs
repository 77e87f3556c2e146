//! Clocks that are wrong: programs of ours that are started with a library preloaded see the time of
//! day moved by what a file says. A time namespace cannot do that: it moves only clocks that count
//! from the start of the machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::tools;

/// Name of the variable with the file that moves the clock.
pub const CLOCK_FILE: &str = "CLOCK_FILE";

/// Builds the library that moves clocks.
///
/// # Errors
/// Without a C compiler.
pub fn build(folder: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clock.c");
    let library = folder.join("clock.so");
    let words = ["-shared", "-fPIC", "-O2", "-o"];
    let words = words.iter().map(|word| (*word).to_owned());
    let files = [&library, &source].map(|path| path.display().to_string());
    tools::run("cc", words.chain(files).chain(["-ldl".to_owned()]))?;
    Ok(library)
}

/// What has to be in the environment of a program whose clock `file` moves, if its name begins with
/// `program`.
#[must_use]
pub fn environment(library: &Path, file: &Path, program: &str) -> Vec<(&'static str, String)> {
    vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("CLOCK_PROGRAM", program.to_owned()),
        (CLOCK_FILE, file.display().to_string()),
    ]
}

/// Moves the clock by so many seconds; 0 puts it right.
///
/// # Errors
/// When the file cannot be written.
pub fn move_by(file: &Path, seconds: i64) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, seconds.to_string())?;
    Ok(fs::rename(new, file)?)
}
