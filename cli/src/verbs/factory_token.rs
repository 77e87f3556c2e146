//! `foghorn factory-token`: who may use the API of a FoundriesFactory.

use std::time::Duration;

use clap::Subcommand;
use foghorn_rest_types::native::{
    FactoryTokenCreated, FactoryTokenList, FactoryTokenStatus, NewFactoryToken,
};
use foghorn_types::FactoryTokenId;
use serde_json::Value;

use super::Session;
use crate::api::Api;
use crate::confirm::{Consent, Rehearsal, confirm};
use crate::exit::{Exit, Failure};
use crate::number::lifetime;
use crate::output::{Output, Table};

const ALL: &str = "/foghorn/v1/factory-tokens";

#[derive(Subcommand, Debug)]
pub enum FactoryTokenCommand {
    /// Make a token and print it; it is shown once
    #[command(
        after_help = "Example:\n  foghorn factory-token create --scope devices:read-update,targets:read --factory north --expires 90d"
    )]
    Create {
        /// What it may do, such as devices:read-update or targets:read
        #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
        scope: Vec<String>,
        /// The user who acts with it; you, unless given
        #[arg(long)]
        user: Option<String>,
        /// A factory that it is for, which is a storage group; all, unless given
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        factory: Vec<String>,
        /// Time until it expires, such as 12h or 90d, at most ten years; never, unless given
        #[arg(long, value_name = "DURATION", value_parser = lifetime)]
        expires: Option<Duration>,
        /// For people
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// List the tokens: whose they are, what they may do, until when
    #[command(after_help = "Example:\n  foghorn factory-token list")]
    List,
    /// Revoke a token: it is not accepted any more
    #[command(after_help = "Example:\n  foghorn factory-token revoke 3 --yes")]
    Revoke {
        token: FactoryTokenId,
        #[command(flatten)]
        consent: Consent,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: FactoryTokenCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        FactoryTokenCommand::Create {
            scope,
            user,
            factory,
            expires,
            description,
            rehearsal,
        } => {
            rehearsal.tell(&format!("make a token with {}", scope.join(", ")));
            let seconds = expires.map(|expires| expires.as_secs());
            let request = NewFactoryToken {
                user,
                description,
                scopes: scope,
                factories: factory,
                ttl_seconds: seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
            };
            make(&api.rehearsing(rehearsal.dry_run)?, output, &request)?;
        }
        FactoryTokenCommand::List => {
            let list: FactoryTokenList = api.get(ALL)?;
            output.show(&table(output, &list.tokens), &list)?;
        }
        FactoryTokenCommand::Revoke { token, consent } => revoke(api, output, token, consent)?,
    }
    Ok(Exit::Ok)
}

fn make(api: &Api, output: Output, request: &NewFactoryToken) -> Result<(), Failure> {
    let made: FactoryTokenCreated = api.native("POST", ALL, Some(request))?;
    let until = match &made.expires {
        Some(expires) => format!("good until {}", output.time(expires)),
        None => "good until it is revoked".to_owned(),
    };
    output.say(&format!(
        "factory token {}, {until}, is shown once:",
        made.id
    ));
    if !made.served {
        output.say(
            "nothing takes it yet: set `dialects.foundries.enabled` in the configuration of the server, and start it again",
        );
    }
    output.show_value(&made.token, &made)
}

fn revoke(
    api: Api,
    output: Output,
    token: FactoryTokenId,
    consent: Consent,
) -> Result<(), Failure> {
    let list: FactoryTokenList = api.get(ALL)?;
    let found = list.tokens.iter().find(|one| one.id == token);
    let found = found.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no factory token {token}"))
            .advise("`foghorn factory-token list` shows the existing ones")
    })?;
    let loss = format!(
        "factory token {token} of {}: who uses it is refused from now on",
        found.user
    );
    confirm(consent, &[loss], "Revoke?")?;
    let api = api.rehearsing(consent.is_dry_run())?;
    api.text("DELETE", &format!("{ALL}/{token}"), None::<&Value>)?;
    output.say(&format!("revoked factory token {token}"));
    Ok(())
}

fn table(output: Output, tokens: &[FactoryTokenStatus]) -> Table {
    let headings = [
        "ID",
        "USER",
        "SCOPES",
        "FACTORIES",
        "EXPIRES",
        "DESCRIPTION",
    ];
    let mut table = Table::new(&headings);
    for token in tokens {
        let names: Vec<&str> = token
            .factories
            .iter()
            .map(|factory| factory.name.as_str())
            .collect();
        let expires = token.expires.as_deref();
        table.row([
            token.id.to_string(),
            token.user.clone(),
            token.scopes.join(","),
            match names.is_empty() {
                true => "all".to_owned(),
                false => names.join(","),
            },
            expires.map_or_else(|| "never".to_owned(), |expires| output.time(expires)),
            token.description.clone(),
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
    fn a_table_shows_whose_they_are_and_until_when() {
        let token = |id, factory: Option<&str>, expires: Option<&str>| FactoryTokenStatus {
            id: FactoryTokenId::new(id).unwrap(),
            user: "anna".to_owned(),
            description: "for the lab".to_owned(),
            scopes: vec!["devices:read".to_owned(), "targets:read".to_owned()],
            factories: factory
                .map(|name| Named {
                    id: StorageGroupId::new(2).unwrap(),
                    name: name.to_owned(),
                })
                .into_iter()
                .collect(),
            created: "2026-11-30T08:00:00Z".to_owned(),
            expires: expires.map(str::to_owned),
        };
        let output = Output {
            zone: Zone::Utc,
            ..Output::default()
        };
        let tokens = [
            token(1, None, None),
            token(2, Some("north"), Some("2026-12-07T08:00:00Z")),
        ];
        let shown = table(output, &tokens).render();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(
            lines[1].starts_with("1   anna  devices:read,targets:read  all"),
            "{shown}"
        );
        assert!(lines[1].contains("never"), "{shown}");
        assert!(
            lines[2].contains("north") && lines[2].contains("2026-12-07 08:00:00 +0000"),
            "{shown}"
        );
    }
}
