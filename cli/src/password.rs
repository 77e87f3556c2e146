//! A new password from the keyboard without echo, from standard input or from a file; never from
//! the command line, which other users of the machine can see.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::exit::{Exit, Failure};

/// Where a new password comes from.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub struct PasswordArgs {
    /// Read the password as one line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// The new password; read twice from the terminal when no flag sets a source.
    ///
    /// # Errors
    /// When there is none, the two entries differ, or there is no terminal to ask on.
    pub fn read(&self) -> Result<String, Failure> {
        if let Some(path) = &self.password_file {
            return from_file(path);
        }
        if self.password_stdin {
            return line(io::stdin().lock(), "password");
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::new(
                Exit::Refused,
                "the password cannot be read, because there is no terminal",
            )
            .advise("use --password-stdin or --password-file FILE"));
        }
        let password = |prompt| ask(prompt, "password");
        let (first, second) = (password("Password: ")?, password("Again: ")?);
        if first == second {
            Ok(first)
        } else {
            Err(Failure::usage("the two passwords are different"))
        }
    }
}

fn from_file(path: &Path) -> Result<String, Failure> {
    let unreadable =
        |error| Failure::usage(format!("could not read {}", path.display())).caused_by(error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    line(io::BufReader::new(file), "password")
}

/// The first line without its line ending.
pub(crate) fn line(mut from: impl io::BufRead, what: &str) -> Result<String, Failure> {
    let mut text = String::new();
    from.read_line(&mut text)
        .map_err(|error| Failure::usage(format!("could not read the {what}")).caused_by(error))?;
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        Err(Failure::usage(format!("the {what} is missing")))
    } else {
        Ok(password.to_owned())
    }
}

/// One line from the terminal, without echo.
pub(crate) fn ask(prompt: &str, what: &str) -> Result<String, Failure> {
    let _quiet = Quiet::begin()?;
    eprint!("{prompt}");
    // The answer is read whether or not the prompt could be shown.
    let _ = io::stderr().flush();
    let answer = line(io::stdin().lock(), what);
    eprintln!();
    answer
}

/// Disables the echo of the terminal until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| {
            Failure::new(Exit::Failed, "could not disable the echo of the terminal")
                .caused_by(io::Error::from(error))
        };
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is closed by now needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_and_may_have_blanks() {
        assert_eq!(
            line(&b" pass word \r\nrest"[..], "x").unwrap(),
            " pass word "
        );
        assert_eq!(line(&b"\n"[..], "x").unwrap_err().exit(), Exit::Usage);
    }
}
