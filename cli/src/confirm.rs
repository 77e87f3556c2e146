//! Asking for confirmation before data is lost.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::exit::{Exit, Failure};

/// Lists what will be lost, line by line, and asks; `--yes` skips the question.
///
/// # Errors
/// [`Exit::Refused`] when the answer is not yes, or when there is no terminal to ask on.
pub fn confirm(yes: bool, losses: &[String], question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    for loss in losses {
        eprintln!("{loss}");
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Refused,
            "this destroys data and needs a confirmation, but there is no terminal to ask on",
        )
        .advise("use --yes to confirm"));
    }
    eprint!("{question} [y/N] ");
    // The answer counts, whether or not the question could be shown.
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && is_yes(&answer) {
        Ok(())
    } else {
        Err(Failure::new(Exit::Refused, "nothing was changed"))
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        assert!(is_yes("y\n") && is_yes(" YES "));
        assert!(!is_yes("") && !is_yes("\n") && !is_yes("yup") && !is_yes("n"));
    }
}
