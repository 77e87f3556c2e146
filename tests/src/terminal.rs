//! A person at a terminal: types lines at a shell, and reads what is shown.
//!
//! The prompt of the shell contains a mark that no screen shows: the sequence for the title of the
//! window, with the exit status of what ran before. So a test knows when a command has ended, and
//! how.

use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{Process, until_answer};
use crate::screen::{on_terminal, shown};

const MARK: &str = "\u{1b}]0;";
const MARK_END: char = '\u{7}';
/// A question of shells to their terminal, which works without an answer.
const WHERE_IS_THE_CURSOR: &str = "\u{1b}[6n";
/// How our programs ask whether something may be destroyed.
const QUESTION: &str = "[y/N]";

/// A shell on a pseudo-terminal.
pub struct Terminal {
    shell: Process,
    input: ChildStdin,
    /// Prompts that were waited for.
    prompts: usize,
    patience: Duration,
}

impl Terminal {
    /// Opens a terminal with a shell whose prompt has the mark, and waits for the prompt.
    /// `patience` is for that, and for every command.
    ///
    /// # Errors
    /// When it cannot be started, or shows no prompt.
    pub fn open(folder: &Path, name: &str, shell: &Command, patience: Duration) -> Result<Self> {
        let mut command = on_terminal(shell);
        let mut shell = Process::start_reading(folder, name, &mut command, Stdio::piped())?;
        let input = shell.input().context("a terminal reads from a pipe")?;
        let mut terminal = Self {
            shell,
            input,
            prompts: 0,
            patience,
        };
        terminal.wait_for_prompt()?;
        Ok(terminal)
    }

    /// Types a line and the key Enter.
    ///
    /// # Errors
    /// When the shell has ended.
    pub fn enter(&mut self, line: &str) -> Result<()> {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .with_context(|| format!("{} takes no more input", self.shell.name))
    }

    /// Types a command and waits for its end; gives what it printed.
    ///
    /// # Errors
    /// When it fails, or takes too long.
    pub fn run(&mut self, line: &str) -> Result<String> {
        self.run_and_answer(line, &[])
    }

    /// Types a command and, when it asks, the answers: to a question that ends with the first of a
    /// pair, the second.
    ///
    /// # Errors
    /// When it does not ask all of that in this order, or fails.
    pub fn run_and_answer(&mut self, line: &str, answers: &[(&str, &str)]) -> Result<String> {
        let (status, output) = self.try_run(line, answers)?;
        ensure!(status == 0, "{line}\nended with {status}:\n{output}");
        Ok(output)
    }

    /// The same, whatever the exit status of the command.
    ///
    /// # Errors
    /// When it does not ask, or takes too long.
    pub fn try_run(&mut self, line: &str, answers: &[(&str, &str)]) -> Result<(i32, String)> {
        let mut place = self.shell.log().len();
        let start = place;
        self.enter(line)?;
        for (question, answer) in answers {
            let what = format!("the question {question} of {line}");
            self.until(&what, |log| {
                let new = log.get(place..).unwrap_or_default();
                new.trim_end().ends_with(question) && !new.contains(MARK)
            })?;
            place = self.shell.log().len();
            self.enter(answer)?;
        }
        let status = self.wait_for_prompt()?;
        let log = self.shell.log();
        Ok((status, plain(log.get(start..).unwrap_or_default())))
    }

    /// Types a command, and y to whatever it asks; it has to succeed.
    ///
    /// # Errors
    /// When it fails, or takes too long.
    pub fn run_with_yes(&mut self, line: &str) -> Result<String> {
        let start = self.shell.log().len();
        let (mut place, wanted) = (start, self.prompts + 1);
        self.enter(line)?;
        loop {
            let asks = |log: &str| {
                let new = log.get(place..).unwrap_or_default();
                new.trim_end().ends_with(QUESTION)
            };
            self.until(line, |log| asks(log) || has_prompt(log, wanted))?;
            let log = self.shell.log();
            if has_prompt(&log, wanted) {
                break;
            }
            place = log.len();
            self.enter("y")?;
        }
        let status = self.wait_for_prompt()?;
        let log = self.shell.log();
        let output = plain(log.get(start..).unwrap_or_default());
        ensure!(status == 0, "{line}\nended with {status}:\n{output}");
        Ok(output)
    }

    /// Waits for the end of the command that was entered last.
    ///
    /// # Errors
    /// When it fails, or takes too long.
    pub fn ended(&mut self) -> Result<()> {
        let status = self.wait_for_prompt()?;
        ensure!(status == 0, "it ended with {status}:\n{}", self.screen());
        Ok(())
    }

    /// Waits until a command that goes on has printed this; gives all that was printed.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        self.until(text, |log| log.contains(text))?;
        Ok(plain(&self.shell.log()))
    }

    /// Ends the command that goes on, with the keys Ctrl and C, and waits for the prompt.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn interrupt(&mut self) -> Result<()> {
        self.input.write_all(b"\x03")?;
        self.wait_for_prompt().map(drop)
    }

    fn wait_for_prompt(&mut self) -> Result<i32> {
        let wanted = self.prompts + 1;
        let what = format!("prompt {wanted} of {}", self.shell.name);
        self.until(&what, |log| has_prompt(log, wanted))?;
        self.prompts = wanted;
        let log = self.shell.log();
        let last = log.rsplit_once(MARK).map_or("", |(_, last)| last);
        let status = last.split(MARK_END).next().unwrap_or_default();
        status.parse().with_context(|| format!("status {status:?}"))
    }

    fn until(&mut self, what: &str, is_there: impl Fn(&str) -> bool) -> Result<()> {
        let log = self.shell.log_path();
        until_answer(&mut self.shell, what, self.patience, || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            Ok(is_there(&log).then_some(()))
        })
    }

    /// Everything that the screen has shown, as a person has seen it.
    #[must_use]
    pub fn screen(&self) -> String {
        let mut text = shown(&without_marks(&self.shell.log())).join("\n");
        text.push('\n');
        text
    }
}

fn has_prompt(log: &str, wanted: usize) -> bool {
    let log = log.trim_end_matches(WHERE_IS_THE_CURSOR);
    log.ends_with(' ') && log.matches(MARK).count() >= wanted
}

fn without_marks(output: &str) -> String {
    let mut pieces = output.split(MARK);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (_, rest) = piece.split_once(MARK_END).unwrap_or(("", piece));
        text.push_str(rest);
    }
    text
}

/// What was printed, in lines as long as they are, without colours and movements.
fn plain(output: &str) -> String {
    let text = without_marks(output);
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| c.is_ascii_alphabetic());
        plain.push_str(end.map_or("", |end| &piece[end + 1..]));
    }
    plain.replace('\r', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_shown_and_a_failure_is_known() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut shell = Command::new("bash");
        shell
            .args(["--norc", "--noprofile", "-i"])
            .env("PS1", r"\[\e]0;$?\a\]here# ");
        let patience = Duration::from_secs(30);
        let mut terminal = Terminal::open(folder.path(), "person", &shell, patience)?;
        assert!(terminal.run("echo $((6 * 7))")?.contains("\n42\n"));
        let asked =
            terminal.run_and_answer("read -p 'sure? ' it && echo \"<$it>\"", &[("sure?", "y")])?;
        assert!(asked.contains("<y>"), "{asked}");
        let failed = terminal.run("echo why; false").err().context("it failed")?;
        assert!(failed.to_string().contains("why"), "{failed}");
        assert_eq!(
            terminal.screen().lines().take(2).collect::<Vec<_>>(),
            ["here# echo $((6 * 7))", "42"]
        );
        Ok(())
    }
}
