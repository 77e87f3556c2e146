//! `foghorn schedule` and `foghorn wake`: scheduled tasks, and waking hosts.

use clap::Subcommand;
use foghorn_rest_types::fog::{FogObject as _, Host};
use foghorn_rest_types::native::{ScheduleList, ScheduleTarget};
use serde_json::json;

use super::Session;
use super::object::dash;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::output::Table;

/// FOG's task type for waking a host.
const WAKE: u32 = 14;

#[derive(Subcommand, Debug)]
pub enum ScheduleCommand {
    /// List scheduled tasks with their next start and last result
    #[command(after_help = "Example:\n  foghorn schedule list")]
    List,
}

/// # Errors
/// As the server answers.
pub fn run(command: ScheduleCommand, session: &Session) -> Result<Exit, Failure> {
    let ScheduleCommand::List = command;
    let list: ScheduleList = session.api()?.get("/foghorn/v1/schedules")?;
    let mut table = Table::new(&["ID", "NAME", "FOR", "ACTIVE", "NEXT", "LAST", "RESULT"]);
    for schedule in &list.schedules {
        let target = match schedule.target {
            ScheduleTarget::Host { .. } => "host",
            ScheduleTarget::Group { .. } => "group",
        };
        table.row([
            schedule.id.to_string(),
            dash(some(&schedule.name)),
            format!("{target} {}", schedule.target_name),
            if schedule.active { "yes" } else { "no" }.to_owned(),
            dash(schedule.next.as_deref()),
            dash(schedule.last.as_deref()),
            dash(some(&schedule.outcome)),
        ]);
    }
    session.output.show(&table, &list)?;
    Ok(Exit::Ok)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Wakes hosts over the network. All names are looked up first.
///
/// # Errors
/// When a name does not exist, or as the server answers.
pub fn wake(names: &[String], session: &Session) -> Result<Exit, Failure> {
    let api = session.api()?;
    let hosts = names
        .iter()
        .map(|name| find::<Host>(&api, name))
        .collect::<Result<Vec<_>, _>>()?;
    for host in &hosts {
        let path = format!("/fog/host/{}/task", host.view.number());
        api.text("POST", &path, Some(&json!({"taskTypeID": WAKE})))?;
        session.output.say(&format!(
            "sent a wake-up for {} to the agents",
            host.view.name()
        ));
    }
    Ok(Exit::Ok)
}
