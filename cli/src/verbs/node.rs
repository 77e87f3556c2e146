//! `foghorn node`: the storage nodes.

use std::time::Duration;

use clap::Subcommand;
use foghorn_rest_types::fog::{StorageNode, StorageNodeBody};
use foghorn_rest_types::native::{
    JobCreated, JoinTokenRequest, JoinTokenResponse, NodeList, SweepRequest,
};
use foghorn_types::{ByteCount, NodeName, StorageGroupId, StorageNodeId};
use serde_json::Value;

use super::object::{dash, delete_all, show_row, show_rows};
use super::wait::parse_duration;
use super::{Session, job};
use crate::api::Api;
use crate::confirm::confirm;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::number::{self, within};
use crate::output::Output;

#[derive(Subcommand, Debug)]
pub enum NodeCommand {
    /// List all storage nodes
    #[command(after_help = "Example:\n  foghorn node list")]
    List,
    /// Show one storage node
    #[command(after_help = "Example:\n  foghorn node show defaultmember")]
    Show { node: String },
    /// Create a storage node; `foghorn node join-token` also creates one
    #[command(after_help = "Example:\n  foghorn node create north --ip 10.0.0.5 --storage-group 1")]
    Create {
        name: NodeName,
        /// Address for display; the agent itself reports the address for clients
        #[arg(long)]
        ip: std::net::IpAddr,
        /// Id of the storage group
        #[arg(long, value_name = "ID", default_value = "1")]
        storage_group: StorageGroupId,
    },
    /// Change a storage node; options that are not given stay as they are
    #[command(after_help = "Example:\n  foghorn node edit north --max-clients 20 --enabled false")]
    Edit {
        node: String,
        #[arg(long)]
        description: Option<String>,
        /// Maximum number of concurrent transfers
        #[arg(long, value_name = "NUMBER", value_parser = number::any)]
        max_clients: Option<u32>,
        /// Whether tasks may use it
        #[arg(long, value_name = "true|false")]
        enabled: Option<bool>,
        /// Whether it receives the captures of its storage group
        #[arg(long, value_name = "true|false")]
        master: Option<bool>,
    },
    /// Delete storage nodes from the server
    #[command(after_help = "Example:\n  foghorn node delete north --yes")]
    Delete {
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Print a token with which one agent can enrol under this name
    #[command(
        after_help = "Example:\n  foghorn-agent run --controller URL --join-token \"$(foghorn node join-token north)\""
    )]
    JoinToken {
        name: NodeName,
        /// Id of the storage group if the node does not exist yet
        #[arg(long, value_name = "ID")]
        storage_group: Option<StorageGroupId>,
        /// Seconds until the token expires (1 to 604800)
        #[arg(long, value_name = "SECONDS", value_parser = within(1..=604800))]
        ttl: Option<u32>,
    },
    /// Refuse the certificates of a node from now on
    #[command(after_help = "Example:\n  foghorn node revoke north --yes")]
    Revoke {
        node: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Remove what no image on a node needs, and report the bytes freed
    #[command(after_help = "Example:\n  foghorn node sweep north --now --wait")]
    Sweep {
        node: String,
        /// Also what became useless lately, such as by a capture that failed
        #[arg(long)]
        now: bool,
        /// Wait for the result
        #[arg(long)]
        wait: bool,
        /// Stop waiting after this time, such as 90s, 30m, 2h
        #[arg(long, value_parser = parse_duration, requires = "wait")]
        timeout: Option<Duration>,
    },
    /// Read every chunk on a node and report damaged ones
    #[command(after_help = "Example:\n  foghorn node scrub north --wait")]
    Scrub {
        node: String,
        /// Wait for the result
        #[arg(long)]
        wait: bool,
        /// Stop waiting after this time, such as 90s, 30m, 2h
        #[arg(long, value_parser = parse_duration, requires = "wait")]
        timeout: Option<Duration>,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: NodeCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        NodeCommand::List => list(session)?,
        NodeCommand::Show { node } => show_row(output, &find::<StorageNode>(&api, &node)?)?,
        NodeCommand::Create {
            name,
            ip,
            storage_group,
        } => {
            let body = StorageNodeBody::new(name.as_str(), &ip.to_string(), storage_group);
            show_row(output, &api.create::<StorageNode>(&body)?)?;
        }
        NodeCommand::Edit {
            node,
            description,
            max_clients,
            enabled,
            master,
        } => {
            let body = StorageNodeBody {
                description,
                max_clients,
                enabled,
                master,
                ..StorageNodeBody::default()
            };
            if body == StorageNodeBody::default() {
                return Err(Failure::usage("no change was given")
                    .advise("`foghorn help node edit` lists the options"));
            }
            let row = find::<StorageNode>(&api, &node)?;
            show_row(output, &api.edit::<StorageNode>(row.view.id.get(), &body)?)?;
        }
        NodeCommand::Delete { nodes, yes } => {
            return delete_all::<StorageNode>(&api, output, &nodes, yes, |row| {
                Ok(format!(
                    "storage node {}: images that are only on this node can no longer be deployed",
                    row.view.name
                ))
            });
        }
        NodeCommand::JoinToken {
            name,
            storage_group,
            ttl,
        } => {
            let request = JoinTokenRequest {
                name,
                storage_group,
                ttl_seconds: ttl,
            };
            let answer: JoinTokenResponse =
                api.native("POST", "/foghorn/v1/nodes/join-token", Some(&request))?;
            output.show_value(&answer.token, &answer)?;
        }
        NodeCommand::Revoke { node, yes } => revoke(&api, output, &node, yes)?,
        NodeCommand::Sweep {
            node,
            now,
            wait,
            timeout,
        } => {
            let row = find::<StorageNode>(&api, &node)?;
            let path = format!("/foghorn/v1/nodes/{}/sweep", row.view.id);
            let created: JobCreated = api.native("POST", &path, Some(&SweepRequest { now }))?;
            return job::follow(&api, output, &created, wait, timeout);
        }
        NodeCommand::Scrub {
            node,
            wait,
            timeout,
        } => {
            let row = find::<StorageNode>(&api, &node)?;
            let path = format!("/foghorn/v1/nodes/{}/scrub", row.view.id);
            let created: JobCreated = api.native("POST", &path, None::<&Value>)?;
            return job::follow(&api, output, &created, wait, timeout);
        }
    }
    Ok(Exit::Ok)
}

fn revoke(api: &Api, output: Output, node: &str, yes: bool) -> Result<(), Failure> {
    let row = find::<StorageNode>(api, node)?;
    let name = &row.view.name;
    let loss = format!(
        "storage node {name}: its transfers end, it must enrol again, \
         and until then images that only it holds cannot be deployed"
    );
    confirm(yes, &[loss], "Revoke?")?;
    api.text(
        "POST",
        &format!("/foghorn/v1/nodes/{}/revoke", row.view.id),
        None::<&Value>,
    )?;
    output.say(&format!(
        "revoked {name}; `foghorn node join-token {name}` admits it again"
    ));
    Ok(())
}

fn list(session: &Session) -> Result<(), Failure> {
    let api = session.api()?;
    let rows = api.list::<StorageNode>()?;
    // The objects of the API do not contain the free space; the table does.
    let live = if session.output.is_for_people() {
        api.get::<NodeList>("/foghorn/v1/nodes")?.nodes
    } else {
        Vec::new()
    };
    let room = |id: StorageNodeId| {
        let node = live
            .iter()
            .find(|node| node.id == id)
            .filter(|node| node.disk_total_bytes.bytes() > 0);
        node.map(|node| {
            format!(
                "{} of {}",
                gib(node.disk_free_bytes),
                gib(node.disk_total_bytes)
            )
        })
    };
    let headings = [
        "ID", "NAME", "GROUP", "MASTER", "ENABLED", "ONLINE", "FREE", "CLIENTS", "IP",
    ];
    show_rows(session.output, &rows, &headings, |node| {
        let flag = |set: bool| if set { "yes" } else { "no" }.to_owned();
        vec![
            node.id.to_string(),
            node.name.clone(),
            dash(node.storage_group),
            flag(node.master),
            flag(node.enabled),
            flag(node.online),
            dash(room(node.id)),
            node.max_clients.to_string(),
            dash(node.ip.as_ref()),
        ]
    })
}

/// A size for people.
#[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
fn gib(size: ByteCount) -> String {
    format!("{:.1} GiB", size.bytes() as f64 / f64::from(1 << 30))
}
