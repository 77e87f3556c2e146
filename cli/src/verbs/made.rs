//! What a command that creates or changes something says: a sentence for people, the object for
//! programs, its id with `--quiet`.

use serde_json::Value;

use crate::exit::Failure;
use crate::output::{Output, print};

/// # Errors
/// When standard output cannot be written.
pub(super) fn made(output: Output, id: u32, object: &Value, said: &str) -> Result<(), Failure> {
    if output.is_for_people() {
        print(&format!("{said}\n"))
    } else {
        output.show_object(&id.to_string(), object)
    }
}

/// "1 host", "2 hosts".
pub(super) fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// The error of an edit without a change.
pub(super) fn no_change(command: &str) -> Failure {
    Failure::usage("no change was given")
        .advise(format!("`foghorn help {command}` lists the options"))
}

/// A dash for nothing.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

pub(super) fn yes(set: bool) -> String {
    if set { "yes" } else { "no" }.to_owned()
}
