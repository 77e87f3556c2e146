//! How the program ends: an exit code per kind of result, and a message that says what failed, for
//! what, and what to do.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use foghorn_types::{Complaint, chain};

/// The documented exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    /// Some of several operations succeeded and some failed.
    Partly = 3,
    NotFound = 4,
    /// Credentials, a missing confirmation, or a rule that forbids it.
    Refused = 5,
    /// A name is in use, a host is busy.
    Conflict = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// The exit codes in the help.
pub const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failed, 2 usage, 3 partly failed, 4 not found, 5 refused, 6 conflict";

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    advice: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            advice: None,
            source: None,
        }
    }

    /// A wrong or ambiguous argument.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The same, with another exit code.
    #[must_use]
    pub fn ending_with(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// Adds the cause, which is printed after the message.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The message with its causes in one line and without the advice, for callers with advice of
    /// their own.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        match &self.source {
            None => self.what.clone(),
            Some(source) => format!("{}: {}", self.what, chain(&**source)),
        }
    }

    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    /// The message, its causes and the advice, each on its own line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = self.source.as_deref().map(|source| source as &dyn Error);
        let complaint = Complaint::new(self.what.clone(), cause);
        fmt::Display::fmt(&complaint.todo(self.advice.as_deref()), f)
    }
}

impl Error for Failure {}

/// The combined result of several operations: all, some or none of them succeeded.
#[must_use]
pub fn of_many(worked: usize, failed: usize) -> Exit {
    match (worked, failed) {
        (_, 0) => Exit::Ok,
        (0, _) => Exit::Failed,
        _ => Exit::Partly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Failure::new(Exit::Failed, "could not read /x")
            .caused_by(std::io::Error::other("disk on fire"))
            .advise("look at the disk");
        assert_eq!(
            failure.to_string(),
            "could not read /x\n  because: disk on fire\n  to do: look at the disk"
        );
        assert_eq!(failure.in_one_line(), "could not read /x: disk on fire");
        assert_eq!(failure.exit() as u8, 1);
    }

    #[test]
    fn partial_failure_is_neither_success_nor_failure() {
        assert_eq!(
            [of_many(3, 0), of_many(2, 1), of_many(0, 2), of_many(0, 0)],
            [Exit::Ok, Exit::Partly, Exit::Failed, Exit::Ok]
        );
    }
}
