//! `foghorn group`: sets of hosts.

use std::collections::BTreeSet;

use clap::Subcommand;
use foghorn_rest_types::fog::{Group, GroupAssociation, GroupBody, Host, Row};
use foghorn_rest_types::native::GroupStatus;
use foghorn_types::{GroupId, HostId};
use serde_json::json;

use super::object::{change, delete_all, fog_list, show_done, show_natives, show_row};
use super::{Session, group_view};
use crate::api::Api;
use crate::confirm::{Consent, Rehearsal};
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::native::{self, Native, Wanted};
use crate::output::Output;

#[derive(Subcommand, Debug)]
pub enum GroupCommand {
    /// List all groups
    #[command(after_help = "Example:\n  foghorn group list")]
    List {
        /// Show FOG's objects
        #[arg(long)]
        fog: bool,
    },
    /// Show one group with its members and their tasks
    #[command(after_help = "Example:\n  foghorn group show lab")]
    Show {
        group: String,
        /// Show FOG's object
        #[arg(long)]
        fog: bool,
    },
    /// Create a group
    #[command(after_help = "Example:\n  foghorn group create lab --host lab-pc01 --host lab-pc02")]
    Create {
        name: String,
        #[arg(long)]
        description: Option<String>,
        /// Member, by name or id; may be given several times
        #[arg(long)]
        host: Vec<String>,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Change a group; options that are not given stay as they are
    #[command(
        after_help = "Example:\n  foghorn group edit lab --add-host lab-pc03 --remove-host lab-pc01"
    )]
    Edit {
        group: String,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        description: Option<String>,
        /// New member, by name or id; may be given several times
        #[arg(long, value_name = "HOST")]
        add_host: Vec<String>,
        /// Member to remove; may be given several times
        #[arg(long, value_name = "HOST")]
        remove_host: Vec<String>,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Delete groups; their hosts are kept
    #[command(after_help = "Example:\n  foghorn group delete lab --yes")]
    Delete {
        #[arg(required = true)]
        groups: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: GroupCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        GroupCommand::List { fog: true } => return fog_list::<Group>(&api, output),
        GroupCommand::List { fog: false } => {
            let groups = native::list(&api, "groups", &Wanted::default())?;
            show_natives(output, &group_view::table(&groups), &groups)?;
        }
        GroupCommand::Show { group, fog } => {
            let row = find::<Group>(&api, &group)?;
            if fog {
                show_row(output, &row)?;
            } else {
                let group = status_of(&api, &row)?;
                let sheet = group_view::sheet(output, &group.view);
                output.show_sheet(row.view.id.get(), &sheet, &group.raw)?;
            }
        }
        GroupCommand::Create {
            name,
            description,
            host,
            rehearsal,
        } => {
            rehearsal.tell(&format!("create group {name} with {} hosts", host.len()));
            let hosts = ids(&api, &host)?.into_iter().collect();
            let body = GroupBody {
                name: Some(name),
                description,
                hosts: Some(hosts),
            };
            let api = api.rehearsing(rehearsal.dry_run)?;
            report(&api, output, "created", &api.create::<Group>(&body)?)?;
        }
        GroupCommand::Edit {
            group,
            name,
            description,
            add_host,
            remove_host,
            rehearsal,
        } => {
            let row = find::<Group>(&api, &group)?;
            let hosts = changed_members(&api, row.view.id, &add_host, &remove_host)?;
            let body = GroupBody {
                name,
                description,
                hosts,
            };
            if body == GroupBody::default() {
                return Err(Failure::usage("no change was given")
                    .advise("`foghorn help group edit` lists the options"));
            }
            let row = change(&api, rehearsal, &row, &body)?;
            report(&api, output, "changed", &row)?;
        }
        GroupCommand::Delete { groups, consent } => {
            return delete_all::<Group>(&api, output, &groups, consent, |row| {
                Ok(format!(
                    "group {}: the grouping of {} hosts is lost, the hosts are kept",
                    row.view.name, row.view.hosts
                ))
            });
        }
    }
    Ok(Exit::Ok)
}

/// The group in Foghorn's own words.
fn status_of(api: &Api, row: &Row<Group>) -> Result<Native<GroupStatus>, Failure> {
    native::one(api, "groups", row.view.id.get())
        .map_err(|error| native::gone("group", &row.view.name, error))
}

fn report(api: &Api, output: Output, done: &str, row: &Row<Group>) -> Result<(), Failure> {
    let group = status_of(api, row)?;
    let next = group_view::next(&group.view);
    let (id, name) = (row.view.id.get(), row.view.name.as_str());
    show_done::<Group>(output, done, (id, name), &next, &group.raw)
}

/// The hosts of a group.
///
/// # Errors
/// As the server answers.
pub fn members(api: &Api, group: GroupId) -> Result<Vec<Row<Host>>, Failure> {
    let ids = member_ids(api, group)?;
    let mut hosts = Vec::with_capacity(ids.len());
    for id in ids {
        // A host that was deleted in the meantime is no longer a member.
        hosts.extend(api.one::<Host>(id.get())?);
    }
    Ok(hosts)
}

fn member_ids(api: &Api, group: GroupId) -> Result<BTreeSet<HostId>, Failure> {
    let filter = json!({ "groupID": group });
    let rows = api.list_at::<GroupAssociation>("/fog/groupassociation", Some(filter))?;
    Ok(rows
        .into_iter()
        .filter(|row| row.view.group == group)
        .map(|row| row.view.host)
        .collect())
}

fn ids(api: &Api, names: &[String]) -> Result<BTreeSet<HostId>, Failure> {
    names
        .iter()
        .map(|name| find::<Host>(api, name).map(|row| row.view.id))
        .collect()
}

/// The complete new set, because an edit replaces it; `None` when it does not change.
fn changed_members(
    api: &Api,
    group: GroupId,
    add: &[String],
    remove: &[String],
) -> Result<Option<Vec<HostId>>, Failure> {
    if add.is_empty() && remove.is_empty() {
        return Ok(None);
    }
    let mut hosts = member_ids(api, group)?;
    hosts.extend(ids(api, add)?);
    for host in ids(api, remove)? {
        hosts.remove(&host);
    }
    Ok(Some(hosts.into_iter().collect()))
}
