//! Asking for confirmation before data is lost, and dry runs.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::exit::{Exit, Failure};

/// For commands that destroy something.
#[derive(clap::Args, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Consent {
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub rehearsal: Rehearsal,
}

impl Consent {
    #[must_use]
    pub fn is_dry_run(self) -> bool {
        self.rehearsal.dry_run
    }

    /// Whether what would be lost has to be found out.
    #[must_use]
    pub fn tells(self) -> bool {
        self.is_dry_run() || !self.yes
    }
}

/// For commands that change something.
#[derive(clap::Args, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rehearsal {
    /// Say what would be done, let the server check it, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl Rehearsal {
    /// In a dry run, says what would be done.
    pub fn tell(self, what: &str) {
        if self.dry_run {
            eprintln!("would {what}");
        }
    }
}

/// What is printed when a dry run has found nothing wrong.
pub const NOTHING_CHANGED: &str = "dry run: the server would do this; nothing was changed";

/// Lists what will be lost, line by line, and asks; `--yes` skips the question, and so does a dry
/// run, which loses nothing.
///
/// # Errors
/// [`Exit::Refused`] when the answer is not yes, or when there is no terminal to ask on.
pub fn confirm(consent: Consent, losses: &[String], question: &str) -> Result<(), Failure> {
    if consent.tells() {
        for loss in losses {
            eprintln!("{loss}");
        }
    }
    if consent.is_dry_run() || consent.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Refused,
            "this destroys data and needs a confirmation, but there is no terminal to ask on",
        )
        .advise("use --yes to confirm, or --dry-run to see what would be done"));
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

    #[test]
    fn a_dry_run_asks_nothing_and_tells_even_with_yes() {
        let dry = Consent {
            yes: true,
            rehearsal: Rehearsal { dry_run: true },
        };
        assert!(dry.tells() && confirm(dry, &[], "?").is_ok());
        let yes = Consent {
            yes: true,
            ..Consent::default()
        };
        assert!(!yes.tells() && confirm(yes, &[], "?").is_ok());
    }
}
