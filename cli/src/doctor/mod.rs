//! `foghorn doctor`: finds what prevents a working deploy from here, and says what to do about it.
//!
//! Every check gives one [`Finding`]; a check that is not possible because an earlier one failed is
//! omitted, so that the list shows causes and not consequences.

mod background;
mod certificate;
mod clock;
mod server;
mod storage;

use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{Table, no_colour, print};
use crate::verbs::Session;

/// The result of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One line of the result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            todo: None,
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            found: found.into(),
            todo: Some(todo.into()),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Fail,
            found: found.into(),
            todo: Some(todo.into()),
        }
    }
}

/// # Errors
/// When no server is set, or the result cannot be printed. Checks that fail are [`Exit::Failed`],
/// not errors.
pub fn run(session: &Session) -> Result<Exit, Failure> {
    let context = session.connection.resolve()?;
    let mut findings = vec![Finding::ok("context", format!("server {}", context.server))];
    findings.extend(certificate::check(&context));
    match session.api() {
        Ok(api) => {
            let reachable = server::check(&api);
            // A server whose store cannot be written still shows what it has.
            let stop = reachable
                .iter()
                .any(|finding| finding.verdict == Verdict::Fail && finding.check != "store");
            findings.extend(reachable);
            if !stop {
                findings.extend(clock::check(&api));
                findings.extend(storage::check(&api));
                findings.extend(background::check(&api));
            }
        }
        Err(failure) => findings.push(Finding::fail(
            "context",
            failure.in_one_line(),
            "run `foghorn login` again",
        )),
    }
    show(session, &findings)?;
    let failed = findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

fn show(session: &Session, findings: &[Finding]) -> Result<(), Failure> {
    if session.output.format != crate::output::Format::Table {
        return session.output.show(&Table::new(&[]), &findings);
    }
    let colour = std::io::IsTerminal::is_terminal(&std::io::stdout()) && !no_colour();
    let lines: Vec<String> = findings
        .iter()
        .filter(|finding| !session.output.quiet || finding.verdict != Verdict::Ok)
        .map(|finding| line(finding, colour))
        .collect();
    print(&lines.concat())
}

fn line(finding: &Finding, colour: bool) -> String {
    let (word, code) = match finding.verdict {
        Verdict::Ok => ("ok  ", 32),
        Verdict::Warn => ("warn", 33),
        Verdict::Fail => ("fail", 31),
    };
    let word = if colour {
        format!("\x1b[{code}m{word}\x1b[0m")
    } else {
        word.to_owned()
    };
    let todo = finding
        .todo
        .as_ref()
        .map(|todo| format!("\n                     to do: {todo}"))
        .unwrap_or_default();
    format!("{word}  {:<14} {}{todo}\n", finding.check, finding.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_to_do_when_something_is_wrong() {
        assert_eq!(
            line(&Finding::ok("tokens", "accepted"), false),
            "ok    tokens         accepted\n"
        );
        let text = line(&Finding::fail("store", "not ready", "check etcd"), true);
        assert!(
            text.starts_with("\x1b[31mfail\x1b[0m  store") && text.ends_with("to do: check etcd\n"),
            "{text}"
        );
    }
}
