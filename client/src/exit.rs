//! Exit codes of the client. Documented for scripts; a code never changes its meaning.

use std::process::ExitCode;

/// How a run of the client ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// The task is done, and the controller has recorded it.
    Done,
    /// Something failed; the message says what.
    Failed,
    /// The command line or the environment is wrong.
    Usage,
    /// The controller has no task for this machine.
    NoTask,
    /// The token, the target disk, a dirty file system or an unusable partition table was refused.
    /// Nothing was written.
    Refused,
    /// The task was cancelled, or the client was told to stop.
    Cancelled,
}

impl Exit {
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoTask => 4,
            Self::Refused => 5,
            Self::Cancelled => 6,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
