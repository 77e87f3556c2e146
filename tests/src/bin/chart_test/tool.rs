//! Programs of others, each with a limit of time: what hangs is a failure that says what hung.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How a program ended, and what it printed.
pub(crate) struct Said {
    pub(crate) line: String,
    pub(crate) is_good: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// What it printed, if it ended well.
    ///
    /// # Errors
    /// With everything that it printed.
    pub(crate) fn ok(self) -> Result<String> {
        if !self.is_good {
            bail!("{} failed:\n{}{}", self.line, self.out, self.err);
        }
        Ok(self.out)
    }
}

/// Runs a program of the path to its end.
///
/// # Errors
/// When it cannot be started, or takes longer than `most`.
pub(crate) fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    most: Duration,
) -> Result<Said> {
    let mut command = command(program, arguments, most);
    let line = line_of(&command);
    let output = command
        .output()
        .with_context(|| format!("could not start {program}"))?;
    // What `timeout` ends with.
    if matches!(output.status.code(), Some(124 | 137)) {
        bail!(
            "{line} took longer than {most:?}:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(Said {
        line,
        is_good: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The program below one that ends it in time, and passes on the signal to end.
pub(crate) fn command<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    most: Duration,
) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=5")
        .arg(most.as_secs().to_string())
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// For people: without what limits it.
fn line_of(command: &Command) -> String {
    let words = command.get_args().skip(2);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_and_named() {
        let hung = run("sleep", ["60"], Duration::from_secs(1)).err().unwrap();
        assert!(hung.to_string().contains("sleep 60 took longer"), "{hung}");
    }

    #[test]
    fn a_program_that_fails_is_shown_with_its_words() {
        let said = run(
            "sh",
            ["-c", "echo one; echo two >&2; exit 3"],
            Duration::from_secs(9),
        );
        let failed = said.unwrap().ok().unwrap_err().to_string();
        assert!(failed.contains("one") && failed.contains("two"), "{failed}");
    }
}
