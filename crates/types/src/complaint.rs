//! An error as all our programs show it to people: what happened, why, and what to do.

use std::error::Error;
use std::fmt;

/// Shows `error` with its causes, one a line, and then what to do:
///
/// ```text
/// could not start the controller
///   because: could not listen on 0.0.0.0:8443 (REST)
///   because: address already in use
///   to do: stop the other server, or choose another address
/// ```
///
/// The word `error:` before it is [`Complaint::line`]'s.
#[must_use]
pub fn complaint<'e>(error: &'e (dyn Error + 'e)) -> Complaint<'e> {
    Complaint {
        what: error.to_string(),
        cause: error.source(),
        todo: None,
    }
}

/// See [`complaint`].
#[derive(Debug)]
pub struct Complaint<'e> {
    what: String,
    cause: Option<&'e (dyn Error + 'e)>,
    todo: Option<&'e str>,
}

impl<'e> Complaint<'e> {
    /// From its parts, for errors that are not a chain.
    #[must_use]
    pub fn new(what: impl Into<String>, cause: Option<&'e (dyn Error + 'e)>) -> Self {
        Self {
            what: what.into(),
            cause,
            todo: None,
        }
    }

    /// Adds what people can do about it.
    #[must_use]
    pub fn todo(mut self, todo: impl Into<Option<&'e str>>) -> Self {
        self.todo = todo.into();
        self
    }

    /// The whole text with `error: ` before it, without a line break at the end.
    #[must_use]
    pub fn line(&self) -> String {
        format!("error: {self}")
    }
}

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts = vec![self.what.clone()];
        let mut cause = self.cause;
        while let Some(error) = cause {
            texts.push(error.to_string());
            cause = error.source();
        }
        // Some libraries repeat their cause in their own text, and some errors only pass it on.
        for at in (1..texts.len()).rev() {
            let (before, after) = texts.split_at_mut(at);
            let (text, next) = (&mut before[at - 1], &after[0]);
            if text == next {
                texts.remove(at);
            } else if let Some(rest) = text.strip_suffix(next.as_str()) {
                let rest = rest.trim_end_matches([':', ' ']).len();
                if rest == 0 {
                    texts.remove(at);
                } else {
                    text.truncate(rest);
                }
            }
        }
        for (number, text) in texts.iter().enumerate() {
            if number > 0 {
                f.write_str("\n  because: ")?;
            }
            f.write_str(text)?;
        }
        if let Some(todo) = self.todo {
            write!(f, "\n  to do: {todo}")?;
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
    fn every_cause_has_its_line_and_is_said_once() {
        let error = Outer(Middle(io::Error::other("no room")));
        assert_eq!(
            complaint(&error).todo("make room").line(),
            "error: could not store the task\n  because: could not write\n  \
             because: no room\n  to do: make room"
        );
        let plain = io::Error::other("no room");
        assert_eq!(complaint(&plain).line(), "error: no room");
        assert_eq!(
            Complaint::new("no room", Some(&plain)).to_string(),
            "no room"
        );
        assert_eq!(
            Complaint::new("wrong: no room", Some(&plain)).to_string(),
            "wrong\n  because: no room"
        );
    }
}
