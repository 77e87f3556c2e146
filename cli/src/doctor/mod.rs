//! `foghorn doctor`: finds what prevents a working deploy from here, and says what to do about it.
//!
//! Every check gives a [`Finding`] or several, and a failure does not stop the others: what can be
//! tested without the server is, and what cannot is named in one line.

mod background;
mod backups;
mod certificate;
mod clock;
mod cold;
mod condition;
mod controllers;
mod copies;
mod quic;
mod reach;
mod server;
mod storage;
mod tls;

use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Format, Table, no_colour, print};
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

#[derive(clap::Args, Debug)]
pub struct DoctorArgs {
    /// Print the findings as JSON, the same as -o json
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When no server is set, or the result cannot be printed. Checks that fail are [`Exit::Failed`],
/// not errors.
pub fn run(args: &DoctorArgs, session: &Session) -> Result<Exit, Failure> {
    let mut session = session.clone();
    if args.json {
        session.output.format = Format::Json;
    }
    let context = session.connection.resolve()?;
    let mut findings = vec![Finding::ok("context", format!("server {}", context.server))];
    let network = reach::check(&context);
    let is_reached = network.verdict == Verdict::Ok;
    findings.push(network);
    findings.extend(certificate::check(
        &context,
        is_reached,
        session.output.zone,
    ));
    if is_reached {
        findings.extend(ask_server(&session, &context));
    } else {
        findings.push(Finding::warn(
            "rest",
            "store, clock, nodes, plugins and tasks were not checked: the server has to answer for that",
            "solve the problem above and run `foghorn doctor` again, or run it on the server itself",
        ));
    }
    show(&session, &findings)?;
    let failed = findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

fn ask_server(session: &Session, context: &Context) -> Vec<Finding> {
    let api = match session.api() {
        Ok(api) => api,
        Err(failure) => {
            return vec![Finding::fail(
                "context",
                failure.in_one_line(),
                "run `foghorn login` again",
            )];
        }
    };
    let zone = session.output.zone;
    let mut findings = server::check(&api);
    // The clock needs no tokens; the rest would say the same about them once for each check.
    findings.extend(clock::check(&api));
    let is_refused = findings
        .iter()
        .any(|finding| finding.check == "tokens" && finding.verdict == Verdict::Fail);
    if is_refused {
        findings.push(Finding::warn(
            "rest",
            "nodes, plugins and tasks were not checked: the server shows them with valid tokens only",
            "run `foghorn login` and then `foghorn doctor` again",
        ));
        return findings;
    }
    findings.extend(storage::check(&api, context, zone));
    findings.extend(copies::check(&api));
    findings.extend(condition::check(&api, context, zone));
    findings.extend(background::check(&api));
    findings.extend(controllers::check(&api));
    findings.extend(backups::check(&api, zone));
    findings
}

fn show(session: &Session, findings: &[Finding]) -> Result<(), Failure> {
    if session.output.format != Format::Table {
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
