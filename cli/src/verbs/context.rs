//! `foghorn context`: the servers that we have logged in to.

use clap::Subcommand;
use serde_json::json;

use super::Session;
use crate::context::{Contexts, default_path};
use crate::exit::{Exit, Failure};
use crate::output::Table;

#[derive(Subcommand, Debug)]
pub enum ContextCommand {
    /// List the contexts and mark the current one
    #[command(after_help = "Example:\n  foghorn context list")]
    List,
    /// Make a context the current one
    #[command(after_help = "Example:\n  foghorn context use branch-office")]
    Use { name: String },
    /// Delete a context and its tokens
    #[command(after_help = "Example:\n  foghorn context delete branch-office")]
    Delete { name: String },
}

/// # Errors
/// When the context file cannot be used, or there is no such context.
pub fn run(command: ContextCommand, session: &Session) -> Result<Exit, Failure> {
    let path = default_path()?;
    let mut contexts = Contexts::load(&path)?;
    let unknown = |name: &str| {
        Failure::new(Exit::NotFound, format!("there is no context {name:?}"))
            .advise("`foghorn context list` shows the existing ones")
    };
    match command {
        ContextCommand::List => {
            let mut table = Table::new(&["NAME", "CURRENT", "SERVER"]);
            let mut values = Vec::new();
            for (name, context) in &contexts.contexts {
                let current = contexts.current.as_ref() == Some(name);
                table.row([
                    name.clone(),
                    if current { "yes" } else { "" }.to_owned(),
                    context.server.clone(),
                ]);
                // Never the tokens: a list ends up in tickets and chats.
                values.push(json!({ "name": name, "current": current, "server": context.server }));
            }
            session.output.show(&table, &values)?;
        }
        ContextCommand::Use { name } => {
            if !contexts.contexts.contains_key(&name) {
                return Err(unknown(&name));
            }
            contexts.current = Some(name);
            contexts.save(&path)?;
        }
        ContextCommand::Delete { name } => {
            contexts
                .contexts
                .remove(&name)
                .ok_or_else(|| unknown(&name))?;
            contexts.current = contexts.current.filter(|current| *current != name);
            contexts.save(&path)?;
        }
    }
    Ok(Exit::Ok)
}
