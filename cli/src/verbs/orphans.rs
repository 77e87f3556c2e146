//! `foghorn image orphans`: what storage nodes hold and no image or snapin of the server has.

use clap::Subcommand;
use foghorn_rest_types::fog::StorageNode;
use foghorn_rest_types::native::{
    AdoptRequest, DropRequest, JobCreated, Named, Orphan, OrphanList,
};
use foghorn_types::{ImageId, StorageNodeId};

use super::job::Following;
use super::object::dash;
use super::{Session, job};
use crate::api::{Api, ApiError};
use crate::confirm::{Consent, Rehearsal, confirm};
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
        /// Do not ask for confirmation, which is asked for without --name
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        following: Following,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Delete the content from every storage node that holds it
    #[command(after_help = "Example:\n  foghorn image orphans drop north 7 --yes")]
    Drop {
        /// Storage node that holds it
        node: String,
        /// Number in the column IMAGE of the list, or for a file its hash; if several have it, what
        /// is in the column CONTENT
        content: String,
        #[command(flatten)]
        consent: Consent,
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
            yes,
            following,
            rehearsal,
        } => {
            let orphan = pick(&api, &node, |orphan| {
                orphan.image.is_some() && is_called(orphan, &content)
            })?;
            let (Some(image), Some(manifest)) = (orphan.image.clone(), orphan.manifest) else {
                return Err(unknown(&node));
            };
            if name.is_none() && !image.name.is_empty() {
                confirm(
                    Consent { yes, rehearsal },
                    &[merger(&orphan, &image)],
                    "Make it the content of this image?",
                )?;
            }
            let request = AdoptRequest {
                node: orphan.node.id,
                image: image.id,
                manifest,
                name,
            };
            rehearsal.tell(&format!("adopt {} on {}", what(&orphan), orphan.node.name));
            let api = api.rehearsing(rehearsal.dry_run)?;
            let created: Result<JobCreated, ApiError> =
                api.native("POST", "/foghorn/v1/orphans/adopt", Some(&request));
            let created = created.map_err(not_adopted)?;
            job::follow(&api, output, &created, following)
        }
        OrphanCommand::Drop {
            node,
            content,
            consent,
        } => {
            let orphan = pick(&api, &node, |orphan| is_called(orphan, &content))?;
            let loss = format!(
                "{} on {} is lost, there and on every other storage node that holds it; images that \
                 exist here stay as they are",
                what(&orphan),
                orphan.node.name
            );
            confirm(consent, &[loss], "Delete it?")?;
            let request = DropRequest {
                node: orphan.node.id,
                image: orphan.image.map(|image| image.id),
                manifest: orphan.manifest,
                file: orphan.file,
            };
            let api = api.rehearsing(consent.is_dry_run())?;
            api.value("POST", "/foghorn/v1/orphans/drop", Some(&request))?;
            output.say("its removal is ordered");
            Ok(Exit::Ok)
        }
    }
}

/// What the server asks for is an option here.
fn not_adopted(error: ApiError) -> Failure {
    let failure = Failure::from(error);
    if failure.in_one_line().contains("give a name") {
        failure.advise("add --name NAME: it becomes the content of a new image")
    } else {
        failure
    }
}

fn list(api: &Api, session: &Session) -> Result<Exit, Failure> {
    let list: OrphanList = api.get("/foghorn/v1/orphans")?;
    let mut table = Table::new(&[
        "IMAGE", "NODE", "NAME", "CONTENT", "CAPTURED", "FROM", "USED", "STORED", "NOTE",
    ]);
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
            dash(orphan.captured.as_ref()),
            dash(orphan.captured_from.as_ref().map(|host| &host.name)),
            dash(orphan.used_bytes),
            dash(orphan.stored_bytes),
            note(orphan).to_owned(),
        ]);
    }
    session.output.show(&table, &list)?;
    Ok(Exit::Ok)
}

fn name_of(name: &str) -> String {
    if name.is_empty() { "-" } else { name }.to_owned()
}

/// The number alone says little: the store may have been put back to a time before the content, and
/// have given its number to another image since.
fn merger(orphan: &Orphan, image: &Named<ImageId>) -> String {
    let from = match &orphan.captured_from {
        Some(host) => format!("of host {}", host.name),
        None => "of a host that is not known".to_owned(),
    };
    let captured = match &orphan.captured {
        Some(time) => format!("captured on {time}"),
        None => "captured at a time that is not known".to_owned(),
    };
    format!(
        "content {} on storage node {}, a disk {from}, {captured}, becomes the content of image {} ({}), which has none; \
         it may be of another image that had this number before",
        orphan
            .manifest
            .map(|manifest| format!("{manifest:#}"))
            .unwrap_or_default(),
        orphan.node.name,
        image.name,
        image.id
    )
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
