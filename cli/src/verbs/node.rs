//! `foghorn node`: the storage nodes.

use clap::Subcommand;
use foghorn_rest_types::fog::{Row, StorageGroup, StorageNode, StorageNodeBody};
use foghorn_rest_types::native::{NodeStatus, SweepRequest};
use foghorn_types::NodeName;
use serde_json::Value;

use super::job::Following;
use super::join_token::{JoinTokenArgs, JoinTokensCommand};
use super::object::{change, delete_all, fog_list, show_done, show_natives, show_row};
use super::{Session, job, join_token, node_hold, node_view};
use crate::api::Api;
use crate::confirm::{Consent, Rehearsal, confirm};
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::native::{self, Native, Wanted};
use crate::number;
use crate::output::Output;

#[derive(Subcommand, Debug)]
pub enum NodeCommand {
    /// List all storage nodes
    #[command(after_help = "Example:\n  foghorn node list")]
    List {
        /// Show FOG's objects
        #[arg(long)]
        fog: bool,
    },
    /// Show one storage node: address, room, version, certificate, images
    #[command(after_help = "Example:\n  foghorn node show defaultmember")]
    Show {
        node: String,
        /// Show FOG's object
        #[arg(long)]
        fog: bool,
    },
    /// Create a storage node; `foghorn node join-token` also creates one
    #[command(
        after_help = "Example:\n  foghorn node create north --ip 10.0.0.5 --storage-group default"
    )]
    Create {
        name: NodeName,
        /// Address for display; the agent itself reports the address for clients
        #[arg(long)]
        ip: std::net::IpAddr,
        /// Storage group, by name or id
        #[arg(long, value_name = "GROUP", default_value = "id:1")]
        storage_group: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
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
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Delete storage nodes from the server
    #[command(
        visible_alias = "remove",
        after_help = "Example:\n  foghorn node delete north --yes"
    )]
    Delete {
        #[arg(required = true)]
        nodes: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Print a token with which one agent can enrol under this name, or many under theirs
    #[command(
        after_help = "Examples:\n  foghorn-agent run --controller URL --join-token \"$(foghorn node join-token north)\"\n  foghorn node join-token --for-many 'store-*' --count 20 --expires 7d"
    )]
    JoinToken(JoinTokenArgs),
    /// Tokens for many nodes
    #[command(subcommand, after_help = "Example:\n  foghorn node join-tokens list")]
    JoinTokens(JoinTokensCommand),
    /// Refuse the certificates of a node from now on
    #[command(after_help = "Example:\n  foghorn node revoke north --yes")]
    Revoke {
        node: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Give a node no new tasks; what runs there ends there
    #[command(after_help = "Example:\n  foghorn node cordon north --reason 'new disks'")]
    Cordon {
        node: String,
        /// Shown with the node
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Cordon a node, and wait until nothing runs there
    #[command(after_help = "Example:\n  foghorn node drain north && ssh north poweroff")]
    Drain {
        node: String,
        /// Shown with the node
        #[arg(long, default_value = "")]
        reason: String,
        /// Stop waiting after this time, such as 90s, 30m, 2h; the node stays cordoned
        #[arg(long, value_parser = super::wait::parse_duration)]
        timeout: Option<std::time::Duration>,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Give a node tasks again
    #[command(after_help = "Example:\n  foghorn node uncordon north")]
    Uncordon {
        node: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Admit a node whose certificate two machines have used, when one of them is off
    #[command(after_help = "Example:\n  foghorn node readmit north")]
    Readmit {
        node: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Remove what no image on a node needs, and report the bytes freed
    #[command(after_help = "Example:\n  foghorn node sweep north --now --wait")]
    Sweep {
        node: String,
        /// Also what became useless lately, such as by a capture that failed
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        following: Following,
    },
    /// Read every chunk on a node and report damaged ones
    #[command(after_help = "Example:\n  foghorn node scrub north --wait")]
    Scrub {
        node: String,
        #[command(flatten)]
        following: Following,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: NodeCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        NodeCommand::List { fog: true } => return fog_list::<StorageNode>(&api, output),
        NodeCommand::List { fog: false } => {
            let nodes = native::list(&api, "nodes", &Wanted::default())?;
            show_natives(output, &node_view::table(output, &nodes), &nodes)?;
        }
        NodeCommand::Show { node, fog } => {
            let row = find::<StorageNode>(&api, &node)?;
            if fog {
                show_row(output, &row)?;
            } else {
                let node = status_of(&api, &row)?;
                let sheet = node_view::sheet(output, &node.view);
                output.show_sheet(row.view.id.get(), &sheet, &node.raw)?;
            }
        }
        NodeCommand::Create {
            name,
            ip,
            storage_group,
            rehearsal,
        } => {
            let group = find::<StorageGroup>(&api, &storage_group)?.view;
            rehearsal.tell(&format!(
                "create storage node {name} in the storage group {}",
                group.name
            ));
            let api = api.rehearsing(rehearsal.dry_run)?;
            let body = StorageNodeBody::new(name.as_str(), &ip.to_string(), group.id);
            report(&api, output, "created", &api.create::<StorageNode>(&body)?)?;
        }
        NodeCommand::Edit {
            node,
            description,
            max_clients,
            enabled,
            master,
            rehearsal,
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
            let row = change(&api, rehearsal, &row, &body)?;
            report(&api, output, "changed", &row)?;
        }
        NodeCommand::Delete { nodes, consent } => {
            return delete_all::<StorageNode>(&api, output, &nodes, consent, |row| {
                Ok(format!(
                    "storage node {}: images that are only on this node can no longer be deployed",
                    row.view.name
                ))
            });
        }
        NodeCommand::JoinToken(args) => join_token::make(&api, output, args)?,
        NodeCommand::JoinTokens(command) => join_token::run(&api, output, command)?,
        NodeCommand::Cordon {
            node,
            reason,
            rehearsal,
        } => node_hold::cordon(&api, output, &node, &reason, &rehearsal)?,
        NodeCommand::Drain {
            node,
            reason,
            timeout,
            rehearsal,
        } => return node_hold::drain(&api, output, &node, &reason, (timeout, &rehearsal)),
        NodeCommand::Uncordon { node, rehearsal } => {
            node_hold::free(&api, output, &node, "uncordon", &rehearsal)?
        }
        NodeCommand::Readmit { node, rehearsal } => {
            node_hold::free(&api, output, &node, "readmit", &rehearsal)?
        }
        NodeCommand::Revoke { node, consent } => revoke(&api, output, &node, consent)?,
        NodeCommand::Sweep {
            node,
            now,
            following,
        } => {
            let row = find::<StorageNode>(&api, &node)?;
            let path = format!("/foghorn/v1/nodes/{}/sweep", row.view.id);
            return job::order(&api, output, &path, Some(&SweepRequest { now }), following);
        }
        NodeCommand::Scrub { node, following } => {
            let row = find::<StorageNode>(&api, &node)?;
            let path = format!("/foghorn/v1/nodes/{}/scrub", row.view.id);
            return job::order(&api, output, &path, None::<&Value>, following);
        }
    }
    Ok(Exit::Ok)
}

fn revoke(api: &Api, output: Output, node: &str, consent: Consent) -> Result<(), Failure> {
    let row = find::<StorageNode>(api, node)?;
    let name = &row.view.name;
    let loss = format!(
        "storage node {name}: its transfers end, it must enrol again, \
         and until then images that only it holds cannot be deployed"
    );
    confirm(consent, &[loss], "Revoke?")?;
    let api = api.rehearsing(consent.is_dry_run())?;
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

/// The node in Foghorn's own words.
fn status_of(api: &Api, row: &Row<StorageNode>) -> Result<Native<NodeStatus>, Failure> {
    native::one(api, "nodes", row.view.id.get())
        .map_err(|error| native::gone("storage node", &row.view.name, error))
}

fn report(api: &Api, output: Output, done: &str, row: &Row<StorageNode>) -> Result<(), Failure> {
    let node = status_of(api, row)?;
    let next = node_view::next(&node.view);
    let (id, name) = (row.view.id.get(), row.view.name.as_str());
    show_done::<StorageNode>(output, done, (id, name), &next, &node.raw)
}
