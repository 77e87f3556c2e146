//! Checks that only look at the repository: run with `cargo run -p xtask -- deps`.

mod deps;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("deps") => deps::check(),
        _ => bail!("usage: cargo run -p xtask -- deps"),
    }
}
