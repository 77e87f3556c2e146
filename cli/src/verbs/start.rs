//! After the order: how its machines are started.

use foghorn_rest_types::fog::{Host, Row};

use super::boot_token::{self, Form};
use super::wake;
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Options of orders about their machines.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct StartArgs {
    /// Wake the hosts over the network when their tasks are stored
    #[arg(long)]
    pub wake: bool,
    /// Print the command that starts each machine by hand, in place of the tasks
    #[arg(long)]
    pub print_command: bool,
    #[command(flatten)]
    pub form: Form,
}

impl StartArgs {
    /// # Errors
    /// When a form is given for nothing.
    pub fn check(&self) -> Result<(), Failure> {
        if self.form != Form::default() && !self.print_command {
            return Err(
                Failure::usage("--room and --code are forms of the printed command")
                    .advise("add --print-command"),
            );
        }
        Ok(())
    }

    /// Does what was asked for the machines of tasks that are stored, or says how to do it.
    /// `named` are the hosts as arguments of another command. Returns whether the result has been
    /// printed, with its exit code.
    ///
    /// # Errors
    /// As the server answers; the tasks stay.
    pub fn start(
        &self,
        api: &Api,
        output: Output,
        hosts: &[Row<Host>],
        named: &str,
    ) -> Result<Option<Exit>, Failure> {
        let kept =
            |failure: Failure| failure.advise("the tasks are stored, and wait for their machines");
        if self.wake {
            let woken = wake::order(api, hosts).map_err(kept)?;
            for host in &woken.hosts {
                let nodes: Vec<_> = host.nodes.iter().map(ToString::to_string).collect();
                let nodes = nodes.join(", ");
                let through = if nodes.is_empty() { "" } else { " through " };
                let result = wake::result(host);
                output.say(&format!("wake {}: {result}{through}{nodes}", host.name));
            }
        }
        if self.print_command {
            let ordered = boot_token::order(api, hosts, self.form, None, None).map_err(kept)?;
            return boot_token::show(output, ordered, self.form, true).map(Some);
        }
        output.say(&next_step(named, self.wake));
        Ok(None)
    }
}

/// What a person does next.
fn next_step(named: &str, is_woken: bool) -> String {
    let by_hand = format!(
        "`foghorn host boot-token {named} --code --print-command` prints what to type at the machines"
    );
    if is_woken {
        format!("next: machines that do not start from the network are started by hand: {by_hand}")
    } else {
        format!("next: start the machines. {by_hand}; `foghorn wake {named}` wakes them")
    }
}

/// Hosts and groups as arguments of `host boot-token` and `wake`.
#[must_use]
pub fn as_arguments(hosts: &[String], groups: &[String]) -> String {
    let groups = groups
        .iter()
        .map(|name| format!("--group {}", quoted(name)));
    let words: Vec<String> = hosts
        .iter()
        .map(|name| quoted(name))
        .chain(groups)
        .collect();
    words.join(" ")
}

fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_can_be_pasted() {
        let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let named = as_arguments(&strings(&["pc1", "it's"]), &strings(&["lab 2"]));
        assert_eq!(named, r"pc1 'it'\''s' --group 'lab 2'");
        let step = next_step(&named, false);
        assert!(step.contains(&format!("foghorn wake {named}`")), "{step}");
        assert!(!next_step(&named, true).contains("foghorn wake"));
    }

    #[test]
    fn a_form_of_nothing_is_refused() {
        let form = Form {
            room: true,
            code: false,
        };
        let asked = |print_command| StartArgs {
            form,
            print_command,
            wake: false,
        };
        assert!(asked(true).check().is_ok());
        assert_eq!(asked(false).check().unwrap_err().exit(), Exit::Usage);
    }
}
