//! `foghorn node join-token` and `foghorn node join-tokens`: what agents enrol with.

use std::time::Duration;

use clap::{Args, Subcommand};
use foghorn_rest_types::fog::StorageGroup;
use foghorn_rest_types::native::{
    JoinTokenCreated, JoinTokenList, JoinTokenRequest, JoinTokenResponse, JoinTokenStatus,
    NewJoinToken,
};
use foghorn_types::{JoinTokenId, NamePattern, NodeName};
use serde_json::Value;

use crate::api::Api;
use crate::confirm::{Consent, confirm};
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::human;
use crate::number::{lifetime, within};
use crate::output::{Output, Table};

const ALL: &str = "/foghorn/v1/join-tokens";
/// In seconds.
const WEEK: u32 = 7 * 24 * 60 * 60;

#[derive(Args, Debug)]
pub struct JoinTokenArgs {
    /// The node; the token is good for one agent
    #[arg(required_unless_present = "for_many", conflicts_with = "for_many")]
    name: Option<NodeName>,
    /// A token for every node whose name fits, in which * stands for any characters; each agent says
    /// its own name
    #[arg(long, value_name = "PATTERN", requires = "count")]
    for_many: Option<NamePattern>,
    /// How many nodes the token lets in (1 to 10000)
    #[arg(long, value_name = "NUMBER", requires = "for_many", conflicts_with = "name", value_parser = within(1..=10_000))]
    count: Option<u32>,
    /// Storage group, by name or id, of nodes that do not exist yet
    #[arg(long, value_name = "GROUP")]
    storage_group: Option<String>,
    /// Time until the token expires, such as 30m, 12h or 7d: of a token for one node at most 7 days, of
    /// one for many a year
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires: Option<Duration>,
    /// The same in seconds (1 to 604800)
    #[arg(long, value_name = "SECONDS", conflicts_with = "expires", value_parser = within(1..=WEEK))]
    ttl: Option<u32>,
}

#[derive(Subcommand, Debug)]
pub enum JoinTokensCommand {
    /// List the tokens for many nodes: for which names, how many more, until when
    #[command(after_help = "Example:\n  foghorn node join-tokens list")]
    List,
    /// Delete a token for many nodes: it lets nobody in any more; nodes that it let in stay
    #[command(
        visible_alias = "revoke",
        after_help = "Example:\n  foghorn node join-tokens delete 3 --yes"
    )]
    Delete {
        token: JoinTokenId,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Makes a token and prints it.
pub(super) fn make(api: &Api, output: Output, args: JoinTokenArgs) -> Result<(), Failure> {
    let group = args.storage_group.as_deref();
    let group = group.map(|group| find::<StorageGroup>(api, group));
    let storage_group = group.transpose()?.map(|group| group.view.id);
    let seconds = args.expires.map(|expires| expires.as_secs());
    let seconds = seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
    let ttl_seconds = args.ttl.or(seconds);
    if let (Some(names), Some(count)) = (args.for_many, args.count) {
        let request = NewJoinToken {
            names,
            count,
            storage_group,
            ttl_seconds,
        };
        let made: JoinTokenCreated = api.native("POST", ALL, Some(&request))?;
        output.say(&format!(
            "token {} lets in {} with names such as {} until {}; `foghorn node join-tokens list` shows how many more",
            made.id,
            human::count(usize::try_from(made.count).unwrap_or(usize::MAX), "node"),
            made.names,
            output.time(&made.expires),
        ));
        return output.show_value(&made.token, &made);
    }
    if ttl_seconds.is_some_and(|seconds| seconds > WEEK) {
        return Err(Failure::usage(
            "a token for one node expires after at most 7 days",
        ));
    }
    let name = args.name.ok_or_else(|| {
        Failure::usage("the name of the node is missing")
            .advise("`foghorn help node join-token` shows the options")
    })?;
    let request = JoinTokenRequest {
        name,
        storage_group,
        ttl_seconds,
    };
    let path = "/foghorn/v1/nodes/join-token";
    let answer: JoinTokenResponse = api.native("POST", path, Some(&request))?;
    output.show_value(&answer.token, &answer)
}

/// # Errors
/// As the server answers.
pub(super) fn run(api: &Api, output: Output, command: JoinTokensCommand) -> Result<(), Failure> {
    let list: JoinTokenList = api.get(ALL)?;
    match command {
        JoinTokensCommand::List => output.show(&table(output, &list.tokens), &list),
        JoinTokensCommand::Delete { token, consent } => {
            let found = list.tokens.iter().find(|one| one.id == token);
            let found = found.ok_or_else(|| {
                Failure::new(
                    Exit::NotFound,
                    format!("there is no join token {token} for many nodes"),
                )
                .advise("`foghorn node join-tokens list` shows the existing ones")
            })?;
            let loss = format!(
                "join token {token} for nodes with names such as {}: {} more could enrol with it",
                found.names, found.left
            );
            confirm(consent, &[loss], "Delete?")?;
            let api = api.rehearsing(consent.is_dry_run())?;
            api.text("DELETE", &format!("{ALL}/{token}"), None::<&Value>)?;
            output.say(&format!("deleted join token {token}"));
            Ok(())
        }
    }
}

fn table(output: Output, tokens: &[JoinTokenStatus]) -> Table {
    let mut table = Table::new(&["ID", "NAMES", "LEFT", "STORAGE GROUP", "CREATED", "EXPIRES"]);
    for token in tokens {
        let group = token.storage_group.as_ref();
        table.row([
            token.id.to_string(),
            token.names.to_string(),
            format!("{} of {}", token.left, token.count),
            group.map_or_else(|| "-".to_owned(), |group| group.name.clone()),
            output.time(&token.created),
            output.time(&token.expires),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::native::Named;
    use foghorn_types::StorageGroupId;

    use super::*;
    use crate::human::Zone;

    #[test]
    fn a_table_shows_what_is_left_and_no_secret() {
        let token = |id, group: Option<&str>| JoinTokenStatus {
            id: JoinTokenId::new(id).unwrap(),
            names: "store-*".parse().unwrap(),
            count: 20,
            left: 17,
            storage_group: group.map(|name| Named {
                id: StorageGroupId::new(2).unwrap(),
                name: name.to_owned(),
            }),
            created: "2026-11-30T08:00:00Z".to_owned(),
            expires: "2026-12-07T08:00:00Z".to_owned(),
        };
        let output = Output {
            zone: Zone::Utc,
            ..Output::default()
        };
        let shown = table(output, &[token(1, None), token(2, Some("north"))]).render();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(lines[1].starts_with("1   store-*  17 of 20  -"), "{shown}");
        assert!(
            lines[2].contains("north") && lines[2].ends_with("2026-12-07 08:00:00 +0000"),
            "{shown}"
        );
    }
}
