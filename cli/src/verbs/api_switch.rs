//! `foghorn api`: the REST API as a whole.

use clap::Subcommand;
use foghorn_rest_types::accounts::{ApiSwitch, TokenMade};
use serde_json::Value;

use super::Session;
use crate::confirm::{Consent, confirm};
use crate::context::{Contexts, default_path};
use crate::exit::{Exit, Failure};
use crate::output::Table;

const API: &str = "/foghorn/v1/api";

#[derive(Subcommand, Debug)]
pub enum ApiCommand {
    /// Show whether the API is on
    #[command(after_help = "Example:\n  foghorn api status")]
    Status,
    /// Turn the dialects of other servers (/fog) on
    #[command(after_help = "Example:\n  foghorn api on")]
    On,
    /// Turn the dialects of other servers (/fog) off; administrators can still use Foghorn's own
    /// routes
    #[command(after_help = "Example:\n  foghorn api off --yes")]
    Off {
        #[command(flatten)]
        consent: Consent,
    },
    /// Replace the API token and print the new one; every program that has the old one is refused
    /// from now on
    #[command(after_help = "Example:\n  foghorn api token-reset --yes")]
    TokenReset {
        #[command(flatten)]
        consent: Consent,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: ApiCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    let switch = |enabled| api.native::<ApiSwitch>("PUT", API, Some(&ApiSwitch { enabled }));
    let now = match command {
        ApiCommand::Status => api.get::<ApiSwitch>(API)?,
        ApiCommand::On => switch(true)?,
        ApiCommand::Off { consent } => {
            confirm(
                consent,
                &["every program that uses /fog is refused".to_owned()],
                "Turn the API off?",
            )?;
            let api = api.rehearsing(consent.is_dry_run())?;
            api.native("PUT", API, Some(&ApiSwitch { enabled: false }))?
        }
        ApiCommand::TokenReset { consent } => {
            confirm(
                consent,
                &["every program that has the API token is refused".to_owned()],
                "Replace the API token?",
            )?;
            let api = api.rehearsing(consent.is_dry_run())?;
            let made: TokenMade = api.native("POST", &format!("{API}/token"), None::<&Value>)?;
            let kept = keep(session, &made.token);
            output.say(match kept {
                Ok(true) => "the context of this server has the new API token:",
                Ok(false) => "no context of this program had the old API token; the new one is:",
                Err(_) => "could not update the contexts: log in again with the new API token:",
            });
            // First the token: it is shown once, and nothing must keep it from being seen.
            output.show_value(&made.token, &made)?;
            return kept.map(|_| Exit::Ok);
        }
    };
    let mut table = Table::new(&["API"]);
    table.row([if now.enabled { "on" } else { "off" }.to_owned()]);
    output.show(&table, &now)?;
    Ok(Exit::Ok)
}

/// Stores the new token in every context of this server that had the old one; returns whether there
/// was one.
fn keep(session: &Session, token: &str) -> Result<bool, Failure> {
    let used = session.connection.resolve()?;
    // A script that gives everything by the environment may have no home; then there is no context
    // either.
    let Ok(path) = default_path() else {
        return Ok(false);
    };
    let mut contexts = Contexts::load(&path)?;
    let mut found = false;
    for context in contexts.contexts.values_mut() {
        if context.server == used.server && context.api_token == used.api_token {
            context.api_token = token.to_owned();
            found = true;
        }
    }
    if found {
        contexts.save(&path)?;
    }
    Ok(found)
}
