//! `foghorn storage-group`: sets of storage nodes that hold the same images.

use clap::Subcommand;
use foghorn_rest_types::fog::{
    FogObject as _, Row, StorageGroup, StorageGroupBody, StorageNode, StorageNodeBody,
};
use foghorn_types::StorageGroupId;
use serde_json::json;

use super::Session;
use super::made::{count, made, no_change, or_dash};
use super::object::{change, delete_all, show_rows};
use crate::api::Api;
use crate::confirm::{Consent, Rehearsal};
use crate::exit::{Exit, Failure};
use crate::find::find;

#[derive(Subcommand, Debug)]
pub enum StorageGroupCommand {
    /// List storage groups with their nodes
    #[command(after_help = "Example:\n  foghorn storage-group list")]
    List,
    /// Show one storage group
    #[command(after_help = "Example:\n  foghorn storage-group show default")]
    Show { group: String },
    /// Create a storage group
    #[command(after_help = "Example:\n  foghorn storage-group create north --node north1")]
    Create {
        name: String,
        #[arg(long)]
        description: Option<String>,
        /// Storage nodes to move into it
        #[arg(long, value_name = "NODE")]
        node: Vec<String>,
        /// The storage node that receives captures; it is moved into the group
        #[arg(long, value_name = "NODE")]
        master: Option<String>,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Change a storage group, or move nodes into it; each node is in one group
    #[command(
        after_help = "Example:\n  foghorn storage-group edit north --add-node n2 --master n2"
    )]
    Edit {
        group: String,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        description: Option<String>,
        /// Storage nodes to move into it
        #[arg(long, value_name = "NODE")]
        add_node: Vec<String>,
        /// The storage node that receives captures; it is moved into the group
        #[arg(long, value_name = "NODE")]
        master: Option<String>,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Delete storage groups; their nodes stay and serve nothing until they are in another group
    #[command(after_help = "Example:\n  foghorn storage-group delete north --yes")]
    Delete {
        #[arg(required = true)]
        groups: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: StorageGroupCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        StorageGroupCommand::List => {
            let nodes = api.list::<StorageNode>()?;
            let headings = ["ID", "NAME", "NODES", "MASTER", "CLIENTS", "DESCRIPTION"];
            show_rows(output, &api.list::<StorageGroup>()?, &headings, |group| {
                let (all, master) = members(&nodes, group.id);
                vec![
                    group.id.to_string(),
                    group.name.clone(),
                    or_dash(&all.join(", ")),
                    or_dash(&master),
                    group.clients.to_string(),
                    group.description.clone(),
                ]
            })?;
        }
        StorageGroupCommand::Show { group } => {
            let mut row = find::<StorageGroup>(&api, &group)?;
            if output.is_for_people()
                && let Some(fields) = row.raw.as_object_mut()
            {
                let (all, master) = members(&api.list::<StorageNode>()?, row.view.id);
                fields.remove("allnodes");
                fields.remove("enablednodes");
                fields.insert("nodes".into(), json!(all));
                fields.insert("master".into(), json!(master));
            }
            output.show_object(&row.view.id.to_string(), &row.raw)?;
        }
        StorageGroupCommand::Create {
            name,
            description,
            node,
            master,
            rehearsal,
        } => {
            let nodes = nodes(&api, &node, master.as_ref())?;
            rehearsal.tell(&format!("create storage group {name}"));
            tell_moves(rehearsal, &name, &nodes);
            let api = api.rehearsing(rehearsal.dry_run)?;
            let body = StorageGroupBody {
                name: Some(name),
                description,
            };
            let row = api.create::<StorageGroup>(&body)?;
            enter(&api, row.view.id, &nodes)?;
            let said = sentence("created", &row, &nodes);
            made(output, row.view.number(), &row.raw, &said)?;
        }
        StorageGroupCommand::Edit {
            group,
            name,
            description,
            add_node,
            master,
            rehearsal,
        } => {
            let body = StorageGroupBody { name, description };
            let nodes = nodes(&api, &add_node, master.as_ref())?;
            if body == StorageGroupBody::default() && nodes.is_empty() {
                return Err(no_change("storage-group edit"));
            }
            let mut row = find::<StorageGroup>(&api, &group)?;
            tell_moves(rehearsal, &row.view.name, &nodes);
            if body != StorageGroupBody::default() {
                row = change(&api, rehearsal, &row, &body)?;
            }
            let api = api.rehearsing(rehearsal.dry_run)?;
            enter(&api, row.view.id, &nodes)?;
            let said = sentence("changed", &row, &nodes);
            made(output, row.view.number(), &row.raw, &said)?;
        }
        StorageGroupCommand::Delete { groups, consent } => {
            let nodes = api.list::<StorageNode>()?;
            return delete_all::<StorageGroup>(&api, output, &groups, consent, |row| {
                let (all, _) = members(&nodes, row.view.id);
                Ok(format!(
                    "storage group {}: its {} ({}) are in no group, and what only they hold cannot be deployed until they are in another",
                    row.view.name,
                    count(all.len(), "node"),
                    or_dash(&all.join(", "))
                ))
            });
        }
    }
    Ok(Exit::Ok)
}

fn tell_moves(rehearsal: Rehearsal, group: &str, nodes: &[(Row<StorageNode>, bool)]) {
    for (node, is_master) in nodes {
        let role = if *is_master { " as its master" } else { "" };
        let name = &node.view.name;
        rehearsal.tell(&format!("move storage node {name} into {group}{role}"));
    }
}

fn sentence(done: &str, row: &Row<StorageGroup>, nodes: &[(Row<StorageNode>, bool)]) -> String {
    let moved: Vec<&str> = nodes
        .iter()
        .map(|(node, _)| node.view.name.as_str())
        .collect();
    let moved = if moved.is_empty() {
        String::new()
    } else {
        format!(", with {}", moved.join(", "))
    };
    format!(
        "{done} storage group {} ({}){moved}",
        row.view.name, row.view.id
    )
}

/// Names of the nodes of a group, and of its master.
fn members(nodes: &[Row<StorageNode>], group: StorageGroupId) -> (Vec<String>, String) {
    let of_group = || {
        nodes
            .iter()
            .map(|row| &row.view)
            .filter(move |node| node.storage_group == Some(group))
    };
    let all = of_group().map(|node| node.name.clone()).collect();
    let master = of_group().find(|node| node.master);
    (
        all,
        master.map(|node| node.name.clone()).unwrap_or_default(),
    )
}

/// The nodes, and whether each becomes the master. All are looked up before anything is changed.
fn nodes(
    api: &Api,
    names: &[String],
    master: Option<&String>,
) -> Result<Vec<(Row<StorageNode>, bool)>, Failure> {
    let mut found: Vec<(Row<StorageNode>, bool)> = Vec::new();
    for (name, is_master) in names
        .iter()
        .map(|name| (name, false))
        .chain(master.map(|name| (name, true)))
    {
        let row = find::<StorageNode>(api, name)?;
        match found
            .iter_mut()
            .find(|(known, _)| known.view.id == row.view.id)
        {
            Some((_, known)) => *known |= is_master,
            None => found.push((row, is_master)),
        }
    }
    Ok(found)
}

fn enter(
    api: &Api,
    group: StorageGroupId,
    nodes: &[(Row<StorageNode>, bool)],
) -> Result<(), Failure> {
    for (node, is_master) in nodes {
        let body = StorageNodeBody {
            storage_group: Some(group),
            master: is_master.then_some(true),
            ..StorageNodeBody::default()
        };
        api.edit::<StorageNode>(node.view.id.get(), &body)?;
    }
    Ok(())
}
