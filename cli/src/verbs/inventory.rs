//! `foghorn inventory`: the hardware of hosts, as their clients reported it.

use std::collections::HashMap;

use clap::Subcommand;
use foghorn_rest_types::fog::{Host, Inventory};
use serde_json::json;

use super::Session;
use super::made::or_dash;
use super::object::{dash, show_rows};
use crate::exit::{Exit, Failure};
use crate::find::find;

#[derive(Subcommand, Debug)]
pub enum InventoryCommand {
    /// List the hardware of all hosts that have reported it
    #[command(after_help = "Example:\n  foghorn inventory list -o json")]
    List,
    /// Show the hardware of one host
    #[command(after_help = "Example:\n  foghorn inventory show lab-pc01")]
    Show { host: String },
}

/// # Errors
/// As the server answers; [`Exit::NotFound`] when the host has not reported its hardware.
pub fn run(command: InventoryCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        InventoryCommand::List => {
            let rows = api.list::<Inventory>()?;
            let hosts: HashMap<_, _> = api
                .list::<Host>()?
                .into_iter()
                .map(|row| (row.view.id, row.view.name))
                .collect();
            let headings = [
                "HOST", "MAKER", "PRODUCT", "SERIAL", "CPU", "MEMORY", "DISK",
            ];
            show_rows(output, &rows, &headings, |row| {
                vec![
                    dash(row.host.and_then(|id| hosts.get(&id))),
                    or_dash(&row.maker),
                    or_dash(&row.product),
                    or_dash(&row.serial),
                    or_dash(&row.cpu),
                    or_dash(&row.memory),
                    or_dash(&row.disk),
                ]
            })?;
        }
        InventoryCommand::Show { host } => {
            let host = find::<Host>(&api, &host)?.view;
            let filter = json!({ "hostID": host.id });
            let rows = api.list_at::<Inventory>("/fog/inventory", Some(filter))?;
            let found = rows.iter().find(|row| row.view.host == Some(host.id));
            let row = found.ok_or_else(|| {
                let what = format!(
                    "host {} ({}) has not reported its hardware",
                    host.name, host.id
                );
                Failure::new(Exit::NotFound, what)
                    .advise("its client does that with every task that it begins")
            })?;
            output.show_object(&host.id.to_string(), &row.raw)?;
        }
    }
    Ok(Exit::Ok)
}
