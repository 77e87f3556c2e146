//! `foghorn host token` and `foghorn host tokens`: what machines enrol with after imaging.

use std::time::Duration;

use clap::{Args, Subcommand};
use foghorn_rest_types::fog::Host;
use foghorn_rest_types::native::{HostTokenCreated, HostTokenList, HostTokenStatus, NewHostToken};
use foghorn_types::HostTokenId;
use serde_json::Value;

use crate::api::Api;
use crate::confirm::{Consent, confirm};
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::number::{lifetime, within};
use crate::output::{Output, Table};

const ALL: &str = "/foghorn/v1/host-tokens";

#[derive(Args, Debug)]
pub struct HostTokenArgs {
    /// The host that the machine is, by name or id; the token is good for one machine, which takes the place of
    /// the one that was this host before
    #[arg(required_unless_present = "factory")]
    host: Option<String>,
    /// The factory that the machines come to belong to, which is a storage group; without a host, any machine
    /// may enrol
    #[arg(long, value_name = "NAME")]
    factory: Option<String>,
    /// How many machines the token lets in (1 to 10000)
    #[arg(long, value_name = "NUMBER", conflicts_with = "host", value_parser = within(1..=10_000))]
    count: Option<u32>,
    /// Time until the token expires, such as 30m, 12h or 7d, at most a year
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires: Option<Duration>,
}

#[derive(Subcommand, Debug)]
pub enum HostTokensCommand {
    /// List the tokens: for whom, how many more, until when
    #[command(after_help = "Example:\n  foghorn host tokens list")]
    List,
    /// Delete a token: it lets nobody in any more; machines that it let in stay
    #[command(
        visible_alias = "revoke",
        after_help = "Example:\n  foghorn host tokens delete 3 --yes"
    )]
    Delete {
        token: HostTokenId,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Makes a token and prints it.
pub(super) fn make(api: &Api, output: Output, args: HostTokenArgs) -> Result<(), Failure> {
    let host = args.host.as_deref();
    let host = host.map(|host| find::<Host>(api, host)).transpose()?;
    let seconds = args.expires.map(|expires| expires.as_secs());
    let request = NewHostToken {
        host: host.as_ref().map(|host| host.view.id),
        factory: args.factory,
        count: args.count,
        ttl_seconds: seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
    };
    let made: HostTokenCreated = api.native("POST", ALL, Some(&request))?;
    let whom = match &host {
        Some(host) => format!("host {}", host.view.name),
        None => format!("machines of {}", made.factory.name),
    };
    output.say(&format!(
        "machine token {} for {whom}, good until {}, is shown once; on the machine: foghorn-host enrol --server URL --token TOKEN",
        made.id,
        output.time(&made.expires)
    ));
    if !made.served {
        output.say(
            "nothing takes it yet: set `dialects.foundries.gateway` in the configuration of the server, and start it again",
        );
    }
    output.show_value(&made.token, &made)
}

/// # Errors
/// As the server answers.
pub(super) fn run(api: &Api, output: Output, command: HostTokensCommand) -> Result<(), Failure> {
    let list: HostTokenList = api.get(ALL)?;
    match command {
        HostTokensCommand::List => output.show(&table(output, &list.tokens), &list),
        HostTokensCommand::Delete { token, consent } => {
            let found = list.tokens.iter().find(|one| one.id == token);
            let found = found.ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("there is no machine token {token}"))
                    .advise("`foghorn host tokens list` shows the existing ones")
            })?;
            let loss = format!(
                "machine token {token} for {}: {} more could enrol with it",
                found.factory.name, found.left
            );
            confirm(consent, &[loss], "Delete?")?;
            let api = api.rehearsing(consent.is_dry_run())?;
            api.text("DELETE", &format!("{ALL}/{token}"), None::<&Value>)?;
            output.say(&format!("deleted machine token {token}"));
            Ok(())
        }
    }
}

fn table(output: Output, tokens: &[HostTokenStatus]) -> Table {
    let mut table = Table::new(&["ID", "FACTORY", "HOST", "LEFT", "CREATED", "EXPIRES"]);
    for token in tokens {
        let host = token.host.as_ref();
        table.row([
            token.id.to_string(),
            token.factory.name.clone(),
            host.map_or_else(|| "any".to_owned(), |host| host.name.clone()),
            format!("{} of {}", token.left, token.count),
            output.time(&token.created),
            output.time(&token.expires),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::native::Named;
    use foghorn_types::{HostId, StorageGroupId};

    use super::*;
    use crate::human::Zone;

    #[test]
    fn a_table_shows_for_whom_and_what_is_left() {
        let token = |id, host: Option<&str>, count, left| HostTokenStatus {
            id: HostTokenId::new(id).unwrap(),
            factory: Named {
                id: StorageGroupId::new(2).unwrap(),
                name: "north".to_owned(),
            },
            host: host.map(|name| Named {
                id: HostId::new(7).unwrap(),
                name: name.to_owned(),
            }),
            count,
            left,
            created: "2026-11-30T08:00:00Z".to_owned(),
            expires: "2026-12-07T08:00:00Z".to_owned(),
        };
        let output = Output {
            zone: Zone::Utc,
            ..Output::default()
        };
        let tokens = [token(1, None, 30, 17), token(2, Some("pc1"), 1, 0)];
        let shown = table(output, &tokens).render();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(
            lines[1].starts_with("1   north    any   17 of 30"),
            "{shown}"
        );
        assert!(
            lines[2].contains("pc1   0 of 1") && lines[2].ends_with("2026-12-07 08:00:00 +0000"),
            "{shown}"
        );
    }
}
