//! `foghorn image orphans`: what storage nodes hold and no image or snapin of the server has.

use std::time::Duration;

use clap::Subcommand;
use foghorn_rest_types::fog::StorageNode;
use foghorn_rest_types::native::{AdoptRequest, DropRequest, JobCreated, Orphan, OrphanList};
use foghorn_types::StorageNodeId;

use super::wait::parse_duration;
use super::{Session, job};
use crate::api::Api;
use crate::confirm::confirm;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::output::Table;

#[derive(Subcommand, Debug)]
pub enum OrphanCommand {
    /// List content that no image or snapin has
    #[command(after_help = "Example:\n  foghorn image orphans list")]
    List,
    /// Check the content on its storage node and make it that of an image
    #[command(
        after_help = "Example:\n  foghorn image orphans adopt north 7 --name win11-restored --wait"
    )]
    Adopt {
        /// Storage node that holds it
        node: String,
        /// Number in the column IMAGE of the list; if several have it, what is in the column
        /// CONTENT
        content: String,
        /// Name of a new image; without it, the image with this number must exist and be empty
        #[arg(long)]
        name: Option<String>,
        /// Wait for the result
        #[arg(long)]
        wait: bool,
        /// Stop waiting after this time, such as 90s, 30m, 2h
        #[arg(long, value_parser = parse_duration, requires = "wait")]
        timeout: Option<Duration>,
    },
    /// Delete the content from every storage node that holds it
    #[command(after_help = "Example:\n  foghorn image orphans drop north 7 --yes")]
    Drop {
        /// Storage node that holds it
        node: String,
        /// Number in the column IMAGE of the list, or for a file its hash; if several have it, what
        /// is in the column CONTENT
        content: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

/// # Errors
/// As the server answers.
pub(super) fn run(command: Option<OrphanCommand>, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command.unwrap_or(OrphanCommand::List) {
        OrphanCommand::List => list(&api, session),
        OrphanCommand::Adopt {
            node,
            content,
            name,
            wait,
            timeout,
        } => {
            let orphan = pick(&api, &node, |orphan| {
                orphan.image.is_some() && is_called(orphan, &content)
            })?;
            let (Some(image), Some(manifest)) = (orphan.image, orphan.manifest) else {
                return Err(unknown(&node));
            };
            let request = AdoptRequest {
                node: orphan.node.id,
                image: image.id,
                manifest,
                name,
            };
            let created: JobCreated =
                api.native("POST", "/foghorn/v1/orphans/adopt", Some(&request))?;
            job::follow(&api, output, &created, wait, timeout)
        }
        OrphanCommand::Drop { node, content, yes } => {
            let orphan = pick(&api, &node, |orphan| is_called(orphan, &content))?;
            let loss = format!(
                "{} on {} is lost, there and on every other storage node that holds it; images that \
                 exist here stay as they are",
                what(&orphan),
                orphan.node.name
            );
            confirm(yes, &[loss], "Delete it?")?;
            let request = DropRequest {
                node: orphan.node.id,
                image: orphan.image.map(|image| image.id),
                manifest: orphan.manifest,
                file: orphan.file,
            };
            api.value("POST", "/foghorn/v1/orphans/drop", Some(&request))?;
            output.say("its removal is ordered");
            Ok(Exit::Ok)
        }
    }
}

fn list(api: &Api, session: &Session) -> Result<Exit, Failure> {
    let list: OrphanList = api.get("/foghorn/v1/orphans")?;
    let mut table = Table::new(&["IMAGE", "NODE", "NAME", "CONTENT", "NOTE"]);
    for orphan in &list.orphans {
        let image = orphan.image.as_ref();
        let content = orphan.manifest.map(|manifest| format!("{manifest:#}"));
        let file = orphan.file.map(|file| file.to_string());
        table.row([
            image
                .map(|image| image.id.to_string())
                .or(file)
                .unwrap_or_default(),
            orphan.node.name.clone(),
            image.map_or_else(|| "-".to_owned(), |image| name_of(&image.name)),
            content.unwrap_or_else(|| "-".to_owned()),
            note(orphan).to_owned(),
        ]);
    }
    session.output.show(&table, &list)?;
    Ok(Exit::Ok)
}

fn name_of(name: &str) -> String {
    if name.is_empty() { "-" } else { name }.to_owned()
}

fn note(orphan: &Orphan) -> &'static str {
    match &orphan.image {
        None => "file of a snapin that does not exist here",
        Some(image) if image.name.is_empty() => "image does not exist here",
        Some(_) if orphan.has_other_content => "image has other content here",
        Some(_) => "image has no content here",
    }
}

fn what(orphan: &Orphan) -> String {
    match (&orphan.image, orphan.file) {
        (Some(image), _) => {
            let content = orphan.manifest.map(|manifest| format!("{manifest:#}"));
            format!(
                "the unknown content {} with the number of image {}",
                content.unwrap_or_default(),
                image.id
            )
        }
        (None, Some(file)) => format!("the unknown file {file}"),
        (None, None) => "the unknown content".to_owned(),
    }
}

/// By the number of its image, or by its hash as the list shows it or in full.
fn is_called(orphan: &Orphan, content: &str) -> bool {
    let image = orphan.image.as_ref().map(|image| image.id.to_string());
    let manifest = orphan.manifest;
    let names = [
        image,
        manifest.map(|manifest| format!("{manifest:#}")),
        manifest.map(|manifest| manifest.to_string()),
        orphan.file.map(|file| file.to_string()),
    ];
    names.into_iter().flatten().any(|name| name == content)
}

/// The one entry of the list that is meant. A node may hold several contents of one image.
fn pick(api: &Api, node: &str, is_meant: impl Fn(&Orphan) -> bool) -> Result<Orphan, Failure> {
    let node_id: StorageNodeId = find::<StorageNode>(api, node)?.view.id;
    let list: OrphanList = api.get("/foghorn/v1/orphans")?;
    let mut meant: Vec<Orphan> = list
        .orphans
        .into_iter()
        .filter(|orphan| orphan.node.id == node_id && is_meant(orphan))
        .collect();
    if meant.len() > 1 {
        return Err(Failure::usage(format!(
            "storage node {node} holds {} unknown contents with this number",
            meant.len()
        ))
        .advise("give the one in the column CONTENT of `foghorn image orphans`"));
    }
    meant.pop().ok_or_else(|| unknown(node))
}

fn unknown(node: &str) -> Failure {
    Failure::new(
        Exit::NotFound,
        format!("storage node {node} holds nothing like that which is unknown here"),
    )
    .advise("`foghorn image orphans` lists what there is")
}
