//! `foghorn group`: sets of hosts.

use std::collections::BTreeSet;

use clap::Subcommand;
use foghorn_rest_types::fog::{Group, GroupAssociation, GroupBody, Host, Row};
use foghorn_types::{GroupId, HostId};
use serde_json::json;

use super::Session;
use super::object::{delete_all, show_row, show_rows};
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::output::Format;

#[derive(Subcommand, Debug)]
pub enum GroupCommand {
    /// List all groups
    #[command(after_help = "Example:\n  foghorn group list")]
    List,
    /// Show one group
    #[command(after_help = "Example:\n  foghorn group show lab")]
    Show { group: String },
    /// Create a group
    #[command(after_help = "Example:\n  foghorn group create lab --host lab-pc01 --host lab-pc02")]
    Create {
        name: String,
        #[arg(long)]
        description: Option<String>,
        /// Member, by name or id; may be given several times
        #[arg(long)]
        host: Vec<String>,
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
    },
    /// Delete groups; their hosts are kept
    #[command(after_help = "Example:\n  foghorn group delete lab --yes")]
    Delete {
        #[arg(required = true)]
        groups: Vec<String>,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: GroupCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        GroupCommand::List => {
            show_rows(
                output,
                &api.list::<Group>()?,
                &["ID", "NAME", "HOSTS", "DESCRIPTION"],
                |group| {
                    vec![
                        group.id.to_string(),
                        group.name.clone(),
                        group.hosts.to_string(),
                        group.description.clone(),
                    ]
                },
            )?;
        }
        GroupCommand::Show { group } => {
            let mut row = find::<Group>(&api, &group)?;
            // For people only: as JSON the object is printed as the API returns it.
            if let (Format::Table, Some(fields)) = (output.format, row.raw.as_object_mut()) {
                let members = members(&api, row.view.id)?;
                let names: Vec<&str> = members.iter().map(|host| host.view.name.as_str()).collect();
                fields.insert("hosts".into(), json!(names));
            }
            show_row(output, &row)?;
        }
        GroupCommand::Create {
            name,
            description,
            host,
        } => {
            let hosts = ids(&api, &host)?.into_iter().collect();
            let body = GroupBody {
                name: Some(name),
                description,
                hosts: Some(hosts),
            };
            show_row(output, &api.create::<Group>(&body)?)?;
        }
        GroupCommand::Edit {
            group,
            name,
            description,
            add_host,
            remove_host,
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
            show_row(output, &api.edit::<Group>(row.view.id.get(), &body)?)?;
        }
        GroupCommand::Delete { groups, yes } => {
            return delete_all::<Group>(&api, output, &groups, yes, |row| {
                Ok(format!(
                    "group {}: the grouping of {} hosts is lost, the hosts are kept",
                    row.view.name, row.view.hosts
                ))
            });
        }
    }
    Ok(Exit::Ok)
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
