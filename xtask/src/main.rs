//! Checks that only look at the repository: run with `cargo run -p xtask -- deps`.

mod deps;
mod faults;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["deps"] => deps::check(),
        ["faults"] => faults::run(false),
        ["faults", "--write"] => faults::run(true),
        _ => bail!("usage: cargo run -p xtask -- deps|faults [--write]"),
    }
}
