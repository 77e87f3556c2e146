//! `foghorn backup`: backups of the state, on the machine of the controller.

use clap::Subcommand;
use foghorn_rest_types::backup::{Backup, BackupList};
use serde_json::Value;

use super::Session;
use crate::exit::{Exit, Failure};
use crate::output::Table;

#[derive(Subcommand, Debug)]
pub enum BackupCommand {
    /// List the backups of the server's state, the oldest first
    #[command(after_help = "Example:\n  foghorn backup list")]
    List,
    /// Back up the server's state now, beside the daily backups; it stays until it is removed by
    /// hand
    #[command(after_help = "Example:\n  foghorn backup create")]
    Create,
}

/// # Errors
/// As the server answers.
pub fn run(command: &BackupCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        BackupCommand::List => {
            let found: BackupList = api.get("/foghorn/v1/backups")?;
            let mut table = Table::new(&["NAME", "MADE", "SIZE", "FOLDER"]);
            for backup in &found.backups {
                table.row([
                    backup.name.clone(),
                    output.time(&backup.made),
                    backup.bytes.to_string(),
                    backup.path.clone(),
                ]);
            }
            output.show(&table, &found)?;
        }
        BackupCommand::Create => {
            let made: Backup = api.native("POST", "/foghorn/v1/backups", None::<&Value>)?;
            output.show_value(&made.path, &made)?;
            output.say(
                "This folder on the server holds the state and the key of the certificate \
                 authority: copy it to another machine, and keep it secret.",
            );
        }
    }
    Ok(Exit::Ok)
}
