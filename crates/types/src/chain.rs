//! Errors in one line, for a log, an answer or a message to another machine.

use std::error::Error;
use std::fmt;

/// An error and everything behind it: "could not store the task: no room on the disk".
///
/// In logs it is the field `error`: `warn!(error = %chain(&error), "could not …")`.
#[must_use]
pub fn chain<'e>(error: &'e (dyn Error + 'e)) -> Chain<'e> {
    Chain(error)
}

/// See [`chain`].
#[derive(Clone, Copy, Debug)]
pub struct Chain<'e>(&'e (dyn Error + 'e));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        f.write_str(&text)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let next = error.to_string();
            // Some libraries repeat their cause in their own text.
            if !text.ends_with(&next) {
                write!(f, ": {next}")?;
            }
            text = next;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not store the task")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("could not write: {0}")]
    struct Middle(#[source] io::Error);

    #[test]
    fn causes_follow_and_what_is_said_twice_is_shown_once() {
        let error = Outer(Middle(io::Error::other("no room")));
        assert_eq!(
            chain(&error).to_string(),
            "could not store the task: could not write: no room"
        );
        assert_eq!(chain(&io::Error::other("no room")).to_string(), "no room");
    }
}
